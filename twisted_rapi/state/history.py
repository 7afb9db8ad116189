"""Watches over the recent changes of a store in this process."""

from collections import deque
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_rapi.errors import Compacted, StoreClosed
from twisted_rapi.state.interface import Changes, IWatch


@implementer(IWatch)
class Watch:
    """One watcher's queue; made by `History.watch`."""

    def __init__(self, history: "History", prefixes: Sequence[str], backlog: Sequence[Changes]) -> None:
        self._history = history
        self._prefixes = tuple(prefixes)
        self._pending: list[Changes] = [c for c in map(self._filtered, backlog) if c is not None]
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
        filtered = self._filtered(change)
        if filtered is None or self._lost is not None:
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
    :param length: how many changes are kept.
    """

    def __init__(self, first: int = 0, length: int = 10_000) -> None:
        self._begun = first
        self._length = length
        self._changes: deque[Changes] = deque()
        self._watches: list[Watch] = []
        self._closed = False

    def add(self, change: Changes) -> None:
        """Note a commit and tell the watchers."""
        self._changes.append(change)
        if len(self._changes) > self._length:
            self._begun = self._changes.popleft().revision
        for watch in tuple(self._watches):
            watch.tell(change, self._length)

    def watch(self, prefixes: Sequence[str], after: int) -> Watch:
        """A watch from after a revision; its first `Watch.next` raises when that is too old."""
        if after < self._begun:
            watch = Watch(self, prefixes, ())
            watch.lose(Compacted(f"changes up to revision {self._begun} are not kept"))
        else:
            watch = Watch(self, prefixes, [c for c in self._changes if c.revision > after])
        if self._closed:
            watch.lose(StoreClosed("the store was closed"))
        self._watches.append(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """A watcher left."""
        if watch in self._watches:
            self._watches.remove(watch)

    def close(self) -> None:
        """Tell all watchers that nothing will follow."""
        self._closed = True
        for watch in tuple(self._watches):
            watch.lose(StoreClosed("the store was closed"))
