"""Who has the seat."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StoreUnreachable
from twisted_rapi.ha.leased import SEAT
from twisted_rapi.ha.seat import AGAIN, SeatWatch
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.memory_store import MemoryStore


class Unreachable(MemoryStore):
    """A store that cannot be read for a while."""

    away = True

    async def list(self, *args: Any, **named: Any) -> Any:
        """See `IStateStore.list`."""
        if self.away:
            raise StoreUnreachable("it is away")
        return await super().list(*args, **named)


class SeatWatchTests(SynchronousTestCase):
    """One that follows a store in memory."""

    def follow(self, store: MemoryStore) -> SeatWatch:
        """Begin."""
        self.clock, self.store = Clock(), store
        self.told: list[str] = []
        watch = SeatWatch(store, self.clock, lambda: self.told.append(watch.holder))
        watch.startService()
        self.addCleanup(watch.stopService)
        return watch

    def commit(self, commit: Commit) -> None:
        """Change the store."""
        self.successResultOf(Deferred.fromCoroutine(self.store.commit(commit)))

    def test_followed(self) -> None:
        """It is known who has it, and told once when another one has, or nobody."""
        watch = self.follow(MemoryStore())
        for value in (b"a", b"a", b"b"):
            self.commit(Commit(puts={SEAT: value}))
        self.commit(Commit(deletes=frozenset({SEAT})))
        self.commit(Commit(puts={"seats": b"c"}))
        self.assertEqual((self.told, watch.holder), (["a", "b", ""], ""))
        watch.stopService()
        self.commit(Commit(puts={SEAT: b"a"}))
        self.assertEqual(watch.holder, "")

    def test_away(self) -> None:
        """A store that cannot be read is read again."""
        store = Unreachable()
        watch = self.follow(store)
        self.commit(Commit(puts={SEAT: b"a"}))
        self.clock.advance(AGAIN)
        store.away = False
        self.assertEqual(self.told, [])
        self.clock.advance(AGAIN)
        self.assertEqual(watch.holder, "a")

    def test_closed(self) -> None:
        """A store that was closed ends it."""
        self.follow(MemoryStore())
        self.successResultOf(Deferred.fromCoroutine(self.store.close()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
