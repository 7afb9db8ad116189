"""The contracts of `IVolumeDriver` and `IMirrorDriver` on the simulated ones, in files and in memory."""

import os
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.test_volumes import at_once
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.interface import IMirrorDriver, IVolumeDriver
from twisted_rapi.storage.shelf import FolderShelf
from twisted_rapi.storage.simulated import Devices, Volumes
from twisted_rapi.storage.simulated_driver import (
    SimulatedDriver,
    SimulatedMirrorDriver,
    simulated_drivers,
)
from twisted_rapi.storage.simulated_mirror import Mirrors
from twisted_rapi.testing.contracts.mirrors import MirrorDriverContract
from twisted_rapi.testing.contracts.volumes import VolumeDriverContract
from twisted_rapi.testing.volumes import MemoryShelf


class NamedCase(VolumeDriverContract, SynchronousTestCase):
    """Volumes with a name below a group, pool or provider."""

    template = "plain"

    def make(self) -> tuple[IVolumeDriver, str]:
        return SimulatedDriver(Volumes(self.template, MemoryShelf(), 1000), at_once), "xenvg"

    def at(self, name: str) -> tuple[Any, ...]:
        return (self.base, name.replace("/", "."))

    def outside(self) -> tuple[tuple[Any, ...], ...]:
        return (("xenvg", "../x"), ("..", "x"), ("a/b", "x"), ("xenvg", ".."), ("xenvg",), (), ("xenvg", 3))

    def test_full(self) -> None:
        """What does not fit is refused and not there; what is removed makes room."""
        other = replace(self.disk, size=997, logical_id=self.at("other"))
        self.done(self.driver.create(self.disk))
        self.assertIn("no space", self.fails(self.driver.create(other)))
        self.assertIsNone(self.size(other))
        self.fails(self.driver.grow(replace(self.disk, size=1001)))
        self.assertEqual(self.done(self.driver.space()), (1000, 996))
        self.done(self.driver.delete(self.disk))
        self.done(self.driver.create(other))
        self.assertEqual(self.done(self.driver.space()), (1000, 3))


class RbdTests(NamedCase):
    """Images of a pool."""

    template = "rbd"


class ExtTests(NamedCase):
    """Volumes of a provider."""

    template = "ext"


class PlainFileTests(NamedCase):
    """Noted in files."""

    def make(self) -> tuple[IVolumeDriver, str]:
        self.folder = Path(self.mktemp())
        return SimulatedDriver(Volumes("plain", FolderShelf(self.folder), 1000), at_once), "xenvg"

    def test_restart(self) -> None:
        """Another agent over the same folder finds the volumes."""
        self.done(self.driver.create(self.disk))
        again = SimulatedDriver(Volumes("plain", FolderShelf(self.folder), 1000), at_once)
        self.assertEqual(self.done(again.activate(self.disk)), "/dev/xenvg/inst1.u.file.disk0")

    def test_unreadable(self) -> None:
        """A note that cannot be read is a failure of the storage."""
        self.done(self.driver.create(self.disk))
        [note] = [f for f in self.folder.iterdir() if f.suffix == ".json"]
        note.write_text("{")
        self.fails(self.driver.activate(self.disk))


class GlusterTests(VolumeDriverContract, SynchronousTestCase):
    """Files of a shared file system."""

    def make(self) -> tuple[IVolumeDriver, str]:
        return SimulatedDriver(Volumes("gluster", MemoryShelf(), 1000), at_once), "ganeti"

    def outside(self) -> tuple[tuple[Any, ...], ...]:
        return (self.at("../x"), self.at("a/../../x"), ("blktap", "x"), ("loop",), (), ("loop", 3))


class DevicesTests(SynchronousTestCase):
    """Block devices, which are there before and after."""

    def setUp(self) -> None:
        shelf = MemoryShelf()
        shelf.write("manual//dev/disk/a", {"size": 64})
        self.devices = Devices(shelf)
        self.disk = DiskSpec(
            uuid="u", index=0, template="blockdev", size=64, logical_id=("manual", "/dev/disk/a")
        )

    def test_adopted(self) -> None:
        """One that is there is used as it is, and stays when it is removed."""
        self.assertEqual(self.devices.create(self.disk, fresh=True), "/dev/disk/a")
        self.devices.move(self.disk, self.disk.logical_id)
        self.devices.grow(self.disk)
        self.devices.delete(self.disk)
        self.assertEqual((self.devices.inspect(self.disk) or {})["size"], 64)

    def test_refused(self) -> None:
        """None is made, grown or moved."""
        other = replace(self.disk, logical_id=("manual", "/dev/disk/b"))
        for work in (self.devices.create, self.devices.activate, self.devices.grow):
            self.assertRaises(StepFailed, work, other)
        self.assertRaises(StepFailed, self.devices.grow, replace(self.disk, size=65))
        self.assertRaises(StepFailed, self.devices.move, self.disk, other.logical_id)


class MirrorTests(MirrorDriverContract, SynchronousTestCase):
    """Mirrored disks in memory."""

    def make(self) -> tuple[dict[str, IMirrorDriver], dict[str, IVolumeDriver]]:
        self.clock = Clock()
        wire = MemoryShelf()
        volumes = {node: Volumes("plain", MemoryShelf(), 100_000) for node in "abc"}
        drivers: dict[str, IMirrorDriver] = {
            node: SimulatedMirrorDriver(Mirrors(lower, wire, self.clock.seconds), at_once)
            for node, lower in volumes.items()
        }
        return drivers, {node: SimulatedDriver(lower, at_once) for node, lower in volumes.items()}

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class MirrorFileTests(MirrorDriverContract, SynchronousTestCase):
    """Mirrored disks noted in files, as the agents of a trial cluster have them."""

    def make(self) -> tuple[dict[str, IMirrorDriver], dict[str, IVolumeDriver]]:
        self.clock = Clock()
        folder = Path(self.mktemp())
        drivers: dict[str, IMirrorDriver] = {}
        lower: dict[str, IVolumeDriver] = {}
        for node in "abc":
            found = simulated_drivers(
                folder / node, folder / "shared", 100_000, self.clock.seconds, at_once, {}, {}
            )
            drivers[node] = IMirrorDriver(found["drbd"])
            lower[node] = found["plain"]
        return drivers, lower

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class SetTests(SynchronousTestCase):
    """The drivers of a node together."""

    def test_seeded(self) -> None:
        """Volumes that are there from the beginning are made once, devices are always there."""
        folder = Path(os.path.abspath(self.mktemp()))
        for names in (["xenvg/old"], []):
            found = simulated_drivers(
                folder / "own", folder / "shared", 1000, lambda: 0.0, at_once, {"xenvg/old": 8}, {"/dev/x": 9}
            )
            self.assertEqual(FolderShelf(folder / "own").names(), names)
            self.assertEqual(FolderShelf(folder / "shared" / "blockdev").names(), ["manual//dev/x"])
            FolderShelf(folder / "own").remove("xenvg/old")
        self.assertEqual(sorted(found), ["blockdev", "drbd", "ext", "gluster", "plain", "rbd"])
