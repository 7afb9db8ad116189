"""What every `IMirrorDriver` does, on its two nodes."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.interface import IMirrorDriver, IVolumeDriver

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object

SIZE = 6000  # MiB: 100 seconds at 60 MiB/s


def volume(name: str, size: int) -> DiskSpec:
    """A volume below a side."""
    return DiskSpec(uuid=name, index=0, template="plain", size=size, logical_id=("xenvg", name))


def mirrored(node: str, other: str = "b", size: int = SIZE) -> DiskSpec:
    """The disk of the test on one of its nodes, which are called ``a`` and `other`."""
    return DiskSpec(
        uuid="d",
        index=0,
        template="drbd",
        size=size,
        logical_id=("a", other, 11000, 0, 1, "secret"),
        params={"resync-rate": 61440},
        node=node,
        children=(volume("u.disk0_data", size), volume("u.disk0_meta", 128)),
    )


class MirrorDriverContract(_Base):
    """Mixed into a test case that makes drivers with `make`; they answer at once."""

    def make(self) -> tuple[dict[str, IMirrorDriver], dict[str, IVolumeDriver]]:
        """The drivers of the nodes ``a``, ``b`` and ``c``, and those of the volumes below; none has any."""
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make the drivers."""
        self.drivers, self.lower = self.make()

    def done(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` answers."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, Any]) -> str:
        """The text of the storage failure that `work` raises."""
        error = self.failureResultOf(Deferred.fromCoroutine(work), StepFailed).value
        self.assertEqual(error.kind, "storage")
        return str(error.text)

    def attach(self, node: str, primary: bool, **more: Any) -> str:
        """Attach the side of a node."""
        path: str = self.done(self.drivers[node].attach(mirrored(node), primary, **more))
        return path

    def both(self) -> None:
        """Make both sides, and attach them with ``a`` as primary."""
        for node in "ab":
            self.done(self.drivers[node].create(mirrored(node), fresh=True))
        self.attach("b", False)
        self.attach("a", True)

    def synced(self) -> None:
        """Both sides, filled."""
        self.both()
        self.advance(101)

    def state(self, node: str) -> tuple[Any, ...] | None:
        """Degraded, local disk, percent."""
        found = self.done(self.drivers[node].inspect(mirrored(node)))
        return None if found is None else (found["degraded"], found["ldisk"], found.get("percent"))

    def test_interface(self) -> None:
        """It provides the interface."""
        for driver in self.drivers.values():
            verifyObject(IMirrorDriver, driver)

    def test_fills(self) -> None:
        """The side that follows is filled from the other, in as long as the rate says."""
        self.both()
        self.assertEqual((self.state("a"), self.state("b")), ((True, "okay", 0.0), (True, "sync", 0.0)))
        self.assertEqual(self.done(self.drivers["a"].remaining(mirrored("a"))), 100.0)
        self.advance(50)
        self.assertEqual((self.state("a"), self.state("b")), ((True, "okay", 50.0), (True, "sync", 50.0)))
        self.advance(50)
        self.assertEqual((self.state("a"), self.state("b")), ((False, "okay", None),) * 2)
        self.assertEqual(self.done(self.drivers["b"].remaining(mirrored("b"))), 0.0)

    def test_create_twice(self) -> None:
        """Making a side again keeps it, unless a fresh one is asked for; other sizes are refused."""
        self.synced()
        self.done(self.drivers["a"].create(mirrored("a")))
        self.assertEqual(self.state("a"), (False, "okay", None))
        self.fails(self.drivers["a"].create(mirrored("a", size=7)))

    def test_other_side_away(self) -> None:
        """Without its other side a disk is degraded; what that missed is filled in when it is back."""
        self.synced()
        self.done(self.drivers["b"].deactivate(mirrored("b")))
        self.assertEqual(self.state("a"), (True, "okay", None))
        self.attach("b", False)
        self.assertEqual((self.state("b") or ())[1], "sync")
        self.advance(100)
        self.assertEqual(self.state("b"), (False, "okay", None))

    def test_left_for_another(self) -> None:
        """What a side missed while the primary one was connected to another is filled in afterwards."""
        self.synced()
        other, back = (self._later("a", *where) for where in (("c", 1), ("b", 2)))
        self.done(self.drivers["a"].attach(other, True))
        self.assertEqual((self.state("b") or ())[0], True)
        self.done(self.drivers["b"].attach(self._later("b", "b", 2), False))
        self.done(self.drivers["a"].attach(back, True))
        self.assertEqual((self.state("b") or ())[1], "sync")
        self.advance(100)
        self.assertEqual(self.state("b"), (False, "okay", None))

    def _later(self, node: str, other: str, serial: int) -> DiskSpec:
        address = ("a", other, 11000, 0, 1, f"secret{serial}")
        return replace(mirrored(node, other), logical_id=address, serial=serial)

    def test_both_down(self) -> None:
        """Both sides, let go of and attached again, are as they were; letting go twice is well."""
        self.synced()
        for node in "aabb":
            self.done(self.drivers[node].deactivate(mirrored(node)))
        self.attach("b", False)
        self.attach("a", True)
        self.assertEqual((self.state("a"), self.state("b")), ((False, "okay", None),) * 2)

    def test_not_current(self) -> None:
        """A side that was never filled cannot be used alone, unless that is forced: then it counts."""
        self.both()
        for node in "ab":
            self.done(self.drivers[node].deactivate(mirrored(node)))
        self.assertEqual((self.state("b") or ())[1], "faulty")
        self.fails(self.drivers["b"].attach(mirrored("b"), True))
        self.fails(self.drivers["b"].activate(mirrored("b")))
        self.attach("b", True, force=True)
        self.assertEqual((self.state("b") or ())[1], "okay")
        self.attach("a", False)
        self.assertEqual((self.state("a") or ())[1], "sync")

    def test_missing(self) -> None:
        """What is not there cannot be used; removing it is well, and there is nothing to look at."""
        self.fails(self.drivers["a"].attach(mirrored("a"), True))
        self.fails(self.drivers["a"].grow(mirrored("a")))
        self.fails(self.drivers["a"].renew(mirrored("a"), "t"))
        self.done(self.drivers["a"].delete(mirrored("a")))
        self.assertIsNone(self.state("a"))

    def test_elsewhere(self) -> None:
        """A disk of other nodes is refused, and so is an address that is none."""
        self.fails(self.drivers["c"].create(mirrored("c")))
        for address in ((), ("a", "b"), ("a", "a", 1, 0, 1, "s"), ("a", "b", "x", 0, 1, "s")):
            self.fails(self.drivers["a"].create(replace(mirrored("a"), logical_id=address)))
        self.fails(self.drivers["a"].create(replace(mirrored("a"), children=())))

    def test_delete(self) -> None:
        """A removed side is gone with what was below; the other one is degraded then."""
        self.synced()
        for _ in range(2):
            self.done(self.drivers["b"].delete(mirrored("b")))
        self.assertIsNone(self.state("b"))
        self.assertEqual(self.state("a"), (True, "okay", None))
        below = [self.done(self.lower["b"].inspect(child)) for child in mirrored("b").children]
        self.assertEqual(below, [None, None])

    def test_grow(self) -> None:
        """What is new is filled too; growing reaches the size and never shrinks."""
        self.synced()
        for node in "ab":
            for size in (SIZE + 600, SIZE):
                self.done(self.drivers[node].grow(mirrored(node, size=size)))
        found = self.done(self.drivers["a"].inspect(mirrored("a")))
        self.assertEqual((found["size"], found["degraded"]), (SIZE + 600, True))
        self.assertEqual(self.done(self.drivers["a"].remaining(mirrored("a"))), 10.0)
        self.advance(10)
        self.assertEqual(self.state("a"), (False, "okay", None))

    def test_renew(self) -> None:
        """A renewed side is filled from the other one; the same renewal is not repeated."""
        self.synced()
        self.done(self.drivers["a"].renew(mirrored("a"), "t1"))
        self.assertEqual((self.state("a") or ())[:2], (True, "sync"))
        self.advance(100)
        self.done(self.drivers["a"].renew(mirrored("a"), "t1"))
        self.assertEqual(self.state("a"), (False, "okay", None))

    def test_renew_last(self) -> None:
        """The last current data is never renewed away."""
        self.both()
        self.fails(self.drivers["a"].renew(mirrored("a"), "t1"))
        self.advance(100)
        self.done(self.drivers["b"].deactivate(mirrored("b")))
        self.fails(self.drivers["a"].renew(mirrored("a"), "t1"))
        self.assertEqual((self.state("a") or ())[1], "okay")

    def test_other_partner(self) -> None:
        """A side connected to another node's fills that one, and the old partner is left alone."""
        self.synced()
        self.done(self.drivers["c"].create(mirrored("c", "c"), fresh=True))
        self.done(self.drivers["c"].attach(mirrored("c", "c"), False))
        self.done(self.drivers["a"].attach(mirrored("a", "c"), True))
        found = self.done(self.drivers["c"].inspect(mirrored("c", "c")))
        self.assertEqual((found["ldisk"], self.state("b")), ("sync", (True, "okay", None)))
        self.advance(100)
        found = self.done(self.drivers["c"].inspect(mirrored("c", "c")))
        self.assertEqual((found["ldisk"], found["degraded"]), ("okay", False))

    def test_adopt(self) -> None:
        """A volume becomes a side whose data counts, and a volume of its own again."""
        disk = mirrored("a")
        self.done(self.lower["a"].create(disk.children[0]))
        for _ in range(2):
            self.done(self.drivers["a"].adopt(disk))
        self.attach("a", True)
        self.assertEqual(self.state("a"), (True, "okay", None))
        for _ in range(2):
            self.done(self.drivers["a"].release(disk))
        self.assertIsNone(self.state("a"))
        below = [self.done(self.lower["a"].inspect(child)) for child in disk.children]
        self.assertEqual([None if b is None else b["size"] for b in below], [SIZE, None])

    def test_too_late(self) -> None:
        """What is asked for the disk as it was before is not done to what it has become."""
        self.synced()
        for node in "ab":
            for late in (
                replace(mirrored(node), serial=0),
                replace(mirrored(node), logical_id=("a", "b", 11000, 0, 1, "other")),
            ):
                self.done(self.drivers[node].delete(late))
                self.done(self.drivers[node].release(late))
        self.assertEqual((self.state("a"), self.state("b")), ((False, "okay", None),) * 2)
        self.done(self.drivers["a"].delete(replace(mirrored("a"), serial=2)))
        self.assertIsNone(self.state("a"))

    def test_move(self) -> None:
        """It keeps its address."""
        self.synced()
        disk = mirrored("a")
        self.done(self.drivers["a"].move(disk, disk.logical_id))
        self.fails(self.drivers["a"].move(disk, ("a", "c", 11000, 0, 1, "secret")))
