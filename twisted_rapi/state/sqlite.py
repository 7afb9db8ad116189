"""
The embedded store: SQLite in a thread of its own.

Note [Group commit].  Making a transaction durable costs a disk's flush, whatever is in it.  The thread takes
all commits that have arrived while it was flushing the ones before and makes them durable together; each is
still refused or accepted by itself (`twisted_rapi.state.database.Database.commit`).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rapi.errors import StoreClosed
from twisted_rapi.state.database import Database, Failpoint
from twisted_rapi.state.history import History, Watch
from twisted_rapi.state.interface import LARGEST, Changes, Commit, Entry, IStateStore, Page

GROUP = 500  # commits made durable together at most


@attrs.frozen(eq=False)
class _Read:
    run: Callable[[Database], Any]
    answer: Deferred[Any]


@attrs.frozen(eq=False)
class _Write:
    change: Commit
    answer: Deferred[int]


class _Idle:
    """Nothing more has arrived."""


class _End:
    """The store is to be closed."""


_Job = _Read | _Write | _End


@implementer(IStateStore)
class SQLiteStore:
    """`IStateStore` in one file; made by `open_store`."""

    largest = LARGEST
    _log = Logger()

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self.revision = 0
        self._reactor = reactor
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._history = History()
        self._closing: list[Deferred[None]] = []
        self._state = "opening"

    async def open(self, path: Path, failpoint: Failpoint | None) -> None:
        """Open the file in a new thread; see `Database` for what may be raised."""
        opened: Deferred[int] = Deferred()
        Thread(target=self._thread, args=(path, failpoint, opened), name="store", daemon=True).start()
        try:
            self.revision = await opened
        except BaseException:
            self._jobs.put(_End())  # who gave up waiting wants the file closed
            raise
        self._history = History(first=self.revision)
        self._state = "open"

    # In the thread.

    def _thread(self, path: Path, failpoint: Failpoint | None, opened: Deferred[int]) -> None:
        try:
            database = Database(path, failpoint)
        except BaseException:  # noqa: BLE001 -- whatever it is, who waits for the opening is told
            self._reactor.callFromThread(opened.errback, Failure())
            return
        self._reactor.callFromThread(opened.callback, database.revision)
        try:
            while self._serve(database, self._jobs.get()):
                pass
        finally:
            database.close()
            self._reactor.callFromThread(self._closed)

    def _serve(self, database: Database, job: _Job) -> bool:
        following: _Job | _Idle = job
        while isinstance(following, _Write):
            writes, following = self._gather(following)
            results = self._commit(database, [w.change for w in writes])
            self._reactor.callFromThread(self._committed, writes, results)
        if isinstance(following, _Read):
            self._read(database, following)
        return not isinstance(following, _End)

    def _commit(self, database: Database, changes: list[Commit]) -> list[int | Exception]:
        try:
            return database.commit(changes)
        except Exception as e:  # noqa: BLE001 -- nobody may wait for ever, and the thread goes on
            return [e] * len(changes)

    def _gather(self, first: _Write) -> tuple[list[_Write], _Job | _Idle]:
        writes = [first]
        while len(writes) < GROUP:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return writes, _Idle()
            if not isinstance(job, _Write):
                return writes, job
            writes.append(job)
        return writes, _Idle()

    def _read(self, database: Database, job: _Read) -> None:
        try:
            found = job.run(database)
        except Exception:  # noqa: BLE001 -- whoever reads is told
            self._reactor.callFromThread(_fire, job.answer, Failure())
        else:
            self._reactor.callFromThread(_fire, job.answer, found)

    # On the reactor's side.

    def _committed(self, writes: list[_Write], results: list[int | Exception]) -> None:
        for write, result in zip(writes, results, strict=True):
            if isinstance(result, int):
                self.revision = result
                values = {**write.change.puts, **dict.fromkeys(write.change.deletes)}
                self._history.add(Changes(result, values))
        for write, result in zip(writes, results, strict=True):
            _fire(write.answer, result if isinstance(result, int) else Failure(result))

    def _closed(self) -> None:
        self._state = "closed"
        self._history.close()
        waiting, self._closing = self._closing, []
        for d in waiting:
            d.callback(None)

    def _check_open(self) -> None:
        if self._state != "open":
            raise StoreClosed("the store is closed")

    async def _ask(self, run: Callable[[Database], Any]) -> Any:
        self._check_open()
        answer: Deferred[Any] = Deferred()
        self._jobs.put(_Read(run, answer))
        return await answer

    async def get(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """See `IStateStore.get`."""
        wanted = tuple(keys)
        found: Mapping[str, Entry] = await self._ask(lambda database: database.get(wanted))
        return found

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """See `IStateStore.list`."""
        page: Page = await self._ask(lambda database: database.page(prefix, after, limit))
        return page

    async def commit(self, change: Commit) -> int:
        """See `IStateStore.commit`."""
        self._check_open()
        answer: Deferred[int] = Deferred()
        self._jobs.put(_Write(change, answer))
        return await answer

    def watch(self, prefixes: Sequence[str], after: int) -> Watch:
        """See `IStateStore.watch`."""
        return self._history.watch(prefixes, after)

    def age(self) -> float:
        """Nothing is between it and its watchers."""
        return 0.0

    async def close(self) -> None:
        """See `IStateStore.close`."""
        if self._state == "closed":
            return
        ended: Deferred[None] = Deferred()
        self._closing.append(ended)
        if self._state == "open":
            self._state = "closing"
            self._jobs.put(_End())
        await ended


def _fire(answer: Deferred[Any], result: object) -> None:
    """Answer, unless whoever asked has gone (a cancelled commit is made all the same)."""
    if not answer.called:
        answer.callback(result)


async def open_store(
    path: Path, reactor: IReactorFromThreads, failpoint: Failpoint | None = None
) -> SQLiteStore:
    """
    Open or make the store in this file.

    :raises StoreLocked, StoreTooNew, StoreError: see `twisted_rapi.state.database.Database`.
    """
    store = SQLiteStore(reactor)
    await store.open(path, failpoint)
    return store
