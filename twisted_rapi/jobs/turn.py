"""What a job waits for before it runs: rules, other jobs, room, locks, and a slot."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from twisted_rapi.errors import OpExecError, StoreError
from twisted_rapi.jobs.archive import archived
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import FINAL, JobRecord, job_status

if TYPE_CHECKING:
    from twisted_rapi.jobs.executor import Executor, Means

_Read = TypeVar("_Read")


class Canceled(Exception):
    """The job was cancelled while it waited."""


class Turn:
    """
    The turns of one job, one for each of its opcodes.

    All that waits is ended by `cancel`, and raises `Canceled` then.

    :param job: the job's id.
    :ivar canceled: whether the job does not get any further turn.
    :ivar at_ease: whether it runs, but only waits for something that may take very long.
    """

    def __init__(self, job: int, means: Means, executor: Executor) -> None:
        self._job, self._means, self._executor = job, means, executor
        self._waits: Deferred[None] | None = None
        self._in_slot = False
        self.canceled = False
        self.at_ease = False

    @property
    def waits(self) -> bool:
        """Whether it waits for something now."""
        return self._waits is not None

    def cancel(self) -> None:
        """Wait no longer, now and later."""
        self.canceled = True
        if self._waits is not None:
            self._waits.cancel()

    def leave(self) -> None:
        """Give back what was waited for."""
        self._executor.release(self._job)
        if self._in_slot:
            self._in_slot = False
            self._executor.leave_slot()

    async def settle(self) -> None:
        """Wait until it is known which nodes answer."""
        await self._waiting(self._executor.settled())

    async def admit(self, job: JobRecord, first: bool) -> None:
        """Wait until the rules about jobs let it; one that has begun, not `first`, has left the queue."""
        admission = self._executor.admission
        if not first:
            admission.note(job)
            return

        async def admitted() -> None:
            if not await admission.admit(job):
                self.canceled = True

        await self._waiting(admitted())

    async def depend(self, op: Opcode) -> None:
        """
        Wait until the jobs have ended that it depends on, and there is room for one more that waits.

        :raises OpExecError: one of them has not ended as it was to, or cannot be found.
        """
        await self._waiting(self._depend(op))
        await self._waiting(self._executor.room(self._job, op.priority))

    async def take(self, op: Opcode) -> None:
        """Wait for its locks and a slot."""
        await self._waiting(self._locks(op))
        held = self._means.locks_for(op, self._means.view())
        await self._waiting(self._slot(op))
        while self._means.locks_for(op, self._means.view()) != held:
            # While it waited for its slot a name came to mean another object.
            self.leave()
            await self._waiting(self._locks(op))
            held = self._means.locks_for(op, self._means.view())
            await self._waiting(self._slot(op))

    async def interruptible(self, work: Coroutine[Any, Any, _Read]) -> _Read:
        """What comes of work that leaves nothing half done where `cancel` ends it."""
        self.at_ease = True
        found: list[_Read] = []

        async def noted() -> None:
            found.append(await work)

        try:
            await self._waiting(noted())
        finally:
            self.at_ease = False
        return found[0]

    async def _waiting(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Wait in a way that `cancel` ends."""
        self._waits = Deferred.fromCoroutine(coroutine)
        try:
            await self._waits
        except CancelledError:
            if self.canceled:
                raise Canceled from None
            raise
        finally:
            self._waits = None
        if self.canceled:
            raise Canceled

    async def _slot(self, op: Opcode) -> None:
        await self._executor.slot(self._job, op.priority)
        self._in_slot = True

    async def _locks(self, op: Opcode) -> None:
        wanted = self._means.locks_for(op, self._means.view())
        while True:
            await self._executor.acquire(self._job, op.priority, wanted)
            needed = self._means.locks_for(op, self._means.view())
            if needed == wanted:
                return
            # What it is about has changed while it waited, such as an instance's node.
            self._executor.release(self._job)
            wanted = needed

    async def _depend(self, op: Opcode) -> None:
        for number, statuses in op.depends or []:
            await self._depend_on(int(number), statuses or ["success", "error"])

    async def _depend_on(self, number: int, statuses: list[Any]) -> None:
        if number == self._job:
            raise OpExecError("Job depends on itself")
        table = self._means.table
        while True:
            other = table.get(number) or await read(archived(self._means.store, number))
            if other is None:
                raise OpExecError(f"Dependency error: Job {number} not found")
            status = job_status(other)
            if status in FINAL:
                break
            await table.change(number)
        if status in statuses:
            return
        if status == "canceled":
            self.canceled = True
            raise Canceled
        wanted = ", ".join(f"'{s}'" for s in statuses)
        raise OpExecError(
            f"Dependency job {number} finished with status '{status}', not one of {wanted} as required"
        )


async def read(reading: Coroutine[Any, Any, _Read]) -> _Read:
    """
    What is read of the archive; what cannot be read is this job's failure and not the term's.

    :raises OpExecError: it cannot be read.
    """
    try:
        return await reading
    except StoreError as e:
        raise OpExecError(f"Archived jobs cannot be read: {e}") from e
