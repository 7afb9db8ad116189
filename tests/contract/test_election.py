"""Elections under their contract."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from twisted_rapi.ha.address import BoundElection
from twisted_rapi.ha.election import IElection, SoleCandidate
from twisted_rapi.state.sqlite import open_store
from twisted_rapi.testing.contracts.election import ElectionContract
from twisted_rapi.testing.election import ScriptedElection
from twisted_rapi.testing.floating import PassedAround, Segment
from twisted_rapi.testing.memory_store import MemoryStore


class SoleCandidateTests(ElectionContract, TestCase):
    """The only candidate, over a store in memory."""

    def setUp(self) -> None:
        self.store = MemoryStore()

    def candidate(self, node: str) -> IElection:
        """One over the store."""
        return SoleCandidate(self.store, node)


class SoleCandidateOnSQLiteTests(ElectionContract, TestCase):
    """The only candidate, over SQLite."""

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted.internet import reactor

        any_reactor: Any = reactor
        self.store = await open_store(Path(self.mktemp()), any_reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.close()))

    def candidate(self, node: str) -> IElection:
        """One over the store."""
        return SoleCandidate(self.store, node)


class BoundElectionTests(ElectionContract, TestCase):
    """One that is bound to an address, which is here."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.segment = Segment(Clock())
        self.segment.put("a")

    def candidate(self, node: str) -> IElection:
        """One on that host."""
        return BoundElection(SoleCandidate(self.store, node), PassedAround(self.segment, "a"))


class ScriptedElectionTests(ElectionContract, TestCase):
    """The tests' own."""

    def setUp(self) -> None:
        self.store = MemoryStore()

    def candidate(self, node: str) -> IElection:
        """One over the store."""
        return ScriptedElection(self.store, node)

    async def win(self, candidate: Any) -> int:
        """Have it win with a term that may have been had before."""
        winning = Deferred.fromCoroutine(candidate.win())
        candidate.asked[-1].callback(1)
        term: int = await winning
        return term
