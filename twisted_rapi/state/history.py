"""Watches over the recent changes of a store in this process."""

from collections import deque
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_rapi.errors import Compacted, StoreClosed
from twisted_rapi.state.interface import Changes, IWatch


@implementer(IWatch)
class Watch:
    """
    One watcher's queue; made by `History.watch`.

    :param after: the revision of the newest change it has been shown.
    """

    def __init__(self, history: "History", prefixes: Sequence[str], after: int) -> None:
        self._history = history
        self._prefixes = tuple(prefixes)
        self._after = after
        self._pending: list[Changes] = []
        self._waiting: Deferred[None] | None = None
        self._lost: Exception | None = None
        self._closed = False

    async def next(self) -> Sequence[Changes]:
        """The changes since the last call."""
        if not self._pending and self._lost is None:
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if not self._pending and self._lost is not None:
            raise self._lost
        changes, self._pending = self._pending, []
        return changes

    def close(self) -> None:
        """End it."""
        if not self._closed:
            self._closed = True
            self._history.forget(self)
            self._lost = StoreClosed("the watch was closed")
            if self._waiting is not None:
                self._waiting.cancel()

    def lose(self, reason: Exception) -> None:
        """No changes will follow those already queued."""
        if self._lost is None:
            self._lost = reason
            self._wake()

    def tell(self, change: Changes, limit: int) -> None:
        """Queue a change; a watcher that does not read loses its place."""
        if change.revision <= self._after or self._lost is not None:
            return
        self._after = change.revision
        filtered = self._filtered(change)
        if filtered is None:
            return
        if len(self._pending) >= limit:
            self._pending.clear()
            self.lose(Compacted("the watcher was too slow"))
            return
        self._pending.append(filtered)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)

    def _filtered(self, change: Changes) -> Changes | None:
        values = {k: v for k, v in change.values.items() if k.startswith(self._prefixes)}
        return Changes(change.revision, values) if values else None


class History:
    """
    The last changes, and who watches for more.

    :param first: the revision before the oldest change it knows of.
    :param length: how many changes are kept at most.
    :param size: how many bytes of values are kept at most.
    """

    def __init__(self, first: int = 0, length: int = 10_000, size: int = 32 << 20) -> None:
        self._begun = first
        self._length = length
        self._size = size
        self._kept = 0
        self._changes: deque[Changes] = deque()
        self._untold: deque[Changes] = deque()
        self._watches: list[Watch] = []
        self._telling = False
        self._lost: Exception | None = None

    def add(self, change: Changes) -> None:
        """
        Note a commit and tell the watchers.

        When one of them makes a commit at once, all of them are told of that one after this one.
        """
        self._keep(change)
        self._untold.append(change)
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                told = self._untold.popleft()
                for watch in tuple(self._watches):
                    watch.tell(told, self._length)
        finally:
            self._telling = False

    def _keep(self, change: Changes) -> None:
        self._changes.append(change)
        self._kept += _size(change)
        while len(self._changes) > self._length or self._kept > self._size:
            oldest = self._changes.popleft()
            self._kept -= _size(oldest)
            self._begun = oldest.revision

    @property
    def begun(self) -> int:
        """The revision before the oldest change that is kept."""
        return self._begun

    def watch(self, prefixes: Sequence[str], after: int) -> Watch:
        """A watch from after a revision; its first `Watch.next` raises when that is too old."""
        watch = Watch(self, prefixes, after)
        if after < self._begun:
            watch.lose(Compacted(f"changes up to revision {self._begun} are not kept"))
        for change in self._changes:
            watch.tell(change, self._length)
        if self._lost is not None:
            watch.lose(self._lost)
        self._watches.append(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """A watcher left."""
        if watch in self._watches:
            self._watches.remove(watch)

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watches)

    def close(self) -> None:
        """Tell all watchers that nothing will follow."""
        self.lose(StoreClosed("the store was closed"))

    def lose(self, reason: Exception) -> None:
        """Tell all watchers, and those that come later, why nothing will follow."""
        self._lost = reason
        for watch in tuple(self._watches):
            watch.lose(reason)


def _size(change: Changes) -> int:
    return sum(len(value) for value in change.values.values() if value is not None)
