"""What is handed over with the mastership, by what the store says."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.handover import Handover
from twisted_rapi.model.mastership import ElectionRecord, SwitchRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.net.passage import Passage
from twisted_rapi.state.snapshot import load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, founding
from twisted_rapi.testing.memory_store import MemoryStore


def wish(term: int, refused: str = "") -> SwitchRecord:
    """That another one be master."""
    return SwitchRecord(term=term, target=NODES[1], asked=0.0, who="x", refused=refused)


class HandoverTests(SynchronousTestCase):
    """`Handover`, on the second node; the first is master."""

    def setUp(self) -> None:
        self.store, self.clock, self.fed = MemoryStore(), Clock(), list[str]()
        records, names = founding()
        self.commit(*records, names=names)
        self.commit(ElectionRecord(term=1, node=NODES[0]))
        self.snapshot = self.now(load(self.store, self.clock))
        self.snapshot.startService()
        self.addCleanup(self.snapshot.stopService)
        address = ip_address("192.0.2.100")
        self.passage = Passage(self.clock, self._at_once, address, 5080, None, self._feed)
        self.addCleanup(self.passage.stop)
        self.now(self.passage.open())
        self.handover = Handover(self.passage, self.snapshot, NODES[1])

    def _feed(self, rules: str) -> str:
        self.fed.append(rules)
        return ""

    def _at_once(self, work: Any, *args: Any) -> Deferred[Any]:
        return succeed(work(*args))

    def now(self, awaitable: Any) -> Any:
        """What it answers without waiting."""
        return self.successResultOf(Deferred.fromCoroutine(awaitable))

    def commit(self, *puts: Record, deletes: Sequence[Record] = (), **more: Any) -> None:
        """Store these."""
        self.now(self.store.commit(commit_of(puts, deletes=deletes, **more)))

    def test_known(self) -> None:
        """The next master is known from the wish until the term ends, unless it is refused or an old one."""
        self.assertFalse(self.handover.known())
        for stored, expected in ((wish(1), True), (wish(1, "no"), False), (wish(0), False), (wish(1), True)):
            self.commit(stored)
            self.assertEqual(self.handover.known(), expected, stored)
        self.commit(ElectionRecord(term=2, node=NODES[1]), deletes=[wish(1)])
        self.assertFalse(self.handover.known())

    def test_no_passage(self) -> None:
        """Where connections cannot go on they are ended, as ever."""
        self.passage.is_open = False
        self.commit(wish(1))
        self.assertFalse(self.handover.known())

    def test_welcome(self) -> None:
        """Who took over by a wish leads connections back to the former master."""
        self.commit(wish(1))
        self.commit(ElectionRecord(term=2, node=NODES[1]), deletes=[wish(1)])
        self.now(self.handover.welcome())
        self.assertIn(f"dup to {self.snapshot.nodes[NODES[0]].primary_ip}", self.fed[-1])

    def test_alone(self) -> None:
        """Who took over otherwise, or from itself, does not."""
        self.commit(ElectionRecord(term=2, node=NODES[1]))
        self.now(self.handover.welcome())
        self.commit(wish(2))
        self.commit(ElectionRecord(term=3, node=NODES[1]), deletes=[wish(2)])
        self.now(self.handover.welcome())
        self.assertEqual(len(self.fed), 1)
