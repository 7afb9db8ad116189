"""The contract of `IVolumeDriver` on RBD, with a tool that answers what was recorded of the real one."""

import os

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.test_volumes import at_once
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.ceph_tools import Tools
from twisted_rapi.storage.interface import IVolumeDriver
from twisted_rapi.storage.program import TOO_LATE, Ended
from twisted_rapi.storage.rbd import RbdDriver
from twisted_rapi.testing.contracts.rbd import RbdContract
from twisted_rapi.testing.contracts.volumes import VolumeDriverContract
from twisted_rapi.testing.rbd_tool import RbdTool


class RecordedTests(RbdContract, SynchronousTestCase):
    """What guests reach by librbd; `tests.functional.test_ceph` holds the real tool to the same."""

    def make(self) -> tuple[IVolumeDriver, str]:
        self.tool = RbdTool()
        return RbdDriver(Tools(self.tool.run, "/etc/ceph/b.conf", "kvm"), at_once), "rbd"

    def snapshot(self, disk: DiskSpec) -> None:
        self.tool.snapshots["/".join(disk.logical_id)] = ["s"]

    def test_who(self) -> None:
        """The tool is who the disk's ``user-id`` says, else the node's user, with its configuration."""
        self.done(self.driver.create(self.disk))
        mine = replace(self.disk, params={"access": "userspace", "user-id": "vms"})
        path = self.done(self.driver.activate(mine))
        asked = [command[:5] for command in self.tool.commands]
        self.assertEqual(asked[0], ("rbd", "--conf", "/etc/ceph/b.conf", "--id", "kvm"))
        self.assertEqual(asked[-1], ("rbd", "--conf", "/etc/ceph/b.conf", "--id", "vms"))
        self.assertEqual(path, "rbd:rbd/inst1.u.file.disk0:id=vms:conf=/etc/ceph/b.conf")
        self.fails(self.driver.activate(replace(mine, params={"user-id": "--help"})))

    def test_busy(self) -> None:
        """An image that somebody uses stays, and the tool's reason is told."""
        self.done(self.driver.create(self.disk))
        self.tool.mapped["rbd/inst1.u.file.disk0"] = "/dev/rbd0"
        self.assertIn("still has watchers (exit status 16)", self.fails(self.driver.delete(self.disk)))
        self.assertEqual(self.size(self.disk), 4)


class MappedTests(VolumeDriverContract, SynchronousTestCase):
    """What the kernel maps: the tool is a stand-in also for what no kernel here could be recorded doing."""

    def make(self) -> tuple[IVolumeDriver, str]:
        self.tool = RbdTool()
        return RbdDriver(Tools(self.tool.run), at_once), "rbd"

    def at(self, name: str) -> tuple[str, str]:
        return (self.base, name.replace("/", "."))

    def outside(self) -> tuple[tuple[object, ...], ...]:
        return (("rbd", "../x"), ("..", "x"), ("a/b", "x"), ("rbd", "-x"), ("rbd",), (), ("rbd", 3))

    def test_mapped_while_active(self) -> None:
        """The kernel has the image from the first activation to the first deactivation, or its removal."""
        self.done(self.driver.create(self.disk))
        self.assertEqual(self.tool.mapped, {})
        paths = {self.done(self.driver.activate(self.disk)) for _ in range(2)}
        self.assertEqual(paths, {"/dev/rbd/rbd/inst1.u.file.disk0"})
        self.assertEqual(self.tool.mapped, {"rbd/inst1.u.file.disk0": "/dev/rbd0"})
        self.assertEqual(len([c for c in self.tool.commands if "map" in c]), 1)
        self.done(self.driver.deactivate(self.disk))
        self.assertEqual(self.tool.mapped, {})
        self.done(self.driver.activate(self.disk))
        self.done(self.driver.delete(self.disk))
        self.assertEqual((self.tool.mapped, self.size(self.disk)), ({}, None))


class OddTests(SynchronousTestCase):
    """A tool that does not do its part."""

    def outcome(self, ended: Ended) -> str:
        """What an inspection fails with when the tool ends so."""

        async def run(command: object, seconds: float) -> Ended:
            return ended

        driver = RbdDriver(Tools(run), at_once)
        disk = DiskSpec(uuid="u", index=0, template="rbd", size=4, logical_id=("rbd", "x"))
        return VolumeDriverContract.fails(self, driver.inspect(disk))  # type: ignore[arg-type]

    def test_told(self) -> None:
        """Why there is no answer is told in a line: the tool's last words, its time, or its odd answer."""
        trouble = f"noise{os.linesep}rbd: couldn't connect to the cluster!{os.linesep}"
        self.assertIn("connect to the cluster! (exit status 110)", self.outcome(Ended(110, b"", trouble)))
        self.assertIn("took too long", self.outcome(Ended(TOO_LATE)))
        self.assertIn("did not say why (exit status -9)", self.outcome(Ended(-9)))
        self.assertIn("cannot be read", self.outcome(Ended(0, b"\xff{")))
