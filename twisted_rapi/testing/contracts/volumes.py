"""What every `IVolumeDriver` does that makes volumes where it is told."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.interface import IVolumeDriver

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object


class VolumeDriverContract(_Base):
    """Mixed into a test case that makes the driver with `make`, which answers at once."""

    def make(self) -> tuple[IVolumeDriver, str]:
        """A driver without volumes, and the directory its addresses are in."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make the driver and describe a disk of 4 MiB."""
        self.driver, self.base = self.make()
        self.disk = DiskSpec(
            uuid="u", index=0, template="file", size=4, logical_id=self.at("inst1/u.file.disk0")
        )

    def at(self, name: str) -> tuple[Any, ...]:
        """The address of this name."""
        return ("loop", f"{self.base}/{name}")

    def outside(self) -> tuple[tuple[Any, ...], ...]:
        """Addresses outside of the base, or that are none."""
        return (
            ("loop", "/etc/x"),
            self.at("../x"),
            self.at("a/../../x"),
            ("loop",),
            (),
            ("loop", 3),
        )

    def done(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` answers."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, Any]) -> str:
        """The text of the storage failure that `work` raises."""
        error = self.failureResultOf(Deferred.fromCoroutine(work), StepFailed).value
        self.assertEqual(error.kind, "storage")
        return str(error.text)

    def size(self, disk: DiskSpec) -> int | None:
        """MiB the volume has."""
        found = self.done(self.driver.inspect(disk))
        return None if found is None else int(found["size"])

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(IVolumeDriver, self.driver)

    def test_create_twice(self) -> None:
        """A volume is there after it was created, at one path however often that is asked."""
        paths = {self.done(self.driver.create(self.disk)) for _ in range(2)}
        self.assertEqual(paths, {self.done(self.driver.activate(self.disk))})
        self.assertEqual(self.size(self.disk), 4)

    def test_create_other_size(self) -> None:
        """An existing volume of another size is not taken for it, unless it may be replaced."""
        self.done(self.driver.create(self.disk))
        larger = replace(self.disk, size=8)
        self.fails(self.driver.create(larger))
        self.assertEqual(self.size(self.disk), 4)
        self.done(self.driver.create(larger, fresh=True))
        self.assertEqual(self.size(self.disk), 8)

    def test_delete_twice(self) -> None:
        """A removed volume is gone; removing it again is well."""
        self.done(self.driver.create(self.disk))
        for _ in range(2):
            self.done(self.driver.delete(self.disk))
        self.assertIsNone(self.size(self.disk))

    def test_grow(self) -> None:
        """Growing reaches the size, and never shrinks."""
        self.done(self.driver.create(self.disk))
        for size in (8, 8, 6):
            self.done(self.driver.grow(replace(self.disk, size=size)))
        self.assertEqual(self.size(self.disk), 8)

    def test_missing(self) -> None:
        """What is not there cannot be used, grown or moved."""
        self.assertIsNone(self.size(self.disk))
        self.fails(self.driver.activate(self.disk))
        self.fails(self.driver.grow(self.disk))
        self.fails(self.driver.move(self.disk, self.at("inst2/u.file.disk0")))

    def test_activate_other_size(self) -> None:
        """A volume of another size is used only when that is allowed."""
        self.done(self.driver.create(self.disk))
        other = replace(self.disk, size=5)
        self.fails(self.driver.activate(other))
        self.done(self.driver.activate(other, ignore_size=True))
        self.done(self.driver.deactivate(other))
        self.done(self.driver.deactivate(other))

    def test_move(self) -> None:
        """A moved volume is at its new address only; moving it again is well."""
        self.done(self.driver.create(self.disk))
        to = self.at("inst2/u.file.disk0")
        for _ in range(2):
            self.done(self.driver.move(self.disk, to))
        self.assertEqual((self.size(self.disk), self.size(replace(self.disk, logical_id=to))), (None, 4))

    def test_move_onto(self) -> None:
        """A volume is never moved onto another."""
        other = replace(self.disk, size=6, logical_id=self.at("inst2/u.file.disk0"))
        self.done(self.driver.create(self.disk))
        self.done(self.driver.create(other))
        self.fails(self.driver.move(self.disk, other.logical_id))
        self.assertEqual((self.size(self.disk), self.size(other)), (4, 6))

    def test_outside(self) -> None:
        """Addresses outside of the base, or that are none, are refused by every operation."""
        for address in self.outside():
            disk = replace(self.disk, logical_id=address)
            for work in (self.driver.create, self.driver.delete, self.driver.grow, self.driver.inspect):
                self.fails(work(disk))
            self.fails(self.driver.move(disk, self.disk.logical_id))
            self.fails(self.driver.move(self.disk, address))

    def test_space(self) -> None:
        """Free is no more than total."""
        total, free = self.done(self.driver.space())
        self.assertTrue(0 <= free <= total and total > 0)
