"""Twisted's clock for tests that schedule very many calls."""

from bisect import insort
from collections.abc import Callable

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock


class _Call(DelayedCall):
    """A call that says when its time has changed."""

    moved: Callable[[], None]

    def reset(self, secondsFromNow: float) -> None:
        """See `IDelayedCall.reset`."""
        super().reset(secondsFromNow)
        self.moved()

    def delay(self, secondsLater: float) -> None:
        """See `IDelayedCall.delay`."""
        super().delay(secondsLater)
        self.moved()


def _unsorted(_: DelayedCall) -> None:
    """What is out of order is sorted when that next matters, as Twisted's does."""


class SwiftClock(Clock):
    """
    A clock that does just what `Clock` does, calls due at the same time in the same order included.

    Twisted's sorts all of its calls for each that comes or goes; here they stay in order unless one is moved.
    """

    def __init__(self) -> None:
        super().__init__()
        self._moved = False

    def _move(self) -> None:
        self._moved = True

    def _sortCalls(self) -> None:
        if self._moved:
            self._moved = False
            self.calls.sort(key=DelayedCall.getTime)

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        """See `IReactorTime.callLater`."""
        at, calls = self.seconds() + delay, self.calls
        call = _Call(at, callable, args, kw, calls.remove, _unsorted, self.seconds)
        call.moved = self._move
        if self._moved:
            calls.append(call)
            self._sortCalls()
        else:
            insort(calls, call, key=DelayedCall.getTime)
        return call

    def next_call(self) -> float | None:
        """When the next call is due; ``None`` when there is none."""
        if not self.calls:
            return None
        if self._moved:
            return min(map(DelayedCall.getTime, self.calls))
        first = self.calls[0]
        return first.time + first.delayed_time

    def advance(self, amount: float) -> None:
        """See `Clock.advance`."""
        self.rightNow += amount
        calls = self.calls
        while calls:
            if self._moved:
                self._sortCalls()
            call = calls[0]
            if call.time + call.delayed_time > self.seconds():
                break
            del calls[0]
            call.called = 1
            call.func(*call.args, **call.kw)
        self._sortCalls()
