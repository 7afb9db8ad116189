"""Tests of `twisted_rapi.ha.standing`: which candidates go for a free seat, and when."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.ha.standing import GRACE
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.candidates import Candidate
from twisted_rapi.testing.cluster import NODES, founding
from twisted_rapi.testing.memory_store import MemoryStore


class StandingTests(SynchronousTestCase):
    """Three candidates whose nodes are in the store."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)
        self.nodes = [record for record in founding()[0] if isinstance(record, NodeRecord)]
        self.put(*(replace(node, master_candidate=True) for node in self.nodes))
        self.all = [Candidate(uuid, self.store, self.clock, judged=True) for uuid in NODES]
        for candidate in self.all:
            self.addCleanup(candidate.leadership.stopService)

    def put(self, *records: Record) -> None:
        """Write without expecting anything."""
        self.done(self.store.commit(commit_of(records)))

    def done(self, work: Any) -> Any:
        """What the store in memory answers."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def begin(self, *numbers: int) -> None:
        """Have these seek the mastership."""
        for number in numbers:
            self.all[number].leadership.startService()

    def master(self) -> int | None:
        """Who has a term."""
        found = [number for number, candidate in enumerate(self.all) if candidate.term is not None]
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

    def test_not_every_node(self) -> None:
        """No candidate, offline, drained or unknown: not master, until that changes."""
        for change in ({"master_candidate": False}, {"offline": True}, {"drained": True}):
            with self.subTest(change=change):
                self.setUp()
                able = replace(self.nodes[0], master_candidate=True)
                self.put(replace(able, **change))
                self.begin(0)
                self.advance(10)
                self.assertIsNone(self.master())
                self.put(able)
                self.assertEqual(self.master(), 0)
        self.setUp()
        self.done(self.store.commit(commit_of(deletes=[self.nodes[1]])))
        self.begin(1)
        self.advance(10)
        self.assertIsNone(self.master())

    def test_late(self) -> None:
        """One whose node is no longer able by the time it takes the seat does not have it."""
        able = replace(self.nodes[0], master_candidate=True)
        link = self.all[0].link
        grant = link.grant

        async def granted(ttl: int) -> int:
            self.put(replace(able, offline=True))
            link.grant = grant  # type: ignore[method-assign]
            return await grant(ttl)

        link.grant = granted  # type: ignore[method-assign]
        self.begin(0)
        self.advance(10)
        self.assertIsNone(self.master())
        self.put(able)
        self.assertEqual(self.master(), 0)

    def hand_to(self, target: int) -> None:
        """Have the first give its term up for another."""
        self.assertEqual(self.master(), 0)
        self.put(SwitchRecord(term=1, target=NODES[target], asked=0.0, who="test"))
        self.advance(2)  # a term that ends at once is not sought again at once
        self.all[0].leadership.deposed()

    def test_handed_over(self) -> None:
        """The one it is handed to takes it at once, also before others that wait; the wish is gone then."""
        self.begin(0, 1, 2)
        self.hand_to(2)
        self.assertEqual(self.master(), 2)
        self.assertEqual(self.done(self.store.get([SwitchRecord.KIND])), {})
        self.advance(20)
        self.assertEqual((self.master(), self.all[2].served), (2, [2]))

    def test_not_taken(self) -> None:
        """When the one it is handed to does not come, another one takes it after a while."""
        self.begin(0)
        self.hand_to(2)
        self.advance(GRACE - 0.5)
        self.assertIsNone(self.master())
        self.advance(1)
        self.assertEqual(self.master(), 0)
        self.assertEqual(self.done(self.store.get([SwitchRecord.KIND])), {})

    def test_taken_back(self) -> None:
        """When the wish is taken back meanwhile, nobody waits any longer."""
        self.begin(0)
        self.hand_to(2)
        self.advance(1)
        wish = SwitchRecord(term=1, target=NODES[2], asked=0.0, who="test")
        self.done(self.store.commit(commit_of(deletes=[wish])))
        self.assertEqual(self.master(), 0)

    def test_old_wish(self) -> None:
        """What was wished of an earlier term, or refused, keeps nobody back."""
        for wish in (
            SwitchRecord(term=7, target=NODES[2], asked=0.0, who="test"),
            SwitchRecord(term=1, target=NODES[2], asked=0.0, who="test", refused="no"),
            SwitchRecord(term=1, target="", asked=0.0, who="test"),
        ):
            with self.subTest(wish=wish):
                self.setUp()
                self.begin(0)
                self.put(wish)
                self.advance(2)
                self.all[0].leadership.deposed()
                self.assertEqual(self.master(), 0)
