"""
Events of one term, told to whoever reads them.

Note [Ids].  What is in the store is told from its own commits, so an event's id is the same at every
candidate and a reader goes on after one wherever it asks next.  What is not in the store (nodes' reports, how
far a running job has come) is told once, without an id, to those who read at that moment.

Note [Slow readers].  Each reader has a watch of its own, and takes from it only while what it was given
before is on its way.  One that does not take that in `PATIENCE` seconds, or whose watch is lost, is cut.
What events are written as is kept for the next reader.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.cluster.telling import (
    PREFIXES,
    Event,
    Place,
    Wanted,
    events_of,
    of_job,
    place_of,
    written,
)
from twisted_rapi.errors import Compacted, ServiceUnavailable, StoreClosed
from twisted_rapi.jobs.slices import Slices
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.records import FINAL, InstanceRecord, JobRecord, NodeRecord, job_status
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.plan.fields.instance import status
from twisted_rapi.plan.view import View
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.interface import Changes, IStateStore, IWatch
from twisted_rapi.state.snapshot import Snapshot

MOST_READERS = 200
MOST_WAITING = 256 * 1024  # bytes a reader may have before it
PATIENCE = 30.0  # seconds a reader may take none of them
KEEP_ALIVE = 15.0  # seconds
AGAIN = 1000  # milliseconds after which a client asks again
CACHED = 1000  # commits whose events are kept ready


class Sink(Protocol):
    """
    Where a reader's events go.

    :ivar waiting: bytes that could not be sent yet.
    :ivar drained: called whenever nothing waits any more.
    """

    waiting: int
    drained: Callable[[], None]

    def send(self, piece: bytes) -> None:
        """Send this, as soon as the client takes it."""

    def end(self, last: bytes = b"") -> None:
        """Send nothing of what waits, but this, and end."""


class _Slow(Exception):
    """A reader takes nothing."""


class Reader:
    """One who reads; made by `Events.open`."""

    _log = Logger()

    def __init__(self, events: "Events", wanted: Wanted, sink: Sink) -> None:
        self._events, self._wanted, self._sink = events, wanted, sink
        self._place = Place(0)
        self._told = False
        self._watch: IWatch | None = None
        self._drained: Deferred[None] | None = None
        self._running: Deferred[None] | None = None
        sink.drained = self._has_drained

    def begin(self, last: str) -> None:
        """Tell what comes after the event with this id; what comes from now on if it is empty."""
        self._running = Deferred.fromCoroutine(self._run(last))
        self._running.addErrback(self._failed)

    def close(self, last: bytes = b"") -> None:
        """End it, with a last event."""
        self._events.forget(self)
        if self._running is not None:
            self._running.cancel()
        if self._watch is not None:
            self._watch.close()
        self._sink.end(last)

    def tell(self, event: Event) -> None:
        """Tell what has no id."""
        if not self._wanted.has(event):
            return
        if self._sink.waiting > 2 * MOST_WAITING:
            self._cut()
        else:
            self._sink.send(event.text)

    def keep_alive(self) -> None:
        """Show that the stream is there, and how far it is; no event comes of it."""
        if self._sink.waiting:
            return
        # A reader of what seldom happens goes on from here: its last event may no longer be kept.
        place = b"" if self._place.seen or not self._told else b"id: %d\n" % self._place.after
        self._sink.send(b": here\n" + place + b"\n")

    async def _run(self, last: str) -> None:
        self._sink.send(b"retry: %d\n\n" % AGAIN)
        place = place_of(last)
        if place is not None and place.newest <= self._events.newest:
            try:
                await self._follow(place)
            except Compacted:
                if self._told:
                    raise
        self._place = self._events.place
        self._told = True
        kind, data = "hello", self._events.standing()
        if last:
            kind, data["after"] = "reset", None if place is None else place.after
        self._sink.send(written(kind, data, str(self._place.after)))
        await self._follow(self._place)

    async def _follow(self, place: Place) -> None:
        self._place = place
        watch = self._watch = self._events.watch(place.after)
        try:
            while True:
                changes = await watch.next()
                slices = Slices(self._events.clock)
                for change in changes:
                    await slices.pause()
                    await self._room()
                    self._show(change)
        finally:
            watch.close()

    def _show(self, change: Changes) -> None:
        skipped = self._place.seen if change.revision == self._place.after + 1 else 0
        for event in self._events.of(change)[skipped:]:
            if self._wanted.has(event):
                self._sink.send(event.text)
        self._place = Place(change.revision)
        self._told = True

    async def _room(self) -> None:
        """Wait until the client has taken what was sent."""
        if self._sink.waiting <= MOST_WAITING:
            return
        self._drained = Deferred()
        self._drained.addTimeout(PATIENCE, self._events.clock)
        try:
            await self._drained
        except DeferredTimeout as e:
            raise _Slow from e
        finally:
            self._drained = None

    def _has_drained(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    def _cut(self) -> None:
        self.close(written("overflow", {}))

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None:
            return
        if failure.check(StoreClosed) is not None:
            self.close()
            return
        if failure.check(_Slow, Compacted) is None:
            self._log.failure("a stream of events met a bug", failure)
        self._cut()


class Events:
    """
    All readers of one term.

    :ivar place: where those begin who read from now on: reads show all that was told before.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        snapshot: Snapshot,
        nodes: INodes,
        jobs: JobTable,
        clock: IReactorTime,
        view: Callable[[], View],
    ) -> None:
        self._store, self._snapshot, self._nodes, self.clock, self._view = store, snapshot, nodes, clock, view
        self.place = Place(store.revision)
        self._readers: dict[Reader, None] = {}
        self._texts: OrderedDict[int, tuple[Event, ...]] = OrderedDict()
        self._stages: dict[int, tuple[str, ...]] = {}
        self._domains: dict[str, Mapping[str, DomainSeen]] = {
            uuid: report.domains for uuid, report in nodes.reports.items()
        }
        self._closed = False
        self._watch = self.watch(self.place.after)
        self._following = Deferred.fromCoroutine(self._follow())
        self._following.addErrback(self._lost)
        self._ticks = LoopingCall(self._keep_alive)
        self._ticks.clock = clock
        self._ends = [nodes.observe(self._node_changed), jobs.observe(self._job_changed)]

    def close(self) -> None:
        """The term is over: all readers ask again, here or elsewhere."""
        self._closed = True
        for end in self._ends:
            end()
        self._following.cancel()
        self._watch.close()
        for reader in tuple(self._readers):
            reader.close()

    # Readers.

    def open(self, wanted: Wanted, sink: Sink) -> Reader:
        """
        One more reader, which is to `begin`.

        :raises ServiceUnavailable: there are as many as there may be, or the term is over.
        """
        if self._closed or len(self._readers) >= MOST_READERS:
            raise ServiceUnavailable("There are too many streams of events; please ask again")
        reader = Reader(self, wanted, sink)
        self._readers[reader] = None
        if not self._ticks.running:
            self._ticks.start(KEEP_ALIVE, now=False)
        return reader

    def forget(self, reader: Reader) -> None:
        """A reader has left."""
        self._readers.pop(reader, None)
        if not self._readers and self._ticks.running:
            self._ticks.stop()
            self._stages.clear()

    @property
    def newest(self) -> int:
        """The newest revision there can be an event of."""
        return max(self.place.after, int(self._store.revision))

    def standing(self) -> dict[str, Any]:
        """What a reader is told that begins at `place`."""
        election = self._snapshot.election
        return {"term": None if election is None else election.term, "revision": self.place.after}

    def watch(self, after: int) -> IWatch:
        """The commits after a revision that something is told of."""
        return self._store.watch(PREFIXES, after)

    def of(self, change: Changes) -> tuple[Event, ...]:
        """The events of a commit."""
        found = self._texts.get(change.revision)
        if found is None:
            found = self._texts[change.revision] = events_of(change, self._name_of)
            if len(self._texts) > CACHED:
                self._texts.popitem(last=False)
        return found

    def _name_of(self, uuid: str) -> str:
        node = self._snapshot.nodes.get(uuid)
        return uuid if node is None else node.name

    def _keep_alive(self) -> None:
        for reader in tuple(self._readers):
            reader.keep_alive()

    # What is told already, to reads also: the snapshot's watch is older than this one.

    async def _follow(self) -> None:
        while True:
            try:
                for change in await self._watch.next():
                    self.place = Place(change.revision)
            except Compacted:
                self._watch.close()
                self.place = Place(self._store.revision)
                self._watch = self.watch(self.place.after)

    def _lost(self, failure: Failure) -> None:
        if failure.check(CancelledError, StoreClosed) is None:
            self._log.failure("the store is no longer followed for events", failure)

    # What has no id.

    def _tell(self, kind: str, data: Mapping[str, Any], instances: frozenset[str] = frozenset()) -> None:
        event = Event(kind, written(kind, data), instances)
        for reader in tuple(self._readers):
            reader.tell(event)

    def _job_changed(self, job: JobRecord) -> None:
        """How far a job has come that has begun; its beginning and its end are in the store."""
        if not self._readers:
            return
        now = job_status(job)
        if now in FINAL or now == "queued":
            self._stages.pop(job.id, None)
            return
        stage = tuple(op.status for op in job.ops)
        if self._stages.get(job.id) != stage:
            self._stages[job.id] = stage
            self._tell(*of_job(job))

    def _node_changed(self, uuid: str) -> None:
        report = self._nodes.reports.get(uuid)
        before, after = self._domains.pop(uuid, None), None if report is None else report.domains
        if after is not None:
            self._domains[uuid] = after
        if before is after or not self._readers:
            return
        if before is None or after is None:
            change = "silent" if after is None else "answering"
            self._tell(NodeRecord.KIND, {"change": change, "name": self._name_of(uuid), "uuid": uuid})
            return
        self._instances_changed(before, after)

    def _instances_changed(self, old: Mapping[str, DomainSeen], new: Mapping[str, DomainSeen]) -> None:
        names, view = self._snapshot.names["instance"], self._view()
        for name in sorted(old.keys() | new.keys()):
            if name not in names or _state(old.get(name)) == _state(new.get(name)):
                continue
            record = self._snapshot.instances[names[name]]
            if record.pending is None:
                data = {"change": "state", "name": name, "uuid": record.uuid}
                data["status"] = status(view, record)
                self._tell(InstanceRecord.KIND, data, frozenset([name]))


def _state(seen: DomainSeen | None) -> tuple[str, str] | None:
    """What of a domain makes an event: its state, and which boot it is."""
    return None if seen is None else (seen.state, seen.boot)
