"""
What etcd tells of changes, as this store's watchers are told it.

There is one stream, while anybody watches, of everything that belongs to the cluster; `History` has each
watcher told of its part.  The stream goes on from the revision after the last one whichever member it is
from.

Note [Silence].  A member that hangs, or is cut off from the others, is silent as one is that has nothing to
tell.  So the member the stream is from is asked something once in a while that it can only answer together
with the others; a stream from one that does not answer is given up for another.  What was asked so also tells
how old, at most, the watchers' knowledge is (`Feed.verified`).

Note [Earlier].  This process knows the changes since somebody began to watch; etcd knows those since it
compacted last.  Who watches from before the former is told by a stream of its own from there on, until what
it is told is known here, too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.errors import Compacted, StoreError
from twisted_rapi.state.etcd_asking import Asker
from twisted_rapi.state.etcd_gateway import IGateway, IStream
from twisted_rapi.state.etcd_wire import (
    Document,
    Space,
    number,
    packed,
    pair,
    range_of,
    removed_by,
    revision_of,
)
from twisted_rapi.state.history import History, Watch
from twisted_rapi.state.interface import Changes, IWatch

ASK = 1.0  # seconds between questions to the member the stream is from
PATIENCE = 1.5  # seconds it has to answer them, or to begin a stream
PAUSE = 0.2  # seconds between streams


class Feed:
    """
    The stream of one store's changes.

    :param base: etcd's revision that is our 0.
    :param length: how many changes are kept for watchers at most.
    :ivar verified: when it was certain last that watchers had been told everything, by the reactor's clock.
    :ivar revision: the newest revision, ours, that watchers have been told of.
    """

    _log = Logger()

    def __init__(self, asker: Asker, space: Space, base: int, length: int) -> None:
        self._asker = asker
        self._gateway: IGateway = asker.gateway
        self._clock: IReactorTime = asker.clock
        self._space, self._base, self._length = space, base, length
        self.verified = self._clock.seconds()
        self.revision = 0
        self._history: History | None = None
        self._watchers = 0
        self._running: Deferred[None] = succeed(None)
        self._awaited: list[tuple[int, Deferred[None]]] = []
        self._closed: Exception | None = None
        self._earlier: list[Feed] = []

    @property
    def running(self) -> bool:
        """Whether somebody watches."""
        return self._history is not None

    def watch(self, prefixes: Sequence[str], after: int) -> IWatch:
        """See `IStateStore.watch`."""
        history = self._history
        if history is None:
            history = self._begin(after)
        if after < history.begun:
            return _Earlier(self, prefixes, after)
        return history.watch(prefixes, after)

    def knows(self, after: int) -> bool:
        """Whether all changes after a revision are known here."""
        return self._history is not None and after >= self._history.begun

    def earlier(self, after: int) -> "Feed":
        """One that is told all changes after a revision; it lasts as long as somebody watches it."""
        self._earlier = [feed for feed in self._earlier if feed.running]
        for feed in self._earlier:
            if feed.knows(after):
                return feed
        found = Feed(self._asker, self._space, self._base, self._length)
        self._earlier.append(found)
        return found

    async def reached(self, revision: int) -> None:
        """Wait until watchers have been told of a commit of this process; not when nobody watches."""
        if self.running and revision > self.revision:
            told: Deferred[None] = Deferred()
            self._awaited.append((revision, told))
            await told

    def close(self, why: Exception) -> None:
        """End the stream and tell the watchers; those that come later are told, too."""
        self._closed = why
        self._end(why)
        for feed in self._earlier:
            feed.close(why)

    def _begin(self, after: int) -> History:
        history = _Watched(self._left, first=after, length=self._length)
        if self._closed is not None:
            history.close()
            return history
        self._history = history
        self.revision = after
        self._running = Deferred.fromCoroutine(self._run(history))
        self._running.addErrback(lambda f: f.trap(CancelledError) and None)
        self._running.addErrback(lambda f: self._log.failure("the store is no longer followed", f))
        return history

    def _left(self, history: History) -> None:
        """Nobody watches any more."""
        if history is self._history:
            self._end(Compacted("nobody watched"))

    def _end(self, why: Exception) -> None:
        history, self._history = self._history, None
        awaited, self._awaited = self._awaited, []
        for _, told in awaited:
            told.callback(None)
        if history is not None:
            history.lose(why)
        self._running.cancel()

    # The stream.

    async def _run(self, history: History) -> None:
        trouble = ""
        while history is self._history:
            try:
                await self._follow()
            except Compacted as e:
                self._end(e)
                return
            except StoreError as e:
                if str(e) != trouble:  # told once, not with each attempt
                    trouble = str(e)
                    self._log.warn("the store's changes are not told at present: {reason}", reason=trouble)
            await deferLater(self._clock, PAUSE)

    async def _follow(self) -> None:
        """Follow one member's stream until it ends."""
        space = self._space
        request = {
            "create_request": {
                "key": packed(space.prefix),
                "range_end": packed(space.end),
                "start_revision": str(self.revision + self._base + 1),
            }
        }
        stream = await self._gateway.stream("watch", request, PATIENCE, self._told)
        asking = Deferred.fromCoroutine(self._ask(stream))
        # It only ends with the stream, which it ends when it fails.
        asking.addErrback(lambda f: f.trap(CancelledError, StoreError) and None)
        try:
            await stream.ended
        finally:
            stream.close()
            stream.ended.addErrback(lambda _: None)
            asking.cancel()

    async def _ask(self, stream: IStream) -> None:
        question = range_of(self._space.base, keys_only=True)
        try:
            while True:
                asked, seen = self._clock.seconds(), self.revision + self._base
                answer = await self._gateway.call("kv/range", question, PATIENCE, stream.endpoint)
                if revision_of(answer) < seen:  # what came meanwhile may be newer
                    raise Compacted("the store's revision went back")
                self.verified = asked
                await deferLater(self._clock, ASK)
        except Compacted as e:
            self._end(e)
        finally:
            stream.close()

    def _told(self, answer: Document) -> None:
        if number(answer, "compact_revision"):
            kept = number(answer, "compact_revision") - self._base
            raise Compacted(f"changes before revision {kept} are not kept")
        if answer.get("canceled"):
            raise StoreError(f"etcd ended a watch: {answer.get('cancel_reason', 'no reason given')}")
        for change in self._changes(answer.get("events", ())):
            self._tell(change)

    def _changes(self, events: Sequence[Document]) -> Iterator[Changes]:
        """One for each revision; all of a commit's events come in one answer."""
        by_revision: dict[int, dict[str, bytes | None]] = {}
        for event in events:
            found = pair(event["kv"])
            values = by_revision.setdefault(found.revision - self._base, {})
            gone = event.get("type") == "DELETE"
            key = self._space.key(found.key)
            if key is not None:
                values[key] = None if gone else found.value
            elif self._space.is_mark(found.key) and not gone:
                # Keys that were to be removed and were not there: other stores show them, too.
                values.update(dict.fromkeys(removed_by(found.value)))
        for revision in sorted(by_revision):
            yield Changes(revision, by_revision[revision])

    def _tell(self, change: Changes) -> None:
        if self._history is None or change.revision <= self.revision:
            return
        self.revision = change.revision
        self.verified = self._clock.seconds()
        self._history.add(change)
        ready = [told for revision, told in self._awaited if revision <= self.revision]
        self._awaited = [(r, told) for r, told in self._awaited if r > self.revision]
        for told in ready:
            told.callback(None)


class _Watched(History):
    """A history that says when its last watcher has left."""

    def __init__(self, left: Any, first: int, length: int) -> None:
        super().__init__(first=first, length=length)
        self._left = left

    def forget(self, watch: Watch) -> None:
        """A watcher left."""
        super().forget(watch)
        if not self.watched:
            self._left(self)


@implementer(IWatch)
class _Earlier:
    """A watch from before what a feed knows, until it is one of the feed's own."""

    def __init__(self, feed: Feed, prefixes: Sequence[str], after: int) -> None:
        self._feed, self._prefixes = feed, prefixes
        self._joined = False
        self._inner = feed.earlier(after).watch(prefixes, after)

    async def next(self) -> Sequence[Changes]:
        """See `IWatch.next`."""
        changes = await self._inner.next()
        last = changes[-1].revision
        if not self._joined and self._feed.knows(last):
            self._joined = True
            before, self._inner = self._inner, self._feed.watch(self._prefixes, last)
            before.close()
        return changes

    def close(self) -> None:
        """See `IWatch.close`."""
        self._inner.close()
