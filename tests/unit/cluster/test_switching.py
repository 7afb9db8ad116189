"""Tests of `twisted_rapi.cluster.switching`."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.switching import DRAIN
from twisted_rapi.errors import BadRequest
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.model.opcodes.cluster import TestDelay
from twisted_rapi.model.records import job_status
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, make_cluster

TWO = NODES[1]


class SwitchingTests(SynchronousTestCase):
    """A master that is asked to give its term up."""

    def setUp(self) -> None:
        self.fake = make_cluster()
        self.addCleanup(self.fake.stop)
        for uuid in NODES[1:]:
            self.fake.add_candidate(uuid)

    def put(self, *records: Any) -> None:
        """Write without expecting anything."""
        self.successResultOf(Deferred.fromCoroutine(self.fake.store.commit(commit_of(records))))

    def ask(self, target: str = "") -> Deferred[SwitchRecord]:
        """Wish for another master."""
        return Deferred.fromCoroutine(self.fake.cluster.switch_master(target, "op"))

    def test_given_up(self) -> None:
        """The wish is stored for this term, and the term ends."""
        wish = self.successResultOf(self.ask(TWO))
        self.assertEqual((wish.term, wish.target, wish.who), (1, TWO, "op"))
        self.fake.clock.advance(0)
        self.assertEqual(self.fake.deposed, [True])
        self.assertEqual(self.fake.snapshot.switch, wish)

    def test_any(self) -> None:
        """Without a target the master chooses, and says whom."""
        self.successResultOf(self.ask())
        assert self.fake.snapshot.switch is not None
        self.assertEqual(self.fake.snapshot.switch.target, TWO)
        self.fake.clock.advance(0)
        self.assertEqual(self.fake.deposed, [True])

    def test_refused(self) -> None:
        """What cannot be is refused with nothing stored; the term goes on."""
        for target in (NODES[0], "nobody"):
            self.failureResultOf(self.ask(target), BadRequest)
        self.assertIsNone(self.fake.snapshot.switch)
        self.fake.clock.advance(5)
        self.assertEqual(self.fake.deposed, [])

    def test_wished_by_a_tool(self) -> None:
        """A wish that a tool has stored is followed, or refused where it stands."""
        self.put(SwitchRecord(term=1, target="nobody", asked=1.0, who="tool"))
        assert self.fake.snapshot.switch is not None
        self.assertIn("no such node", self.fake.snapshot.switch.refused)
        self.put(SwitchRecord(term=1, target=TWO, asked=2.0, who="tool"))
        self.fake.clock.advance(0)
        self.assertEqual(self.fake.deposed, [True])

    def test_other_term(self) -> None:
        """A wish about another term is nothing to this one."""
        self.put(SwitchRecord(term=7, target=TWO, asked=1.0, who="tool"))
        self.fake.clock.advance(5)
        self.assertEqual(self.fake.deposed, [])

    def test_jobs(self) -> None:
        """Who waits for a job is sent home with it as it is; what is submitted meanwhile does not begin."""
        self.fake.nodes.hold()
        running = self.submit()
        waiting = Deferred.fromCoroutine(self.fake.cluster.wait(running, lambda _: True, 60.0))
        self.assertNoResult(waiting)
        self.successResultOf(self.ask(TWO))
        job = self.successResultOf(waiting)
        assert job is not None
        self.assertEqual(job_status(job), "running")
        queued = self.fake.table.get(self.submit())
        assert queued is not None
        self.assertEqual(job_status(queued), "queued")

    def submit(self) -> int:
        """A job that takes a while."""
        op = TestDelay(duration=30.0, on_master=True)
        return int(self.successResultOf(Deferred.fromCoroutine(self.fake.cluster.submit([op]))))


class DrainTests(SynchronousTestCase):
    """Requests that are being answered."""

    def test_awaited(self) -> None:
        """They are given a moment; then the term ends all the same."""
        busy: Deferred[None] = Deferred()
        fake = make_cluster(quiet=lambda: busy)
        self.addCleanup(fake.stop)
        fake.add_candidate(TWO)
        wish = SwitchRecord(term=1, target=TWO, asked=1.0, who="tool")
        self.successResultOf(Deferred.fromCoroutine(fake.store.commit(commit_of([wish]))))
        fake.clock.advance(DRAIN / 2)
        self.assertEqual(fake.deposed, [])
        fake.clock.advance(DRAIN / 2)
        fake.clock.advance(0)
        self.assertEqual(fake.deposed, [True])
