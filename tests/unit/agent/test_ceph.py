"""Tests of the steps about Ceph."""

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from tests.unit.agent.test_machine import MachineCase
from twisted_rapi.agent.ceph import LOOKS
from twisted_rapi.agent.node import Node
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import ceph, steps
from twisted_rapi.model.ceph_steps import turn
from twisted_rapi.storage.ceph_interface import ICeph, Seen
from twisted_rapi.storage.simulated_ceph import CephNotes, SimulatedCeph
from twisted_rapi.testing.agents import at_once
from twisted_rapi.testing.volumes import MemoryShelf


@implementer(ICeph)
class SlowCeph:
    """
    A Ceph that answers when it is told to.

    :ivar asked: the looks.
    """

    def __init__(self) -> None:
        self.asked: list[Deferred[tuple[Seen, ...]]] = []

    async def look(self, subject: ceph.Subject, pool: str = "", volume: str = "") -> tuple[Seen, ...]:
        """See `ICeph.look`."""
        self.asked.append(Deferred())
        return await self.asked[-1]

    async def change(self, change: ceph.AnyChange) -> int:
        """Nothing is changed here."""
        return 0

    async def drained(self, osd: int) -> bool:
        """There is none."""
        return True


class CephStepTests(MachineCase):
    """A node that reaches a Ceph, and one that does not."""

    def setUp(self) -> None:
        super().setUp()
        self.images = MemoryShelf()
        self.node = self.begun(ceph=SimulatedCeph(CephNotes(MemoryShelf(), self.images), at_once))

    def change(self, change: ceph.AnyChange) -> str:
        """What it answers, asked for twice."""
        step = steps.ChangeCeph(instance=turn(change), change=change)
        first = self.does(self.node, step).text
        self.assertEqual(self.does(self.node, step).text, first)
        return first

    def look(self, node: Node, subject: ceph.Subject) -> tuple[dict[str, object], ...]:
        """What there is."""
        return self.does(node, steps.LookAtCeph(instance="", subject=subject)).units

    def test_changed(self) -> None:
        """What was changed is seen at the next look; only of an OSD there is an answer."""
        self.assertEqual(self.change(ceph.AddVolume(pool="rbd", volume="v", size=1 << 20)), "")
        self.assertEqual(self.look(self.node, "volumes"), ({"pool": "rbd", "name": "v", "size": 1 << 20},))
        self.assertEqual(self.change(ceph.AddOsd(device="/dev/sdb")), "0")

    def test_drained(self) -> None:
        """An OSD is waited for as long as that is asked for, and no longer than it takes."""
        self.change(ceph.AddVolume(pool="rbd", volume="v", size=1 << 20))
        for device in ("/dev/sdb", "/dev/sdc"):
            self.change(ceph.AddOsd(device=device))
        step = steps.AwaitDrained(instance="", osd=0, at_most=5.0)
        in_vain = Deferred.fromCoroutine(self.node.perform(step, 1))
        self.clock.pump([2.0, 2.0, 0.9])
        self.assertNoResult(in_vain)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(in_vain).text, "")
        work = Deferred.fromCoroutine(self.node.perform(step, 1))
        self.change(ceph.MoveOsd(osd=0, into=False))
        self.clock.advance(1.9)
        self.assertNoResult(work)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(work).text, "yes")
        self.change(ceph.RemoveOsd(osd=0))

    def test_crowd(self) -> None:
        """Only so many looks are under way at the same time, and one that fails makes room."""
        slow = SlowCeph()
        node = self.begun(ceph=slow)
        asked = [steps.LookAtCeph(instance="", subject="osds") for _ in range(LOOKS + 2)]
        looks = [Deferred.fromCoroutine(node.perform(step, 1)) for step in asked]
        self.assertEqual(len(slow.asked), LOOKS)
        slow.asked[0].errback(StepFailed("no", "storage"))
        self.failureResultOf(looks[0], StepFailed)
        self.assertEqual(len(slow.asked), LOOKS + 1)
        for d in slow.asked[1:]:
            d.callback(())
        slow.asked[-1].callback(())
        self.assertEqual(self.successResultOf(looks[-1]).units, ())

    def test_gone(self) -> None:
        """A look that nobody waits for any more is ended, or never begun, and keeps nobody waiting."""
        slow = SlowCeph()
        node = self.begun(ceph=slow)
        asked = [steps.LookAtCeph(instance="", subject="osds") for _ in range(LOOKS + 2)]
        looks = [Deferred.fromCoroutine(node.perform(step, 1)) for step in asked]
        looks[LOOKS].cancel()
        self.failureResultOf(looks[LOOKS], CancelledError)
        looks[0].cancel()
        self.failureResultOf(looks[0], CancelledError)
        self.assertEqual(len(slow.asked), LOOKS + 1)
        slow.asked[-1].callback(())
        self.assertEqual(self.successResultOf(looks[-1]).units, ())
        for look in looks[1:LOOKS]:
            look.cancel()
            self.failureResultOf(look, CancelledError)

    def test_none(self) -> None:
        """A node without one says so, and reports which it is."""
        node = self.begun()
        error = self.fails(node, steps.LookAtCeph(instance="", subject="status"))
        self.assertEqual((error.kind, error.text), ("storage", "this node reaches no Ceph"))

    def test_turns(self) -> None:
        """Steps of one volume, pool or OSD wait for each other, others do not."""
        one = {"pool": "p", "volume": "v"}
        turns = [turn(ceph.AddVolume(**one, size=1)), turn(ceph.RemoveSnapshot(**one, snapshot="s"))]
        self.assertEqual(turns, ["ceph p v"] * 2)
        self.assertEqual(turn(ceph.MoveOsd(osd=0, into=True)), "ceph 0")
        self.assertEqual(turn(ceph.AddOsd(device="/dev/sdb")), "ceph /dev/sdb")
        self.assertEqual(turn(ceph.SetOption(name="noout", on=True)), "ceph")
