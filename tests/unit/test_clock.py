"""The clock of the tests, against Twisted's."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.testing.clock import SwiftClock

TIMES = st.integers(0, 4).map(float)
NUMBERS = st.integers(0, 12)
OPERATIONS = st.one_of(
    st.tuples(st.just("call"), TIMES),
    st.tuples(st.just("cancel"), NUMBERS),
    st.tuples(st.just("reset"), NUMBERS, TIMES),
    st.tuples(st.just("delay"), NUMBERS, st.integers(-4, 4).map(float)),
    st.tuples(st.just("advance"), TIMES),
)


class Played:
    """
    What operations lead to on a clock.

    :ivar seen: everything that can be seen of it, in order.
    """

    def __init__(self, clock: Clock, during: dict[int, list[tuple[Any, ...]]]) -> None:
        self.clock, self.during = clock, during
        self.made: list[Any] = []
        self.seen: list[Any] = []

    def play(self, operations: list[tuple[Any, ...]]) -> None:
        """Do these; `during` says what calls do when they are made."""
        for name, *arguments in operations:
            try:
                getattr(self, f"do_{name}")(*arguments)
            except (AlreadyCalled, AlreadyCancelled, IndexError) as e:
                self.seen.append(type(e))
            pending = [(call.args[0], call.getTime()) for call in self.clock.getDelayedCalls()]  # type: ignore[attr-defined]
            self.seen.append((self.clock.seconds(), pending))

    def do_call(self, delay: float) -> None:
        self.made.append(self.clock.callLater(delay, self._called, len(self.made)))

    def do_cancel(self, number: int) -> None:
        self.made[number].cancel()

    def do_reset(self, number: int, delay: float) -> None:
        self.made[number].reset(delay)

    def do_delay(self, number: int, delay: float) -> None:
        self.made[number].delay(delay)

    def do_advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _called(self, number: int) -> None:
        self.seen.append(number)
        self.play([operation for operation in self.during.get(number, ()) if operation[0] != "advance"])


class SwiftClockTests(SynchronousTestCase):
    """`SwiftClock` is `Clock`, faster."""

    @given(st.lists(OPERATIONS, max_size=30), st.dictionaries(NUMBERS, st.lists(OPERATIONS, max_size=3)))
    def test_same(self, operations: list[tuple[Any, ...]], during: dict[int, list[tuple[Any, ...]]]) -> None:
        """
        Whatever is called, cancelled and moved: the same calls are made and pend, in the same order.

        Also those due at the same time, and what calls do that are being made.
        """
        twisted, swift = Played(Clock(), during), Played(SwiftClock(), during)
        for played in (twisted, swift):
            played.play([*operations, ("advance", 20.0)])
        self.assertEqual(swift.seen, twisted.seen)

    @given(st.lists(OPERATIONS, max_size=20))
    def test_next_call(self, operations: list[tuple[Any, ...]]) -> None:
        """The time of the next call is known, and asking for it changes nothing."""
        played, asked = Played(SwiftClock(), {}), Played(SwiftClock(), {})
        for operation in operations:
            played.play([operation])
            asked.play([operation])
            assert isinstance(asked.clock, SwiftClock)
            times = [call.getTime() for call in asked.clock.getDelayedCalls()]
            self.assertEqual(asked.clock.next_call(), min(times, default=None))
        self.assertEqual(asked.seen, played.seen)
