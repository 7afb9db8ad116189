"""Exports as folders of a node, keys for other clusters, and the steps about both."""

from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent.certificates import Certificates
from twisted_rapi.agent.exports import Exports
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.storage.ceph_tools import Tools
from twisted_rapi.storage.rbd import RbdDriver
from twisted_rapi.testing.agents import at_once, make_node
from twisted_rapi.testing.rbd_tool import RbdTool

NAME = "inst1.example.com"


class TransferCase(SynchronousTestCase):
    """Has a folder, and what awaits in memory."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.exports = Exports(self.folder / "export", at_once)

    def now(self, work: Any) -> Any:
        """The result of work that waits for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Any) -> StepFailed:
        """Why it fails."""
        failure = self.failureResultOf(Deferred.fromCoroutine(work), StepFailed)
        error: StepFailed = failure.value
        return error


class ExportFolderTests(TransferCase):
    """`Exports`."""

    def test_whole(self) -> None:
        """An export is there once it is whole; a newer one takes its place, and finishing twice is well."""
        for config in ("one", "two"):
            self.now(self.exports.begin(NAME))
            Path(self.exports.new_dump(NAME, "disk0.dump")).write_text(config)
            self.assertEqual(self.now(self.exports.names()), () if config == "one" else (NAME,))
            for _ in range(2):
                self.now(self.exports.finish(NAME, config))
            self.assertEqual(self.now(self.exports.names()), (NAME,))
            self.assertEqual(self.now(self.exports.config(NAME)), config)
            self.assertEqual(Path(self.exports.dump(NAME, "disk0.dump")).read_text(), config)
        self.assertEqual(self.now(self.exports.config(str(self.folder / "export" / NAME))), "two")
        self.fails(self.exports.finish(NAME, "three"))

    def test_half(self) -> None:
        """Half of an export is no export, is begun anew, and can be removed by itself."""
        self.now(self.exports.begin(NAME))
        self.now(self.exports.finish(NAME, "whole"))
        self.now(self.exports.begin(NAME))
        Path(self.exports.new_dump(NAME, "disk0.dump")).write_text("half")
        self.now(self.exports.begin(NAME))
        self.assertFalse(Path(self.exports.new_dump(NAME, "disk0.dump")).exists())
        self.now(self.exports.abandon(NAME))
        self.assertEqual(self.now(self.exports.config(NAME)), "whole")
        for _ in range(2):
            self.now(self.exports.remove(NAME))
        self.assertEqual((self.now(self.exports.names()), list((self.folder / "export").iterdir())), ((), []))

    def test_outside(self) -> None:
        """Nothing outside of the folder is read, written or removed."""
        for name in ("..", ".", "", "a/b", "/etc", "../x", "a\x00b", ".hidden"):
            for work in (
                self.exports.begin(name),
                self.exports.remove(name) if name else self.exports.abandon(name),
                self.exports.config(name),
            ):
                self.fails(work)
            self.assertRaises(StepFailed, self.exports.new_dump, NAME, name)
            self.assertRaises(StepFailed, self.exports.dump, NAME, name)
        self.fails(self.exports.config("/etc/passwd"))


