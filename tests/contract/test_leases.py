"""The contracts of `ILeases` and of the election among several, in memory and on a real etcd."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from tests.contract.etcd import shared_etcd
from tests.requirements import missing
from twisted_rapi.ha.election import IElection
from twisted_rapi.ha.leased import LeasedCandidate
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.testing.contracts.election import ElectionContract
from twisted_rapi.testing.contracts.leases import LeasesContract
from twisted_rapi.testing.memory_store import MemoryStore

any_reactor: Any = reactor


class MemoryLeasesTests(LeasesContract, TestCase):
    """Those in memory, on a held clock."""

    async def make(self) -> IStateStore:
        self.clock = Clock()
        return MemoryStore(clock=self.clock)

    async def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)


class EtcdLeasesTests(LeasesContract, TestCase):
    """Etcd's."""

    skip = missing("etcd")
    timeout = 60

    async def make(self) -> IStateStore:
        return await shared_etcd().store(any_reactor)

    async def wait(self, seconds: float) -> None:
        await deferLater(any_reactor, seconds)


class LeasedInMemoryTests(ElectionContract, TestCase):
    """Candidates over a store in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)

    def candidate(self, node: str) -> IElection:
        assert isinstance(self.store, MemoryStore)
        candidate = LeasedCandidate(self.store, self.store, node, self.clock)
        self.addCleanup(lambda: Deferred.fromCoroutine(candidate.resign()))
        return candidate


class LeasedOnEtcdTests(ElectionContract, TestCase):
    """Candidates over etcd."""

    skip = missing("etcd")
    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        self.store: Any = await shared_etcd().store(any_reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.close()))

    def candidate(self, node: str) -> IElection:
        candidate = LeasedCandidate(self.store, self.store, node, any_reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(candidate.resign()))
        return candidate

    async def test_waits(self) -> None:
        """A second candidate wins as soon as the first one resigns, or soon after its lease has ended."""
        first, second, third = (self.candidate(f"n{n}") for n in (1, 2, 3))
        await first.win()
        waiting = Deferred.fromCoroutine(second.win())
        await deferLater(any_reactor, 3.5)
        self.assertNoResult(waiting)
        self.assertTrue(first.holds())
        begun = any_reactor.seconds()
        await first.resign()
        self.assertEqual(await waiting, 2)
        self.assertLess(any_reactor.seconds() - begun, 2.0)
        waiting = Deferred.fromCoroutine(third.win())
        begun = any_reactor.seconds()
        assert isinstance(second, LeasedCandidate) and second._tenure is not None
        assert second._tenure.keeping is not None
        second._tenure.keeping.cancel()  # as if it were dead
        self.assertEqual(await waiting, 3)
        self.assertFalse(second.holds())
        took = any_reactor.seconds() - begun
        self.assertTrue(1.5 < took < 6, took)
