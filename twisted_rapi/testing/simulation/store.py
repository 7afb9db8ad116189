"""A store that complains of what no store may take, and how a process reaches it."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from twisted_rapi.errors import StoreUnreachable, Unanswered
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import JobRecord, NodeRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import Changes, Commit, Entry, ILeases, IStateStore, IWatch, Page
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.testing.simulation.process import Line, Process

PATIENCE = 1.0  # seconds an answer of the store is waited for
PAUSE = 0.5  # seconds until a watch that broke is tried again


class JudgedStore(MemoryStore):
    """
    A store that keeps what is wrong with the commits it took.

    :ivar complaints: in words; `won`: told of each term before it begins.
    :ivar node_changed: told of the nodes' records; `job_made`: of new jobs.
    """

    def __init__(self, clock: Clock, complaints: list[str]) -> None:
        super().__init__(clock=clock)
        self.world = clock
        self.complaints = complaints
        self.term = 0
        self.won: Callable[[ElectionRecord], None] = lambda _: None
        self.node_changed: Callable[[NodeRecord], None] = lambda _: None
        self.job_made: Callable[[JobRecord], None] = lambda _: None

    async def commit(self, change: Commit) -> int:
        """Make the change, and judge it."""
        begun = change.puts.get(ElectionRecord.KIND)
        record = None if begun is None else decode(ElectionRecord.KIND, begun)
        if isinstance(record, ElectionRecord):
            before = self._entries.get(ElectionRecord.KIND)
            if before is None or change.expect.get(ElectionRecord.KIND) == before.revision:
                self.won(record)
        there = self._entries.keys() & change.puts.keys()
        revision = await super().commit(change)
        for key, value in change.puts.items():
            if key.startswith((f"{NodeRecord.KIND}/", f"{JobRecord.KIND}/")):
                match decode(key, value):
                    case NodeRecord() as node:
                        self.node_changed(node)
                    case JobRecord() as job if key not in there:
                        self.job_made(job)
        if change.term is not None and change.term < self.term:
            self.complaints.append(f"term {change.term} wrote {sorted(change.puts)} after {self.term} began")
        if isinstance(record, ElectionRecord):
            if record.term <= self.term:
                self.complaints.append(f"term {record.term} began after {self.term}")
            self.term = record.term
        return revision


def _late_read(_: bool) -> Exception:
    return StoreUnreachable("no answer came")


def _late_write(sent: bool) -> Exception:
    return Unanswered("no answer came") if sent else StoreUnreachable("cut off")


@implementer(IStateStore, ILeases)
class FarStore:
    """
    The store as one process reaches it.

    :ivar doubtful: called when whether a commit was made is not known.
    :ivar near: whether it answers at once, as before anything goes wrong.
    """

    def __init__(self, store: MemoryStore, process: Process, line: Line) -> None:
        self.store, self.process, self.line = store, process, line
        self.doubtful: Callable[[], None] = lambda: None
        self.revision = 0
        self.near = False

    @property
    def largest(self) -> int:
        """As the store's."""
        return self.store.largest

    async def _ask(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        patience: float = PATIENCE,
        late: Callable[[bool], Exception] = _late_read,
        in_order: bool = False,
    ) -> Any:
        async def noted() -> tuple[Any, int]:
            return await work(), self.store.revision

        if self.near:
            answer, revision = await noted()
        else:
            answer, revision = await self.line.ask(self.process, noted, patience, late, in_order)
        self.revision = max(self.revision, revision)
        return answer

    async def get(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """As the store's, when it comes through."""
        found: Mapping[str, Entry] = await self._ask(lambda: self.store.get(keys))
        return found

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """As the store's, when it comes through."""
        page: Page = await self._ask(lambda: self.store.list(prefix, after, limit))
        return page

    async def commit(self, change: Commit) -> int:
        """As the store's, when it comes through; who asked may have gone when it is made."""
        try:
            made: int = await self._ask(lambda: self.store.commit(change), PATIENCE, _late_write, True)
        except Unanswered:
            self.doubtful()
            raise
        return made

    def watch(self, prefixes: Sequence[str], after: int) -> "FarWatch":
        """As the store's, later."""
        return FarWatch(self.store.watch(prefixes, after), self)

    def age(self) -> float:
        """Seconds since it was reached."""
        return 0.0 if self.line.up else self.line.world.seconds() - self.line.since

    async def grant(self, ttl: int) -> int:
        """As the store's, when it comes through."""
        lease: int = await self._ask(lambda: self.store.grant(ttl))
        return lease

    async def renew(self, lease: int, patience: float) -> None:
        """As the store's, when it comes through."""
        await self._ask(lambda: self.store.renew(lease, patience), patience)

    async def revoke(self, lease: int) -> None:
        """As the store's, when it comes through."""
        await self._ask(lambda: self.store.revoke(lease))

    async def close(self) -> None:
        """The store is others', too."""


@implementer(IWatch)
class FarWatch:
    """A watch whose changes come when the process can be told, in order and none lost."""

    def __init__(self, watch: Any, far: FarStore) -> None:
        self._watch, self._far = watch, far

    async def next(self) -> Sequence[Changes]:
        """As the store's, later."""
        changes: Sequence[Changes] = await self._watch.next()
        far = self._far
        while not await self._arrived():
            await deferLater(far.process, PAUSE)
        far.revision = max(far.revision, changes[-1].revision)
        return changes

    async def _arrived(self) -> bool:
        """Whether word of a change came through."""
        line, arrived = self._far.line, Deferred[bool](lambda _: None)

        def tell(whether: bool) -> None:
            if not arrived.called:
                arrived.callback(whether)

        if not line.there:
            return False
        line.answer(self._far.process, partial(tell, True), lost=partial(tell, False))
        return await arrived

    def close(self) -> None:
        """As the store's."""
        self._watch.close()
