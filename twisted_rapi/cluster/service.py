"""The cluster's use cases over the parts that make it up."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rapi.cluster.fates import Fates
from twisted_rapi.cluster.faults import Faults
from twisted_rapi.cluster.interface import ICluster
from twisted_rapi.cluster.networks import VirtualNetworks
from twisted_rapi.cluster.session_keys import SessionKeys
from twisted_rapi.cluster.switching import Switching
from twisted_rapi.cluster.watchdog import Watchdog
from twisted_rapi.jobs.archive import archive_page, archived
from twisted_rapi.jobs.executor import Executor
from twisted_rapi.jobs.queue import Queue
from twisted_rapi.jobs.readers import Readers
from twisted_rapi.jobs.rules import Rules
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import JobRecord
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot


@implementer(ICluster)
class Cluster:
    """`ICluster` for one term."""

    _log = Logger()

    watchdog: Watchdog
    fates: Fates
    faults: Faults
    networks: VirtualNetworks
    session_keys: SessionKeys

    def __init__(
        self,
        store: IStateStore,
        snapshot: Snapshot,
        nodes: INodes,
        table: JobTable,
        queue: Queue,
        executor: Executor,
        rules: Rules,
        switching: Switching,
    ) -> None:
        self.snapshot = snapshot
        self.nodes = nodes
        self.locks = executor.locks
        self._store, self._table, self._queue, self._executor = store, table, queue, executor
        self._rules, self._switching = rules, switching
        self._readers = Readers(table, queue.limit)

    async def submit(self, ops: Sequence[Opcode], request_id: str = "", reading: bool = False) -> int:
        """See `ICluster.submit`; a client that goes away meanwhile does not take the job with it."""
        if reading:
            known = self._readers.known(ops)
            if known is not None:
                return known
        answer: Deferred[int] = Deferred()
        accepted = Deferred.fromCoroutine(self._accept(ops, request_id))
        if reading:
            accepted = self._readers.note(ops, accepted)
        accepted.addBoth(self._tell, answer)
        return await answer

    def _tell(self, result: int | Failure, answer: Deferred[int]) -> None:
        if not answer.called:
            answer.callback(result)
        elif isinstance(result, Failure):
            self._log.error("a job nobody waits for was not accepted: {why}", why=str(result.value))

    async def _accept(self, ops: Sequence[Opcode], request_id: str) -> int:
        job = await self._queue.accept(ops, request_id)
        self._executor.begin(job)
        return job.id

    def jobs(self) -> Iterable[JobRecord]:
        """See `ICluster.jobs`."""
        return self._table

    def unfinished(self) -> Iterable[JobRecord]:
        """See `ICluster.unfinished`."""
        return self._table.unfinished()

    async def job(self, job_id: int) -> JobRecord | None:
        """See `ICluster.job`."""
        return self._table.get(job_id) or await archived(self._store, job_id)

    async def archive(self, after: str = "") -> tuple[Iterable[JobRecord], str | None]:
        """See `ICluster.archive`."""
        return await archive_page(self._store, after)

    async def wait(
        self, job_id: int, unchanged: Callable[[JobRecord], bool], timeout: float
    ) -> JobRecord | None:
        """See `ICluster.wait`."""
        job = await self._table.wait(job_id, unchanged, timeout)
        return job or await archived(self._store, job_id)

    async def cancel(self, job_id: int) -> tuple[bool, str]:
        """See `ICluster.cancel`."""
        return await self._executor.cancel(job_id)

    async def put_filter(
        self, uuid: str | None, priority: int, predicates: list[Any], action: Any, reason: list[Any]
    ) -> str:
        """See `ICluster.put_filter`."""
        return await self._rules.put(uuid, priority, predicates, action, reason)

    async def delete_filter(self, uuid: str) -> None:
        """See `ICluster.delete_filter`."""
        await self._rules.delete(uuid)

    async def switch_master(self, target: str, who: str) -> SwitchRecord:
        """See `ICluster.switch_master`."""
        return await self._switching.wish(target, who)

    async def session_key(self) -> bytes:
        """See `ICluster.session_key`."""
        return await self.session_keys.get()
