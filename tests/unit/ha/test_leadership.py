"""Tests of `twisted_rapi.ha.leadership`."""

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StoreError
from twisted_rapi.ha.leadership import Leadership
from twisted_rapi.testing.election import ScriptedElection
from twisted_rapi.testing.memory_store import MemoryStore


class Duty(Service):
    """What a master runs, with an end that can be held."""

    def __init__(self, term: int) -> None:
        self.term = term
        self.end: Deferred[None] | None = None

    def stopService(self) -> Deferred[None] | None:
        """End, when the test lets it."""
        super().stopService()
        return self.end


class LeadershipTests(SynchronousTestCase):
    """A term begins when the election is won and everything of it ends with it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.election = ScriptedElection(MemoryStore())
        self.built: list[Duty] = []
        self.leadership = Leadership(self.election, self.build, self.clock)
        self.leadership.startService()

    def build(self, term: int) -> IService:
        self.built.append(Duty(term))
        return self.built[-1]

    def hold_end(self) -> Deferred[None]:
        end: Deferred[None] = Deferred()
        self.built[0].end = end
        return end

    def test_won(self) -> None:
        """Winning starts the duties of that term."""
        self.assertEqual(self.built, [])
        self.election.asked[0].callback(7)
        self.assertEqual((self.leadership.term, self.built[0].term, self.built[0].running), (7, 7, 1))

    def test_deposed_from_within(self) -> None:
        """What runs in a term ends it once it has given the reactor back, and never a later one."""
        self.election.asked[0].callback(1)
        self.clock.advance(1.0)
        self.leadership.deposed_from_within()
        self.leadership.deposed_from_within()
        self.assertEqual(self.leadership.term, 1)
        self.clock.advance(0)
        self.assertEqual((self.leadership.term, self.built[0].running), (None, 0))
        self.election.asked[1].callback(2)
        self.clock.advance(0)
        self.assertEqual(self.leadership.term, 2)

    def test_deposed(self) -> None:
        """Being deposed ends the duties before the next election is sought."""
        self.election.asked[0].callback(1)
        end = self.hold_end()
        self.clock.advance(1.0)
        self.leadership.deposed()
        self.assertEqual(
            (self.leadership.term, self.built[0].running, len(self.election.asked)), (None, 0, 1)
        )
        end.callback(None)
        self.assertEqual(len(self.election.asked), 2)
        self.election.asked[1].callback(5)
        self.assertEqual([d.term for d in self.built], [1, 5])

    def test_deposed_twice(self) -> None:
        """Hearing of it again while resigning changes nothing."""
        self.election.asked[0].callback(1)
        self.hold_end()
        self.leadership.deposed()
        self.leadership.deposed()
        self.assertEqual(len(self.election.asked), 1)

    def test_short_term(self) -> None:
        """After a term that ends as soon as it begins, the next is sought a second later, not in a circle."""
        self.election.asked[0].callback(1)
        self.leadership.deposed()
        self.assertEqual((len(self.election.asked), self.leadership.term), (1, None))
        self.clock.advance(0.9)
        self.assertEqual(len(self.election.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.election.asked), 2)

    def test_ends_as_it_begins(self) -> None:
        """Duties that find out while they begin that the term is over are ended too."""
        build = self.leadership._build

        def over(term: int) -> IService:
            duty = build(term)
            duty.startService = self.leadership.deposed  # type: ignore[method-assign]
            return duty

        self.leadership._build = over
        self.election.asked[0].callback(1)
        self.assertEqual((self.leadership.term, list(self.leadership)), (None, []))
        self.clock.advance(1.0)
        self.assertEqual(len(self.election.asked), 2)

    def test_cannot_build(self) -> None:
        """A term whose duties cannot be made is given up, and the next is tried."""

        def broken(term: int) -> IService:
            raise ZeroDivisionError("odd")

        self.leadership._build, build = broken, self.leadership._build
        self.election.asked[0].callback(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.leadership._build = build
        self.clock.advance(1.0)
        self.election.asked[1].callback(2)
        self.assertEqual([d.term for d in self.built], [2])

    def test_election_bug(self) -> None:
        """A bug in the election is logged; it is tried again."""
        self.election.asked[0].errback(ZeroDivisionError("odd"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(1.0)
        self.election.asked[1].callback(1)
        self.assertEqual(self.leadership.term, 1)

    def test_stop_between_attempts(self) -> None:
        """Stopping while the next attempt is waited for leaves no timer behind."""
        self.election.asked[0].errback(StoreError("gone"))
        self.successResultOf(self.leadership.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_early(self) -> None:
        """Hearing of a higher term before and after having been master changes nothing."""
        self.leadership.deposed()
        self.successResultOf(self.leadership.stopService())
        self.leadership.deposed()
        self.assertEqual((self.built, len(self.election.asked)), ([], 1))

    def test_election_fails(self) -> None:
        """An election that cannot be held is tried again a second later."""
        self.election.asked[0].errback(StoreError("gone"))
        self.assertEqual(len(self.election.asked), 1)
        self.clock.advance(1.0)
        self.assertEqual(len(self.election.asked), 2)

    def test_stop_leading(self) -> None:
        """Stopping waits for the duties to end."""
        self.election.asked[0].callback(1)
        end = self.hold_end()
        stopped = self.leadership.stopService()
        self.assertNoResult(stopped)
        end.callback(None)
        self.successResultOf(stopped)

    def test_stop_following(self) -> None:
        """Stopping before the election is won ends at once and nothing is built later."""
        self.successResultOf(self.leadership.stopService())
        self.assertEqual(self.built, [])

    def test_stop_resigning(self) -> None:
        """Stopping while resigning waits, and does not seek again."""
        self.election.asked[0].callback(1)
        end = self.hold_end()
        self.leadership.deposed()
        stopped = self.leadership.stopService()
        self.assertNoResult(stopped)
        end.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(len(self.election.asked), 1)

    def test_duty_ends_badly(self) -> None:
        """A duty that fails to end is logged and does not keep the others."""
        self.election.asked[0].callback(1)
        end = self.hold_end()
        stopped = self.leadership.stopService()
        end.errback(ValueError("no"))
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
