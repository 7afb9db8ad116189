"""What every `ICeph` does."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import ceph
from twisted_rapi.model.ceph_address import machine_of
from twisted_rapi.storage.ceph_interface import ICeph

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object

MIB = 1 << 20
WEIGHT = 0.002
"""Of an OSD: that of others of 2 GiB.  What weighs far more than all others cannot be drained to them."""

ONE: dict[str, Any] = {"pool": "rbd", "volume": "one"}


class CephContract(_Base):
    """
    Mixed into a test case that makes the cluster with `make`, which answers at once.

    There is a pool ``rbd``, maybe with volumes of others, and a device that `device` names.
    """

    def make(self) -> ICeph:
        """The cluster."""
        raise NotImplementedError

    def device(self) -> str:
        """A device of this node that an OSD can be made of."""
        raise NotImplementedError

    def await_begun(self, osd: int) -> None:
        """Wait until an OSD that was added has told of itself."""
        self.assertTrue(self.tells(osd))

    def tells(self, osd: int) -> bool:
        """Whether an OSD has told which device it has."""
        return any(one["id"] == osd and one["device"] for one in self.look("osds"))

    def await_drained(self, osd: int) -> None:
        """Wait until an OSD is `ICeph.drained`."""
        self.assertTrue(self.done(self.ceph.drained(osd)))

    def lock(self, pool: str, volume: str) -> None:
        """Have somebody lock a volume."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make it."""
        self.ceph = self.make()

    def done(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` answers."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def twice(self, change: ceph.AnyChange) -> Any:
        """What the change answers; doing it again is well."""
        first = self.done(self.ceph.change(change))
        self.assertEqual(self.done(self.ceph.change(change)), first)
        return first

    def fails(self, work: Coroutine[Any, Any, Any]) -> str:
        """The text of the storage failure that `work` raises."""
        error = self.failureResultOf(Deferred.fromCoroutine(work), StepFailed).value
        self.assertIn(error.kind, ("storage", "absent"))
        return str(error.text)

    def absent(self, subject: ceph.Subject, pool: str = "", volume: str = "") -> None:
        """A look says that what it is about is not there."""
        error = self.failureResultOf(
            Deferred.fromCoroutine(self.ceph.look(subject, pool, volume)), StepFailed
        )
        self.assertEqual(error.value.kind, "absent")

    def look(self, subject: ceph.Subject, pool: str = "", volume: str = "") -> tuple[dict[str, Any], ...]:
        """What there is."""
        found: tuple[dict[str, Any], ...] = self.done(self.ceph.look(subject, pool, volume))
        return found

    def names(self, subject: ceph.Subject, pool: str = "", volume: str = "") -> set[str]:
        """What those are called that there are."""
        return {one["name"] for one in self.look(subject, pool, volume)}

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(ICeph, self.ceph)

    def test_whole(self) -> None:
        """The cluster says how it is and how full, for people and for programs."""
        [status] = self.look("status")
        self.assertIn(status["health"], status["text"])
        [usage] = self.look("utilization")
        self.assertTrue(0 <= usage["used"] <= usage["total"] and usage["free"] >= 0)
        self.assertIn("total_space", usage["text"])

    def test_options(self) -> None:
        """Flags of the cluster are set and taken away, reads and writes together as one."""
        self.done(self.ceph.change(ceph.SetOption(name="noout", on=True)))
        self.done(self.ceph.change(ceph.SetOption(name="pause", on=True)))
        self.assertEqual(self.names("options"), {"noout", "pause"})
        self.twice(ceph.SetOption(name="pause", on=False))
        self.assertEqual(self.names("options"), {"noout"})
        self.done(self.ceph.change(ceph.SetOption(name="noout", on=False)))

    def test_pools(self) -> None:
        """Pools come with what was asked for, are changed, and go with their volumes."""
        tier = next((osd["class"] for osd in self.look("osds") if osd["class"] in ceph.TIERS), "")
        self.twice(ceph.AddPool(pool="extra", pgs=4, copies=2, least=1, tier=tier))
        self.done(self.ceph.change(ceph.AddVolume(pool="extra", volume="v", size=MIB)))
        self.twice(ceph.SetPgs(pool="extra", pgs=8))
        [found] = [one for one in self.look("pools") if one["name"] == "extra"]
        told = {name: found[name] for name in ("pgs", "copies", "least", "applications")}
        self.assertEqual(told, {"pgs": 8, "copies": 2, "least": 1, "applications": ["rbd"]})
        self.twice(ceph.RemovePool(pool="extra"))
        self.assertEqual(found["tier"], tier)
        for subject in ("volumes", "images", "snapshots"):
            self.absent(subject, "extra")
        self.fails(self.ceph.change(ceph.SetPgs(pool="extra", pgs=8)))

    def test_volumes(self) -> None:
        """Volumes are made, grow, are called otherwise, copied and removed; each twice is once."""
        self.twice(ceph.AddVolume(**ONE, size=3 * MIB + 512))
        self.assertIn("exists", self.fails(self.ceph.change(ceph.AddVolume(**ONE, size=MIB))))
        self.twice(ceph.ResizeVolume(**ONE, size=5 * MIB))
        self.fails(self.ceph.change(ceph.ResizeVolume(**ONE, size=MIB)))
        self.twice(ceph.CopyVolume(**ONE, name="copy"))
        self.fails(self.ceph.change(ceph.RenameVolume(**ONE, name="copy")))
        self.twice(ceph.RenameVolume(**ONE, name="other"))
        [found] = self.look("volumes", "rbd", "other")
        self.assertEqual((found["size"], found["info"]["name"]), (5 * MIB, "other"))
        found_all = {one["name"]: one["size"] for one in self.look("volumes", "rbd")}
        self.assertEqual(
            {name: found_all.get(name) for name in ("copy", "other")},
            dict.fromkeys(("copy", "other"), 5 * MIB),
        )
        images = {one["name"]: one["info"]["size"] for one in self.look("images", "rbd")}
        self.assertEqual(images, found_all)
        for name in ("copy", "other"):
            self.twice(ceph.RemoveVolume(pool="rbd", volume=name))
        self.assertEqual(self.names("volumes") & {"one", "copy", "other"}, set())

    def test_snapshots(self) -> None:
        """Snapshots are taken, called otherwise, gone back to and forgotten, or go with their volume."""
        self.done(self.ceph.change(ceph.AddVolume(**ONE, size=4 * MIB)))
        self.twice(ceph.AddSnapshot(**ONE, snapshot="s"))
        self.done(self.ceph.change(ceph.ResizeVolume(**ONE, size=8 * MIB)))
        self.twice(ceph.RenameSnapshot(**ONE, snapshot="s", name="t"))
        self.fails(self.ceph.change(ceph.RenameSnapshot(**ONE, snapshot="none", name="u")))
        shown = {"pool": "rbd", "volume": "one", "name": "t", "size": 4 * MIB, "protected": False}
        self.assertEqual(self.look("snapshots", "rbd", "one"), (shown,))
        self.assertIn(shown, self.look("snapshots"))
        self.twice(ceph.RollBack(**ONE, snapshot="t"))
        self.assertEqual(self.look("volumes", "rbd", "one")[0]["size"], 4 * MIB)
        self.fails(self.ceph.change(ceph.RollBack(**ONE, snapshot="s")))
        self.done(self.ceph.change(ceph.AddSnapshot(**ONE, snapshot="u")))
        self.twice(ceph.RemoveSnapshot(**ONE, snapshot="t"))
        self.assertEqual(self.names("snapshots", "rbd", "one"), {"u"})
        self.done(self.ceph.change(ceph.RemoveVolume(**ONE)))
        for subject in ("volumes", "images", "snapshots", "locks"):
            self.absent(subject, "rbd", "one")

    def test_locks(self) -> None:
        """A lock is shown with who has it, and broken if he is meant, wherever Ceph says that he is."""
        self.done(self.ceph.change(ceph.AddVolume(**ONE, size=MIB)))
        self.lock("rbd", "one")
        [found] = self.look("locks", "rbd", "one")
        self.assertTrue(found["id"] and found["locker"])
        for others in ((), ("192.0.2.1", "fd00::1")):
            self.twice(ceph.BreakLocks(**ONE, addresses=others, host="nosuchnode"))
            self.assertEqual(self.look("locks", "rbd", "one"), (found,))
        self.twice(ceph.BreakLocks(**ONE, addresses=("192.0.2.1", machine_of(found["address"]))))
        self.assertEqual(self.look("locks", "rbd", "one"), ())
        self.lock("rbd", "one")
        self.twice(ceph.BreakLocks(**ONE))
        self.assertEqual(self.look("locks", "rbd", "one"), ())
        self.done(self.ceph.change(ceph.RemoveVolume(**ONE)))

    def test_osd(self) -> None:
        """An OSD is added, has its data go elsewhere, and is removed once it has none."""
        device, before = self.device(), {one["id"] for one in self.look("osds")}
        osd = self.twice(ceph.AddOsd(device=device, weight=WEIGHT))
        self.assertNotIn(osd, before)
        self.await_begun(osd)
        [found] = [one for one in self.look("osds") if one["id"] == osd]
        self.assertTrue(found["in"])
        self.assertAlmostEqual(found["weight"], WEIGHT, places=4)
        self.assertTrue(found["node"] and found["device"].startswith("/dev/"))
        self.assertIn("exists", found["state"])
        self.assertEqual({found[f"{what}_ops"] for what in ("read", "write")}, {0})
        self.done(self.ceph.change(ceph.MoveOsd(osd=osd, into=False)))
        self.await_drained(osd)
        self.twice(ceph.RemoveOsd(osd=osd))
        self.assertEqual({one["id"] for one in self.look("osds")}, before)
        self.fails(self.ceph.change(ceph.MoveOsd(osd=osd, into=True)))

    def test_refused(self) -> None:
        """Names that are none, and numbers that cannot be meant, are refused before anything is done."""
        for name in ("", "-x", "--yes", "a/b", "a@b", "a b", "..", "ä", "a\n"):
            self.fails(self.ceph.change(ceph.AddPool(pool=name, pgs=8)))
            self.fails(self.ceph.change(ceph.AddVolume(pool="rbd", volume=name, size=MIB)))
            self.fails(self.ceph.change(ceph.RenameVolume(**ONE, name=name)))
            self.fails(self.ceph.change(ceph.AddSnapshot(**ONE, snapshot=name)))
            self.fails(self.ceph.look("volumes", "rbd", name or "a/b"))
            self.fails(self.ceph.change(ceph.SetOption(name=name, on=True)))
        bad = (
            ceph.SetOption(name="nosuch", on=True),
            ceph.AddPool(pool="p", pgs=0),
            ceph.AddPool(pool="p", pgs=8, copies=1, least=2),
            ceph.AddPool(pool="p", pgs=8, copies=-1),
            ceph.AddPool(pool="p", pgs=8, tier="--all"),
            ceph.SetPgs(pool="rbd", pgs=1 << 30),
            ceph.AddVolume(**ONE, size=0),
            ceph.AddVolume(**ONE, size=1 << 63),
            ceph.AddOsd(device="/dev/x", weight=-1.0),
            ceph.AddOsd(device="/dev/x", weight=float("nan")),
        )
        for change in bad:
            self.fails(self.ceph.change(change))
        self.fails(self.ceph.look("locks", "rbd", "nosuchvolume"))
