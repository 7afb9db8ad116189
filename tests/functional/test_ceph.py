"""A real Ceph in userspace, one for the whole module: RBD images by the real tools."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.contract.test_volumes import at_once
from tests.requirements import missing
from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import from_xml
from twisted_rapi.model import ceph
from twisted_rapi.model.rbd import RbdImage, uri
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.ceph import Ceph
from twisted_rapi.storage.ceph_interface import ICeph
from twisted_rapi.storage.ceph_tools import Tools
from twisted_rapi.storage.ceph_volume import CephVolume
from twisted_rapi.storage.interface import IVolumeDriver
from twisted_rapi.storage.program import TOO_LATE, Ended, Programs
from twisted_rapi.storage.rbd import RbdDriver
from twisted_rapi.testing.ceph import CephCluster
from twisted_rapi.testing.contracts.ceph import CephContract
from twisted_rapi.testing.contracts.hypervisor import HypervisorContract
from twisted_rapi.testing.contracts.rbd import RbdContract
from twisted_rapi.testing.libvirtd import LibvirtDaemon
from twisted_rapi.testing.osd_tools import OsdTools
from twisted_rapi.testing.processes import await_true

NEEDS = ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd")
_shared: list[CephCluster] = []


def shared_ceph() -> CephCluster:
    """The cluster, with a pool ``rbd``; it is removed when the process ends."""
    if not _shared:
        folder = Path(mkdtemp(prefix="rapi-ceph-", dir="/tmp"))  # sockets need a short path
        cluster = CephCluster(folder / "c")
        any_reactor: Any = reactor

        def remove() -> None:
            cluster.remove()
            shutil.rmtree(folder)

        any_reactor.addSystemEventTrigger("after", "shutdown", remove)
        cluster.start()
        cluster.add_pool("rbd")
        await_true("sizes are known", lambda: cluster.ask("ceph", "df")["stats"]["total_bytes"] > 0, 60)
        _shared.append(cluster)
    return _shared[0]


async def run_here(command: Sequence[str], seconds: float) -> Ended:
    """`twisted_rapi.storage.program.Run` that waits on the spot."""
    ran = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    return await succeed(Ended(ran.returncode, ran.stdout, ran.stderr.decode()))


class RbdTests(RbdContract, SynchronousTestCase):
    """The driver's contract."""

    skip = missing(*NEEDS)

    def make(self) -> tuple[IVolumeDriver, str]:
        self.mark = f"{uuid4().hex[:8]}."
        self.ceph = shared_ceph()
        return RbdDriver(Tools(run_here, str(self.ceph.conf)), at_once), "rbd"

    def snapshot(self, disk: DiskSpec) -> None:
        self.ceph.tool("rbd", "snap", "create", "--no-progress", "/".join(disk.logical_id) + "@s")


class CephTests(CephContract, SynchronousTestCase):
    """The contract of a cluster."""

    skip = missing(*NEEDS)

    def make(self) -> ICeph:
        self.cluster, host = shared_ceph(), socket.gethostname()
        tools = OsdTools(self.cluster, host)

        async def run(command: Sequence[str], seconds: float) -> Ended:
            return await succeed(Ended(0, tools.run(list(command)).encode()))

        return Ceph(Tools(run_here, str(self.cluster.conf)), CephVolume(run), host)

    def device(self) -> str:
        return "/dev/new"

    def await_begun(self, osd: int) -> None:
        await_true("the OSD tells of itself", lambda: self.tells(osd), 90)

    def await_drained(self, osd: int) -> None:
        await_true("the OSD is drained", lambda: bool(self.done(self.ceph.drained(osd))), 90)

    def lock(self, pool: str, volume: str) -> None:
        self.cluster.tool("rbd", "lock", "add", f"{pool}/{volume}", "by somebody")


class DeadNodeTests(SynchronousTestCase):
    """A client that had a lock when its node was given up, and may yet go on."""

    skip = missing(*NEEDS, "qemu-io")

    def setUp(self) -> None:
        self.cluster = shared_ceph()
        self.ceph = Ceph(Tools(run_here, str(self.cluster.conf)))
        self.image = {"pool": "rbd", "volume": uuid4().hex}
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.cluster.tool("rbd", "create", "--size", "8M", "/".join(self.image.values()))

    def client(self, name: str) -> "Writer":
        """One that has the image open, as QEMU has it."""
        path = uri(RbdImage(pool="rbd", name=self.image["volume"], conf=str(self.cluster.conf)))
        writer = Writer(path, self.folder / name)
        self.addCleanup(writer.end)
        return writer

    def change(self, change: ceph.AnyChange) -> None:
        """Have it done."""
        self.successResultOf(Deferred.fromCoroutine(self.ceph.change(change)))

    def locks(self) -> list[dict[str, str]]:
        """Those on the image."""
        return list(self.successResultOf(Deferred.fromCoroutine(self.ceph.look("locks", **self.image))))

    def test_taken(self) -> None:
        """Others write once it is broken, and from then on Ceph takes nothing from who had it."""
        dead = self.client("dead")
        dead.write()
        self.assertEqual(dead.outcomes(1), ["wrote"])
        [lock] = self.locks()
        dead.process.send_signal(signal.SIGSTOP)
        self.change(ceph.BreakLocks(**self.image, addresses=("192.0.2.1",), host="another"))
        self.assertEqual(self.locks(), [lock])
        self.change(ceph.BreakLocks(**self.image, addresses=(), host=socket.gethostname()))
        self.assertEqual(self.locks(), [])
        refused = self.cluster.tool("ceph", "osd", "blocklist", "ls")
        self.assertIn(lock["address"], refused)
        heir = self.client("heir")
        heir.write()
        self.assertEqual(heir.outcomes(1), ["wrote"])
        [now] = self.locks()
        self.assertNotEqual(now["locker"], lock["locker"])
        dead.process.send_signal(signal.SIGCONT)
        dead.write()
        self.assertEqual(dead.outcomes(2), ["wrote", "write failed"])
        self.assertEqual(self.locks(), [now])


