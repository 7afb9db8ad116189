"""Settling what is left over on nodes once they answer again."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_rapi.errors import RapiError
from twisted_rapi.jobs.work import Worker
from twisted_rapi.model.records import LeftoverRecord, NodeRecord
from twisted_rapi.plan.leftover import due, locks_for, work_of
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.stage import InSequence, steps_of
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Observed, Snapshot
from twisted_rapi.state.writer import commit_of

LONGEST = 3600.0  # seconds between two attempts

Apart = Callable[[Callable[[], frozenset[Lock]]], AbstractAsyncContextManager[None]]


class Reconciler(Service):
    """
    Carries leftovers out and forgets them.

    It looks when a node comes back or a leftover is added; one that fails is tried again after `retry` s,
    then after twice as long each time, at most an hour.

    While one is carried out no job has the locks of the instances it is about: a job may be making again
    just what it would remove, which no record says yet.  Those of a node that was removed are forgotten.

    :param apart: `twisted_rapi.jobs.executor.Executor.apart`.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        snapshot: Snapshot,
        nodes: INodes,
        apart: Apart,
        clock: IReactorTime,
        term: int,
        retry: float = 30.0,
    ) -> None:
        self._store, self._snapshot, self._nodes, self._apart = store, snapshot, nodes, apart
        self._clock, self._term, self._retry = clock, term, retry
        self._ends: list[Callable[[], None]] = []
        self._busy: dict[str, Deferred[None]] = {}

    def startService(self) -> None:
        """Begin with what is due."""
        super().startService()
        self._ends = [self._nodes.observe(self._node_changed), self._snapshot.observe(self._records_changed)]
        self._look()

    def stopService(self) -> Deferred[None]:
        """End; steps under way on nodes go on there."""
        super().stopService()
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        busy = list(self._busy.values())
        for d in busy:
            d.cancel()
        return DeferredList(busy, consumeErrors=True).addCallback(lambda _: None)

    def _node_changed(self, node: str) -> None:
        if self._snapshot.leftovers:
            self._look()

    def _records_changed(self, changed: Observed) -> None:
        if any(
            isinstance(after, LeftoverRecord) or (after is None and isinstance(before, NodeRecord))
            for _, before, after in changed
        ):
            self._look()

    def _look(self) -> None:
        left = self._snapshot.leftovers
        homeless = [record for record in left.values() if not self._has_node(record)]
        for record in (*homeless, *due(left, self._nodes.reports)):
            if record.uuid not in self._busy:
                self._begin(record)

    def _has_node(self, record: LeftoverRecord) -> bool:
        return record.node in self._snapshot.nodes

    def _begin(self, record: LeftoverRecord) -> None:
        ready: Deferred[None] = Deferred()

        async def settle() -> None:
            await ready
            await self._settle(record)

        # It counts as busy before its first step, which may make the node report at once.
        d = self._busy[record.uuid] = Deferred.fromCoroutine(settle())
        d.addErrback(self._log_failure, record)
        d.addBoth(self._settled, record.uuid)
        ready.callback(None)

    def _log_failure(self, failure: object, record: LeftoverRecord) -> None:
        if getattr(failure, "type", None) is not CancelledError:
            self._log.error("leftover {uuid}: {why}", uuid=record.uuid, why=str(failure))

    def _settled(self, _: object, uuid: str) -> None:
        self._busy.pop(uuid, None)

    async def _settle(self, record: LeftoverRecord) -> None:
        pause = self._retry
        while record.uuid in self._snapshot.leftovers:
            async with self._apart(lambda: locks_for(record, self._snapshot.instances)):
                error = await self._try(record)
            if error is None:
                return
            self._log.warn("leftover {uuid}: {why}", uuid=record.uuid, why=str(error))
            if record.node not in self._nodes.reports:
                return  # it comes again when the node does
            await deferLater(self._clock, pause)
            pause = min(2 * pause, LONGEST)

    async def _try(self, record: LeftoverRecord) -> RapiError | None:
        """Carry out what is still to be done, and forget it; answers why that failed."""
        if record.uuid not in self._snapshot.leftovers:
            return None
        # As of now: one that is left anew meanwhile is not forgotten.
        change = commit_of(deletes=(record,), revision_of=self._snapshot.revision_of, term=self._term)
        work = InSequence()
        if self._has_node(record):
            work = work_of(record, self._snapshot.instances, self._snapshot.detached)
        worker = Worker(self._nodes, 0.0, lambda uuid: uuid)
        await worker.carry_out(work)
        if worker.error is not None:
            return worker.error
        try:
            await self._snapshot.reached(await self._store.commit(change))
        except RapiError as e:
            return e
        told = {"node": record.node, "reason": record.reason, "all": len(record.steps)}
        done = sum(1 for _ in steps_of(work))
        self._log.info("settled on {node}: {reason}; {done} of {all} steps were due", done=done, **told)
        return None
