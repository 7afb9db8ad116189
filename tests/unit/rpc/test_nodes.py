"""How nodes are watched: again and again, whatever happens, and only once at a time; on a held clock."""

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.contract.test_nodes import record
from twisted_rapi.errors import NodeUnreachable, NoTerm, ProtocolMismatch, StaleTerm
from twisted_rapi.model.seen import FullReport, Heartbeat, NodeReport, Sighting
from twisted_rapi.model.steps import Delay, Outcome, Ping, Step, StopDomain
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.rpc.nodes import LONGEST_PAUSE, Nodes

STEP = StopDomain(instance="i1", hypervisor="fake", instance_uuid="u1")


@implementer(INodeAgent)
class Scripted:
    """
    An agent whose watches and steps end when the test says so.

    :ivar watches: per watch, where it tells and how to end it.
    """

    def __init__(self, deaf: bool = False) -> None:
        self.watches: list[tuple[Callable[[Sighting], None], Deferred[None]]] = []
        self.steps: list[Deferred[Outcome]] = []
        self.deaf = deaf

    async def perform(self, step: Step, term: int) -> Outcome:
        """See `INodeAgent.perform`."""
        d: Deferred[Outcome] = Deferred()
        self.steps.append(d)
        return await d

    async def watch(self, term: int, seen: Callable[[Sighting], None]) -> None:
        """See `INodeAgent.watch`."""
        d: Deferred[None] = Deferred()
        self.watches.append((seen, d))
        try:
            await d
        except CancelledError as e:
            if self.deaf:  # as what is cancelled inside of a connection may fail in any way
                raise ValueError("not what it should be") from e
            raise