class Writer:
    """
    Who has an image open and writes when told so, as QEMU does.

    :ivar process: of ``qemu-io``.
    """

    def __init__(self, path: str, log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                ("qemu-io", "-f", "raw", path), stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT
            )

    def write(self) -> None:
        """Have something written; it is not waited for."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"write 0 4k\n")
        self.process.stdin.flush()

    def outcomes(self, count: int) -> list[str]:
        """What has become of so many writes."""

        def found() -> list[str]:
            return re.findall(r"wrote|write failed", self._log.read_text(errors="replace"))

        await_true(f"{count} writes have ended: {self._log}", lambda: len(found()) >= count, 90)
        return found()

    def end(self) -> None:
        """It is gone then."""
        self.process.kill()
        self.process.communicate()


class GuestTests(TestCase):
    """A guest, and a disk that it reaches by librbd."""

    skip = missing(*NEEDS, "libvirtd", "virsh", "qemu-system-x86_64", "unshare", "module:libvirt")

    def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "RAPI_ACCELERATION": "tcg"})
        self.ceph = shared_ceph()
        self.daemon = LibvirtDaemon(Path(self.mktemp()).resolve())
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.secret = str(uuid4())
        self.daemon.keep_secret(self.secret, "admin", self.ceph.key())

    def disk(self, index: int) -> DiskSpec:
        """A disk of 8 MiB."""
        uuid = str(uuid4())
        return DiskSpec(
            uuid=uuid,
            index=index,
            template="rbd",
            size=8,
            logical_id=("rbd", f"{uuid}.rbd.disk{index}"),
            params={"access": "userspace"},
        )

    def test_disks(self) -> Deferred[None]:
        """The guest has its disk as it starts, sees it grow, gets another one; a used image stays."""
        from twisted_rapi.hypervisor.libvirt import LibvirtHypervisor

        any_reactor: Any = reactor
        run = Programs(any_reactor, any_reactor, deferToThread).run
        driver = RbdDriver(Tools(run, str(self.ceph.conf)), deferToThread)
        hypervisor = LibvirtHypervisor(self.daemon.uri, reactor, "", {"admin": self.secret})

        async def go() -> None:
            first, second = self.disk(0), self.disk(1)
            domain = replace(HypervisorContract.spec, memory=32, minmem=32, disks=(first,))
            await driver.create(first)
            await driver.create(second)
            await hypervisor.start(domain, [await driver.activate(first)], paused=True)
            shown = self.daemon.virsh("dumpxml", domain.name)
            self.assertIn(f"<secret type='ceph' uuid='{self.secret}'/>", shown)
            larger = replace(first, size=16)
            await driver.grow(larger)
            await hypervisor.show_growth(domain, larger)
            self.assertIn(str(16 << 20), self.daemon.virsh("domblkinfo", domain.name, "vda"))
            await hypervisor.attach(domain, second, await driver.activate(second))
            self.assertIn(str(8 << 20), self.daemon.virsh("domblkinfo", domain.name, "vdb"))
            paths = {path for path, _, _ in from_xml(self.daemon.virsh("dumpxml", domain.name)).disks}
            self.assertEqual(paths, {await driver.activate(larger), await driver.activate(second)})
            with self.assertRaisesRegex(StepFailed, "watchers"):
                await driver.delete(second)
            await hypervisor.stop(domain.instance_uuid, 0)
            await driver.delete(second)
            await driver.delete(larger)

        async def whole() -> None:
            await hypervisor.start_service()
            try:
                await go()
            finally:
                await hypervisor.stop_service()

        return Deferred.fromCoroutine(whole())


class ProgramsTests(TestCase):
    """Tools as processes of the agent."""

    def setUp(self) -> None:
        any_reactor: Any = reactor
        self.programs = Programs(any_reactor, any_reactor, deferToThread)

    def test_ended(self) -> Deferred[None]:
        """Status, output and errors are told apart; no shell reads the words."""

        async def go() -> None:
            ran = await self.programs.run(
                ("sh", "-c", 'printf %s "$1"; echo why >&2; exit 3', "sh", "$(a) *"), 60
            )
            self.assertEqual((ran.status, ran.output, ran.errors), (3, b"$(a) *", "why\n"))

        return Deferred.fromCoroutine(go())

    def test_too_late(self) -> Deferred[None]:
        """One that does not end is killed, and has ended then."""

        async def go() -> None:
            ran = await self.programs.run(("sleep", "3600"), 0.1)
            self.assertEqual((ran.status, ran.output), (TOO_LATE, b""))

        return Deferred.fromCoroutine(go())

    def test_absent(self) -> Deferred[None]:
        """One that is not installed is named."""

        async def go() -> None:
            with self.assertRaisesRegex(StepFailed, "no-such-tool is not installed"):
                await self.programs.run(("no-such-tool",), 60)

        return Deferred.fromCoroutine(go())
