"""Tests of `twisted_rapi.ha.leased`: on clocks the tests hold, over a store in memory and a bad network."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StaleTerm
from twisted_rapi.ha.leased import SEAT
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.candidates import Candidate
from twisted_rapi.testing.memory_store import MemoryStore

STEP = 0.1


class World:
    """
    Candidates and what an agent hears of them.

    :ivar history: who acted for which term, in order.
    """

    def __init__(self, rates: tuple[float, ...] = (1.0, 1.0, 1.0)) -> None:
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)
        self.all = [Candidate(f"n{n}", self.store, self.clock, rate) for n, rate in enumerate(rates, 1)]
        self.history: list[tuple[int, str]] = []
        for candidate in self.all:
            candidate.leadership.startService()
        self.look()

    def masters(self) -> list[Candidate]:
        """Those who would act for a term now, were they awake."""
        return [candidate for candidate in self.all if candidate.term is not None]

    def look(self) -> None:
        """What must hold at every moment: one master at most, with the newest term and the seat."""
        masters = self.masters()
        assert len(masters) <= 1, [(m.name, m.term) for m in masters]
        for master in masters:
            assert master.term is not None
            found = self.found(self.store.get([SEAT, ElectionRecord.KIND]))
            record = decode(ElectionRecord.KIND, found[ElectionRecord.KIND].value)
            assert record == ElectionRecord(term=master.term, node=master.name), record
            assert found[SEAT].value == master.name.encode()
            if (master.term, master.name) not in self.history[-1:]:
                assert not self.history or master.term > self.history[-1][0], self.history
                self.history.append((master.term, master.name))

    def found(self, work: Any) -> Any:
        """What the store in memory answers."""
        results: list[Any] = []
        Deferred.fromCoroutine(work).addCallback(results.append)
        return results[0]

    def advance(self, seconds: float) -> None:
        """Let time pass, looking all the while."""
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            self.look()

    def heal(self) -> None:
        """Everything works again."""
        for candidate in self.all:
            candidate.link.mode, candidate.link.delay = "up", 0.0
            candidate.clock.go_on()


class LeasedCandidateTests(SynchronousTestCase):
    """One master at a time, and another one soon when it is lost."""

    def setUp(self) -> None:
        self.world = World()
        [self.master] = self.world.masters()

    def test_kept(self) -> None:
        """Who is master stays it, with the same term, as long as it renews."""
        self.world.advance(60)
        self.assertEqual(self.world.history, [(1, self.master.name)])

    def test_cut_off(self) -> None:
        """A master that is cut off gives its term up before another has one, within 4 s."""
        self.master.link.mode = "cut"
        self.world.advance(2.6)
        self.assertEqual(self.world.masters(), [])
        self.world.advance(1.4)
        [other] = self.world.masters()
        self.assertIsNot(other, self.master)
        self.assertEqual((other.term, self.master.served), (2, [1]))

    def test_stopped(self) -> None:
        """A process that was stopped knows when it wakes that its term is over, before anything is called."""
        self.master.clock.stop()
        self.world.advance(10)
        self.assertIsNone(self.master.term)
        [other] = self.world.masters()
        self.assertEqual(other.term, 2)
        self.master.clock.go_on()
        self.world.look()
        self.world.advance(5)
        self.assertEqual(self.world.masters(), [other])

    def test_late_answer(self) -> None:
        """An answer to a renewal that comes when the term is over does not bring it back."""
        self.master.link.delay = 2.9
        self.world.advance(3.4)
        self.assertIsNone(self.master.term)
        self.world.advance(3)
        self.world.look()

    def test_resigned(self) -> None:
        """Who resigns is replaced at once."""
        self.master.leadership.stopService()
        self.world.look()
        [other] = self.world.masters()
        self.assertEqual(other.term, 2)

    def test_fenced(self) -> None:
        """What an old master still writes is refused by the store."""
        self.master.link.mode = "cut"
        self.world.advance(5)
        failed = Deferred.fromCoroutine(self.world.store.commit(Commit(puts={"k": b""}, term=1)))
        self.failureResultOf(failed, StaleTerm)

    def test_lease_lost(self) -> None:
        """A lease that is gone, as after the store was restored, ends the term with the next renewal."""
        for lease in list(self.world.store._leases):
            self.world.found(self.world.store.revoke(lease))
        self.master.leadership._election._store.mode = "cut"  # type: ignore[attr-defined]
        self.master.link.mode = "up"
        self.world.clock.advance(1.0)
        self.assertIn(2, [term for candidate in self.world.all for term in candidate.served])

    def test_nothing_left(self) -> None:
        """Candidates that have stopped leave no timer behind."""
        for candidate in self.world.all:
            self.successResultOf(candidate.leadership.stopService())
        self.assertEqual(self.world.clock.getDelayedCalls(), [])


actions = st.lists(
    st.tuples(
        st.sampled_from(["cut", "mute", "up", "stop", "go on", "slow", "wait", "wait"]),
        st.integers(0, 2),
        st.integers(1, 60),
    ),
    max_size=30,
)
rates = st.tuples(*[st.floats(0.99, 1.01)] * 3)


class ScheduleTests(SynchronousTestCase):
    """Whatever happens to processes, clocks and network."""

    @settings(max_examples=150, deadline=None)
    @given(actions, rates)
    def test_one_master(self, actions: list[tuple[str, int, int]], rates: tuple[float, ...]) -> None:
        """Never do two act at the same time; terms rise; once all is well there is a master within 12 s."""
        world = World(rates)
        for action, who, amount in actions:
            candidate = world.all[who]
            match action:
                case "wait":
                    world.advance(amount * STEP)
                case "stop":
                    candidate.clock.stop()
                case "go on":
                    candidate.clock.go_on()
                case "slow":
                    candidate.link.mode, candidate.link.delay = "up", amount * STEP
                case _:
                    candidate.link.mode, candidate.link.delay = action, 0.0
            world.look()
            world.advance(STEP)
        world.heal()
        world.advance(12)
        self.assertEqual(len(world.masters()), 1)
