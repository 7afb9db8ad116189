"""Tests of `twisted_rapi.ha.presence`."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.ha.presence import TTL, Presence
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.testing.candidates import Link, ProcessClock
from twisted_rapi.testing.memory_store import MemoryStore


class PresenceTests(SynchronousTestCase):
    """A record that is there as long as the daemon is."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)
        self.link = Link(self.store, ProcessClock(self.clock), self.clock)
        self.behind = 0.0
        record = CandidateRecord(uuid="n1", since=1.0, version="1")
        self.presence = Presence(self.link, self.link, record, self.clock, lambda: self.behind)
        self.presence.startService()

    def there(self) -> bool:
        """Whether the record is in the store."""
        found = self.successResultOf(Deferred.fromCoroutine(self.store.get(["candidate/n1"])))
        return bool(found)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

    def test_stays(self) -> None:
        """It is there while the daemon runs, and gone when it has been stopped."""
        self.assertTrue(self.there())
        self.advance(10 * TTL)
        self.assertTrue(self.there())
        self.successResultOf(self.presence.stopService())
        self.assertFalse(self.there())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_updated(self) -> None:
        """Another record is shown soon, on the same lease, and again after the lease was lost."""
        self.presence.update(CandidateRecord(uuid="n1", since=1.0, version="1", alike={"users": "a"}))
        self.advance(TTL / 3 + 0.1)
        self.assertEqual(self.shown().alike, {"users": "a"})
        self.link.mode = "cut"
        self.advance(TTL + 0.5)
        self.presence.update(CandidateRecord(uuid="n1", since=1.0, version="1", alike={"users": "b"}))
        self.link.mode = "up"
        self.advance(TTL)
        self.assertEqual(self.shown().alike, {"users": "b"})
        self.successResultOf(self.presence.stopService())
        self.assertFalse(self.there())

    def shown(self) -> CandidateRecord:
        """What is in the store."""
        found = self.successResultOf(Deferred.fromCoroutine(self.store.get(["candidate/n1"])))
        record = decode("candidate/n1", found["candidate/n1"].value)
        assert isinstance(record, CandidateRecord)
        return record

    def test_cut_off(self) -> None:
        """It is gone soon after the store was reached last, and comes again."""
        self.link.mode = "cut"
        self.advance(TTL + 0.5)
        self.assertFalse(self.there())
        self.link.mode = "up"
        self.advance(TTL)
        self.assertTrue(self.there())

    def test_behind(self) -> None:
        """A daemon that is not told of changes is not there to take over."""
        self.behind = 60.0
        self.advance(TTL + 0.5)
        self.assertFalse(self.there())
        self.behind = 0.0
        self.advance(TTL)
        self.assertTrue(self.there())

    def test_stopped_cut_off(self) -> None:
        """Stopping does not wait for a store that does not answer."""
        self.link.mode = "cut"
        stopped = self.presence.stopService()
        self.advance(1)
        self.successResultOf(stopped)