class CertificateTests(TransferCase):
    """`Certificates`."""

    def test_made(self) -> None:
        """A key has a certificate for a day, and is only its owner's; old ones go."""
        clock = Clock()
        clock.advance(1_795_230_105)
        certificates = Certificates(self.folder / "crypto", clock.seconds, at_once)
        name, pem = self.now(certificates.make("node1.example.com", 86400.0))
        found = x509.load_pem_x509_certificate(pem.encode())
        self.assertEqual(found.subject.rfc4514_string(), "CN=node1.example.com")
        self.assertEqual(found.not_valid_after_utc.timestamp(), clock.seconds() + 86400)
        self.assertRegex(name, r"^x509-2026-11-21_\d\d_01_45-\w{8}$")
        self.assertEqual((self.folder / "crypto" / name / "key").stat().st_mode & 0o777, 0o600)
        clock.advance(90000)
        other, _ = self.now(certificates.make("node1.example.com", 86400.0))
        self.assertEqual([f.name for f in (self.folder / "crypto").iterdir()], [other])

    def test_named(self) -> None:
        """A key that is asked for by name is made once; half of one is made anew; it can be removed."""
        clock = Clock()
        clock.advance(1_795_230_105)
        certificates = Certificates(self.folder / "crypto", clock.seconds, at_once)
        half = self.folder / "crypto/x509-7-abc"
        half.mkdir(parents=True)
        (half / "key").write_text("half")
        name, pem = self.now(certificates.make("n", 60.0, "x509-7-abc"))
        self.assertEqual(self.now(certificates.make("other", 60.0, "x509-7-abc")), ("x509-7-abc", pem))
        self.assertEqual(self.now(certificates.files(name)), (str(half / "cert"), str(half / "key")))
        for _ in range(2):
            self.now(certificates.remove(name))
        self.assertIn("no key", self.fails(certificates.files(name)).text)

    def test_odd_names(self) -> None:
        """Nothing outside of the folder is a key."""
        certificates = Certificates(self.folder / "crypto", Clock().seconds, at_once)
        for name in ("", "..", "x509-/../a", "crypto", "/etc", "x509-a\n", f"x509-{'a' * 200}"):
            self.fails(certificates.files(name))
            self.fails(certificates.remove(name))
            if name:
                self.fails(certificates.make("n", 60.0, name))


class UserspaceTests(TransferCase):
    """Disks that are no devices of the node."""

    def test_refused(self) -> None:
        """What guests reach by librbd is neither sent nor received as a file."""
        driver = RbdDriver(Tools(RbdTool(images={"rbd/x": 1 << 20}).run), at_once)
        node = make_node(self.folder, Clock(), volumes={"rbd": driver}, simulated=None)
        self.now(node.begin())
        self.addCleanup(lambda: self.now(node.end()))
        access = {"access": "userspace"}
        disk = steps.DiskSpec(
            uuid="u", index=0, template="rbd", size=1, logical_id=("rbd", "x"), params=access
        )
        step = steps.OpenStream(instance=NAME, token="t", into=steps.VolumeEnd(disk=disk))
        error = self.fails(node.perform(step, 1))
        self.assertEqual((error.kind, error.text[:11]), ("stream", "rbd:rbd/x i"))


class StepTests(TransferCase):
    """The steps, carried out by a node."""

    def test_told(self) -> None:
        """Whoever watches is told at once of an export that is whole, and of one that is gone."""
        node = make_node(self.folder, Clock(), exports=self.exports)
        self.now(node.begin())
        self.addCleanup(lambda: self.now(node.end()))
        told: list[Any] = []
        watch = Deferred.fromCoroutine(node.watch(1, told.append))
        self.addCleanup(watch.addErrback, lambda _: None)
        for step in (
            steps.BeginExport(instance=NAME, export=NAME),
            steps.FinishExport(instance=NAME, export=NAME, config="[export]"),
        ):
            self.now(node.perform(step, 1))
        self.assertEqual(told[-1].report.exports, (NAME,))
        read = self.now(node.perform(steps.ReadExport(instance=NAME, path=NAME), 1))
        self.assertEqual(read.text, "[export]")
        self.now(node.perform(steps.RemoveExport(instance=NAME, export=NAME), 1))
        self.assertEqual(told[-1].report.exports, ())

    def test_nothing_there(self) -> None:
        """A node without a part says so; ending streams it does not have is well."""
        node = make_node(self.folder, Clock())
        self.now(node.begin())
        self.addCleanup(lambda: self.now(node.end()))
        for step in (
            steps.BeginExport(instance=NAME, export=NAME),
            steps.AwaitStream(instance=NAME, token="x"),
            steps.ConfirmStream(instance=NAME, token="x"),
            steps.CreateCertificate(instance=NAME, common_name="x", validity=1.0),
            steps.RemoveCertificate(instance=NAME, name="x509-1"),
        ):
            self.fails(node.perform(step, 1))
        self.now(node.perform(steps.EndStreams(instance=NAME), 1))

    def test_look(self) -> None:
        """A domain that does not run here is told as such."""
        node = make_node(self.folder, Clock())
        self.now(node.begin())
        self.addCleanup(lambda: self.now(node.end()))
        look = steps.LookAtDomain(instance=NAME, hypervisor="fake", instance_uuid="u")
        self.assertEqual(self.now(node.perform(look, 1)), steps.Outcome())
