"""Storage units under their contract."""

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StepFailed
from twisted_rapi.storage.file import MIB
from twisted_rapi.storage.units import FolderUnits, Groups, SimulatedUnits
from twisted_rapi.testing.agents import at_once
from twisted_rapi.testing.contracts.storage_units import StorageUnitsContract
from twisted_rapi.testing.volumes import MemoryShelf


class SimulatedUnitsTests(StorageUnitsContract, SynchronousTestCase):
    """Volume groups and physical volumes of a simulated node."""

    kinds = ("lvm-vg", "lvm-pv")

    def setUp(self) -> None:
        self.shelf = MemoryShelf()
        self.units = SimulatedUnits(Groups(self.shelf, ("xenvg", "other"), lambda: (100, 40)), at_once)

    def test_changed(self) -> None:
        """A physical volume keeps to what was said of it; another agent on the same shelf knows it too."""
        device = self.well(self.units.listed("lvm-pv"))[0]["name"]
        self.well(self.units.change("lvm-pv", device, False))
        again = SimulatedUnits(Groups(self.shelf, ("xenvg", "other"), lambda: (100, 40)), at_once)
        found = {unit["name"]: unit["allocatable"] for unit in self.well(again.listed("lvm-pv"))}
        self.assertEqual(sorted(found.values()), [False, True])
        self.assertIs(found[device], False)
        self.fails(self.units.change("lvm-vg", "xenvg", False))

    def test_volumes(self) -> None:
        """The volumes of its groups are listed, with their sizes and devices; those of others are not."""
        sizes = {"other/b": 7, "xenvg/a": 5, "gone/c": 1}
        units = SimulatedUnits(
            Groups(self.shelf, ("xenvg", "other"), lambda: (100, 40), lambda: sizes), at_once
        )
        found = self.well(units.volumes("lvm-vg"))
        self.assertEqual(
            [(v["unit"], v["name"], v["size"]) for v in found], [("other", "b", 7), ("xenvg", "a", 5)]
        )
        devices = {unit["name"] for unit in self.well(units.listed("lvm-pv"))}
        self.assertEqual({volume["device"] for volume in found}, devices)
        self.fails(units.volumes("lvm-pv"))

    def test_repaired(self) -> None:
        """A volume group is whole; a physical volume is not repaired."""
        self.well(self.units.repair("lvm-vg", "xenvg"))
        self.fails(self.units.repair("lvm-pv", "/dev/sim0"))

    def test_kinds(self) -> None:
        """Other kinds are not there."""
        self.fails(self.units.listed("rados"))


class FolderUnitsTests(StorageUnitsContract, SynchronousTestCase):
    """A folder of files."""

    kinds = ("file",)

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.units = FolderUnits(self.folder, at_once)

    def test_used(self) -> None:
        """What files really take is used; the folder need not be there."""
        [before] = self.well(self.units.listed("file"))
        self.assertEqual((before["name"], before["used"]), (str(self.folder), 0))
        (self.folder / "deep").mkdir(parents=True)
        (self.folder / "deep" / "one").write_bytes(b"x" * 3 * MIB)
        with (self.folder / "sparse").open("wb") as sparse:
            os.truncate(sparse.fileno(), 100 * MIB)
        [after] = self.well(self.units.listed("file"))
        self.assertIn(after["used"], (3, 4))

    def test_simulated(self) -> None:
        """A simulated node tells of what it is said to have."""
        [unit] = self.well(FolderUnits(self.folder, at_once, simulated=7).listed("file"))
        self.assertEqual((unit["size"], unit["free"]), (7, 7))

    def test_volumes(self) -> None:
        """A folder has none."""
        self.fails(self.units.volumes("file"))

    def test_broken(self) -> None:
        """A disk that cannot be read is a failure about storage."""

        async def broken(*_: object) -> None:
            raise OSError(5, "Input/output error")

        listed = Deferred.fromCoroutine(FolderUnits(self.folder, broken).listed("file"))
        self.assertIn("Input/output error", str(self.failureResultOf(listed, StepFailed).value))