class WatchTests(SynchronousTestCase):
    """One node."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = Scripted()
        self.term: int | None = 1
        self.deposed: list[int] = []
        self.nodes = Nodes(
            lambda _: self.agent, self.clock, Random(1), lambda: self.term, lambda: self.deposed.append(1)
        )
        self.nodes.set_nodes([record("a")])
        self.nodes.startService()
        self.addCleanup(self.nodes.stopService)

    def tell(self, memory: int = 1, watch: int = -1) -> None:
        self.agent.watches[watch][0](FullReport(report=NodeReport(memory_total=memory)))

    def end(self, error: Exception, watch: int = -1) -> None:
        self.agent.watches[watch][1].errback(error)

    def logged(self) -> list[str]:
        """The troubles that are logged from now on."""
        found: list[str] = []

        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            if "reason" in event:
                found.append(str(event["reason"]))

        observer: Any = note
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return found

    def test_bug(self) -> None:
        """A bug met while watching loses the node and is logged; it is watched again and found."""
        self.tell()
        self.end(ValueError("a bug"))
        self.assertEqual(self.nodes.reports, {})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.clock.advance(LONGEST_PAUSE)
        self.assertEqual(len(self.agent.watches), 2)
        self.tell()
        self.assertIn("a", self.nodes.reports)

    def test_every_error(self) -> None:
        """No kind of failure ends the watching, be it ten times in a row; attempts become rarer."""
        moments = []
        for _ in range(10):
            for error in (NodeUnreachable("x"), ProtocolMismatch("y"), ValueError("z"), CancelledError()):
                self.end(error)
                before = len(self.agent.watches)
                while len(self.agent.watches) == before:
                    self.clock.advance(0.01)
                    self.assertLess(self.clock.seconds(), 200)
                moments.append(self.clock.seconds())
        pauses = [b - a for a, b in pairwise(moments)]
        self.assertGreater(pauses[-1], pauses[0])
        self.assertLessEqual(max(pauses), LONGEST_PAUSE + 0.02)
        self.flushLoggedErrors(ValueError, CancelledError)

    def test_stale(self) -> None:
        """A node that has heard of a newer master deposes this one."""
        self.end(StaleTerm(1, 2))
        self.assertEqual(self.deposed, [1])

    def test_old_watch(self) -> None:
        """What a watch tells or how it ends after a new one began changes nothing."""
        self.agent.deaf = True
        self.tell(1)
        self.nodes.set_nodes([record("a", port=1812)])
        self.assertEqual((len(self.agent.watches), self.nodes.reports), (2, {}))
        self.tell(2, watch=0)
        self.assertEqual(self.nodes.reports, {})
        self.tell(3)
        self.tell(4, watch=0)
        self.assertEqual(self.nodes.reports["a"].memory_total, 3)
        self.clock.advance(10)
        self.assertEqual(len(self.agent.watches), 2)

    def test_one_watch(self) -> None:
        """A record that leads to the same place changes nothing of the watch; one marked offline ends it."""
        self.tell()
        self.nodes.set_nodes([record("a")])
        self.assertEqual(len(self.agent.watches), 1)
        self.assertIn("a", self.nodes.reports)
        self.nodes.set_nodes([record("a", offline=True)])
        self.assertEqual(self.nodes.reports, {})
        self.clock.advance(10)
        self.assertEqual(len(self.agent.watches), 1)

    def test_offline(self) -> None:
        """One that is marked offline is sent pings, and other steps only where that is asked for."""
        self.nodes.set_nodes([record("a", offline=True)])
        delay = Delay(instance="", seconds=1.0)
        refused = Deferred.fromCoroutine(self.nodes.perform("a", delay))
        self.failureResultOf(refused, NodeUnreachable)
        for step, asked in ((Ping(instance=""), False), (delay, True)):
            answer = Deferred.fromCoroutine(self.nodes.perform("a", step, offline=asked))
            self.agent.steps[-1].callback(Outcome())
            self.assertEqual(self.successResultOf(answer), Outcome())
        self.assertEqual(len(self.agent.steps), 2)

    def test_heartbeat_before_report(self) -> None:
        """Before the first full report nothing is known of a node, but that it was heard."""
        self.agent.watches[0][0](Heartbeat(memory_free=1))
        self.assertEqual((self.nodes.reports, self.nodes.age("a")), ({}, 0.0))
        self.clock.advance(3)
        self.assertEqual(self.nodes.age("a"), 3.0)

    def test_trouble_told_once(self) -> None:
        """Why a node cannot be watched is logged, once as long as it is the same, and again after it was."""
        told = self.logged()
        for error in ("another version", "another version", "no route", "no route"):
            self.end(ProtocolMismatch(error))
            self.clock.advance(LONGEST_PAUSE)
        self.assertEqual(told, ["another version", "no route"])
        self.tell()
        self.end(NodeUnreachable("no route"))
        self.assertEqual(told, ["another version", "no route", "no route"])

    def test_term_begins(self) -> None:
        """Without a term no node is watched and nothing is tried; each is, as soon as there is one again."""
        self.term = None
        self.end(NodeUnreachable("it was silent"))
        self.clock.advance(LONGEST_PAUSE)
        self.assertEqual(len(self.agent.watches), 1)
        self.nodes.term_begins()
        self.assertEqual(len(self.agent.watches), 1)
        self.clock.advance(60.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.term = 2
        self.nodes.term_begins()
        self.assertEqual(len(self.agent.watches), 2)

    def test_stopped_without_term(self) -> None:
        """What waits for a term can end, and is not begun by one that comes later."""
        self.term = None
        self.end(NodeUnreachable("it was silent"))
        self.clock.advance(LONGEST_PAUSE)
        self.nodes.stopService()
        self.term = 2
        self.nodes.term_begins()
        self.assertEqual(len(self.agent.watches), 1)

    def test_no_term(self) -> None:
        """Without a term nothing is sent, and that is what is told."""
        self.end(NodeUnreachable("x"))
        self.term = None
        self.clock.advance(LONGEST_PAUSE)
        self.assertEqual(len(self.agent.watches), 1)
        for node in ("a", "nosuch"):
            refused = self.failureResultOf(Deferred.fromCoroutine(self.nodes.perform(node, STEP)), NoTerm)
            self.assertEqual(str(refused.value), "no term is held now")
        self.assertEqual(self.agent.steps, [])

    def test_stopped(self) -> None:
        """Stopping ends the watch, however that fails, forgets what is known, and leaves no timer."""
        self.agent.deaf = True
        self.tell()
        stopped = self.nodes.stopService()
        self.successResultOf(stopped)
        self.assertEqual((self.nodes.reports, self.clock.getDelayedCalls()), ({}, []))

    def perform(self, patience: float = 0.0) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.nodes.perform("a", STEP, patience))

    def test_patience(self) -> None:
        """A step that was not answered is sent again when the node is heard of anew."""
        self.tell()
        d = self.perform(30)
        self.agent.steps[0].errback(NodeUnreachable("lost"))
        self.assertEqual(self.nodes.reports, {})
        self.clock.advance(0.2)
        self.assertEqual((len(self.agent.watches), len(self.agent.steps)), (2, 1))
        self.tell()
        self.agent.steps[1].callback(Outcome(text="done"))
        self.assertEqual(self.successResultOf(d).text, "done")

    def test_patience_ends(self) -> None:
        """A node that does not come back fails the step when patience ends."""
        self.tell()
        d = self.perform(30)
        self.agent.steps[0].errback(NodeUnreachable("lost"))
        self.clock.advance(29)
        self.assertNoResult(d)
        self.clock.advance(1)
        self.assertEqual(str(self.failureResultOf(d, NodeUnreachable).value), "lost")

    def test_no_busy_loop(self) -> None:
        """A node that answers watches and loses every step is asked again at a measured pace."""
        self.tell()
        told = 1
        d = self.perform(5)
        while not d.called:
            if self.agent.steps and not self.agent.steps[-1].called:
                self.agent.steps[-1].errback(NodeUnreachable("lost"))
            if len(self.agent.watches) > told:
                told = len(self.agent.watches)
                self.tell()
            else:
                self.clock.advance(0.01)
            self.assertLess(len(self.agent.steps), 55)
        self.failureResultOf(d, NodeUnreachable)
        self.assertGreater(len(self.agent.steps), 20)

    def test_gone_meanwhile(self) -> None:
        """A node that an observer takes away while its step is let down is not watched any more."""
        self.tell()
        self.nodes.observe(lambda _: self.nodes.set_nodes([]))
        d = self.perform(30)
        self.agent.steps[0].errback(NodeUnreachable("lost"))
        self.clock.advance(40)
        self.failureResultOf(d, NodeUnreachable)
        self.assertEqual(len(self.agent.watches), 1)

    def test_missed(self) -> None:
        """A step is not waited for until its own deadline when its node stays away."""
        self.tell()
        d = self.perform(0)
        self.end(NodeUnreachable("gone"))
        self.clock.pump([1.0] * 9)
        self.assertNoResult(d)
        self.clock.pump([1.0] * 2)
        self.assertIn("missed", str(self.failureResultOf(d, NodeUnreachable).value))

    def test_missed_shortly(self) -> None:
        """One whose node is back soon goes on."""
        self.tell()
        d = self.perform(0)
        self.end(NodeUnreachable("gone"))
        self.clock.pump([1.0] * 3)
        self.tell()
        self.clock.pump([1.0] * 20)
        self.agent.steps[0].callback(Outcome(text="well"))
        self.assertEqual(self.successResultOf(d).text, "well")
