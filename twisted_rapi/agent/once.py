"""Work that is under way once, however many wait for it."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Once:
    """
    Carries `work` out; who asks while it is under way waits for that.

    :param work: must not raise.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]], clock: IReactorTime) -> None:
        self._work, self._clock = work, clock
        self._waiting: list[Deferred[None]] | None = None

    @property
    def under_way(self) -> bool:
        """Whether it is being carried out."""
        return self._waiting is not None

    def begin(self) -> None:
        """Have it carried out, unless it is under way; wait for nothing."""
        if self._waiting is None:
            self._waiting = []
            Deferred.fromCoroutine(self._work()).addBoth(self._ended)

    async def done(self, patience: float | None = None) -> bool:
        """
        Have it carried out and wait for it; cancelling ends the wait only.

        :param patience: seconds to wait at most; ``None`` for however long it takes.
        :returns: whether it was done in time; it goes on otherwise.
        """
        self.begin()
        if self._waiting is None:
            return True
        ended: Deferred[None] = Deferred()
        in_time: Deferred[bool] = Deferred()
        ended.addCallback(lambda _: None if in_time.called else in_time.callback(True))
        self._waiting.append(ended)
        if patience is None:
            return await in_time
        late = self._clock.callLater(patience, in_time.callback, False)
        try:
            return await in_time
        finally:
            if late.active():
                late.cancel()

    def _ended(self, result: object) -> object:
        waiting, self._waiting = self._waiting or [], None
        for d in waiting:
            d.callback(None)
        return result
