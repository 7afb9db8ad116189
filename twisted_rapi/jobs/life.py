"""The life of one job, opcode by opcode (behaviour.md §3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import attrs
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_rapi.errors import (
    BadRequest,
    CommitTooLarge,
    Conflict,
    JobError,
    OpExecError,
    ServiceUnavailable,
    StaleTerm,
    StoreError,
    prereq,
)
from twisted_rapi.jobs import ends
from twisted_rapi.jobs.commits import Commits
from twisted_rapi.jobs.hooks import OperationHooks
from twisted_rapi.jobs.queue import timestamp
from twisted_rapi.jobs.sizes import room_for, size_of
from twisted_rapi.jobs.turn import Canceled, Turn, read
from twisted_rapi.jobs.work import Outcomes, Worker
from twisted_rapi.model.opcodes import Opcode, from_wire, summary, to_wire
from twisted_rapi.model.records import FINAL, JobRecord, JobStatus, job_status
from twisted_rapi.plan.expanding import expanded
from twisted_rapi.plan.stage import Change, DryRun, Finish, Gather, Perform, Progress, Stage, judges

if TYPE_CHECKING:
    from twisted_rapi.jobs.executor import Executor, Means

MOST_CONFLICTS = 20  # about names that are taken; about records each means that another job came on
DRY_RUN = " - INFO: dry-run mode requested, not actually executing the operation"


class _Stored(Exception):
    """The opcode ended in an error that is in the store already."""


class Life:
    """
    A job from where it is to its end.

    :ivar job: the job as of now.
    """

    _log = Logger()

    def __init__(self, job: JobRecord, means: Means, executor: Executor) -> None:
        self.job = job
        self._means = attrs.evolve(means, owner=job.id)
        self._commits = Commits(means)
        self._executor = executor
        self._turn = Turn(job.id, self._means, executor)
        self._gone: list[Deferred[None]] = []

    async def live(self) -> None:
        """
        Run every opcode that has not ended.

        :raises StaleTerm, StoreError: the end could not be stored; the job is as it was in the store.
        """
        for index, record in enumerate(self.job.ops):
            if record.status in FINAL:
                continue
            try:
                op = from_wire(record.input)
                await self._wait_turn(index, op)
                await self._opcode(index, self._begun(index, op))
            except Canceled:
                await self._end_canceled(index)
                return
            except (JobError, BadRequest) as e:
                error = e if isinstance(e, JobError) else OpExecError(str(e))
                await self._end_in_error(index, error)
                return
            except _Stored:
                return
            except CommitTooLarge as e:
                await self._end_in_error(index, OpExecError(f"It cannot be stored: {e}"))
                return
            except (StaleTerm, StoreError):
                raise
            except Exception:
                if self._executor.stopping:
                    raise
                await self._end_in_error(index, self._incident())
                return
            finally:
                self._turn.leave()

    def _incident(self) -> OpExecError:
        incident = str(UUID(int=self._means.chance.getrandbits(128), version=4))
        self._log.failure("job {job} met a bug, incident {incident}", job=self.job.id, incident=incident)
        return OpExecError(f"Internal error, incident {incident}; the log of the master has the details")

    async def _wait_turn(self, index: int, op: Opcode) -> None:
        turn, begun = self._turn, bool(self.job.ops[index].stage)
        await turn.settle()
        await turn.admit(self.job, first=not index and not begun)
        if not begun:
            # As observed, a job is queued still while it depends on others.
            await turn.depend(op)
            self._show(index, status="waiting", wait_ts=self._now())
        # One that had begun under an earlier master goes on: what it depended on was well then, and what it
        # has half made must not be left by cancelling it.
        await turn.take(op)
        self._show(index, status="running", start_ts=self.job.ops[index].start_ts or self._now())

    def _begun(self, index: int, op: Opcode) -> Opcode:
        """The opcode with all names in full; jobs show it so from now on."""
        found = expanded(op, self._means.view())
        found = replace(found, debug_level=found.debug_level or 0)
        self._set(ends.with_op(self.job, index, input=to_wire(found), summary=summary(found)))
        return found

    # Cancelling.

    async def cancel(self) -> tuple[bool, str]:
        """
        Cancel it if it waits; the answer comes once that is stored.

        :raises ServiceUnavailable: the term ended before.
        """
        status = job_status(self.job)
        turn = self._turn
        if not turn.canceled and not (turn.waits and (turn.at_ease or status in ("queued", "waiting"))):
            return False, "Job no longer waiting, can't cancel (informed it anyway)"
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        turn.cancel()
        await gone
        return True, "Job successfully cancelled" if status == "waiting" else f"Dequeued job {self.job.id}"

    def let_go(self) -> None:
        """The executor is done with it: who waits for it to be cancelled, and was not told, never will be."""
        gone, self._gone = self._gone, []
        for d in gone:
            if not d.called:
                d.errback(ServiceUnavailable("The master has changed; please ask again"))

    # One opcode.

    async def _opcode(self, index: int, op: Opcode) -> None:
        record = self.job.ops[index]
        progress = Progress(stage=record.stage, kept=dict(record.kept), job=self.job.id)
        plan = self._means.plans.get(type(op))
        hooks = OperationHooks(op, self.job.id, self._means.nodes, self._means.view, bool(record.stage))
        if plan is None:
            raise prereq(f"{op.OP_ID} is not offered by this release")
        conflicts = 0
        while True:
            view = self._means.view()
            stage: Stage = plan(op, progress, view)
            if isinstance(stage, Gather):
                stage = await read(self._means.gatherer().carry_out(stage.work, view))
            again = await hooks.around(stage)
            self._note(index, *hooks.remarks)
            hooks.remarks.clear()
            if again:
                continue
            try:
                following = await self._stage(index, op, progress, stage)
            except Conflict as e:
                if not await self._means.snapshot.catch_up(e.keys):
                    conflicts += 1
                if conflicts > MOST_CONFLICTS:
                    raise prereq(f"What it is about is in use: {e}", "wrong_state") from e
                continue
            if following is None:
                return
            progress = following

    async def _stage(self, index: int, op: Opcode, progress: Progress, stage: Stage) -> Progress | None:
        result = None
        if isinstance(stage, DryRun):
            result, stage = stage.result, stage.then
        if op.dry_run and not judges(stage):
            await self._finish(index, Finish(result=result, log=(DRY_RUN,)))
            return None
        match stage:
            case Perform():
                return await self._perform(index, progress, stage)
            case Change():
                return await self._change(index, progress, stage)
            case Finish():
                await self._finish(index, stage)
                return None
        raise AssertionError(f"not a stage: {stage!r}")

    async def _perform(self, index: int, progress: Progress, stage: Perform) -> Progress:
        self._note(index, *stage.log)
        nodes = self._means.snapshot.nodes
        worker = Worker(
            self._means.nodes, stage.patience, lambda uuid: nodes[uuid].name if uuid in nodes else uuid
        )
        work = worker.carry_out(stage.work)
        outcomes: Outcomes = await (self._turn.interruptible(work) if stage.endless else work)
        for outcome in outcomes:
            if outcome is not None:
                self._note(index, *(f" - WARNING: {warning}" for warning in outcome.warnings))
        self._means.failpoint("stage.performed")
        error = worker.error
        if error is not None and stage.failed is None:
            raise error
        done = stage.stage if error is None else cast(str, stage.failed)
        return Progress(
            stage=done,
            kept={**progress.kept, **stage.kept},
            outcomes=tuple(outcomes),
            error=progress.error or error,
            job=self.job.id,
        )

    async def _change(self, index: int, progress: Progress, stage: Change) -> Progress:
        kept = {**progress.kept, **stage.kept}
        log = ends.log_with(self.job, index, stage.log, self._now(), stage.entries)
        before = ends.filled(self.job, index, stage.filled)
        job = ends.with_op(before, index, stage=stage.stage, kept=kept, status="running", log=log)
        self._set(await self._commits.make("stage.changed", job, index, stage))
        return Progress(stage=stage.stage, kept=kept, error=progress.error, job=self.job.id)

    async def _finish(self, index: int, stage: Finish) -> None:
        stage = self._answerable(index, stage)
        drafts = self._means.queue.draft(stage.jobs, self.job.request_id, self.job.ops[index].input)
        job = ends.filled(self.job, index, stage.filled)
        if stage.error is not None:
            job = ends.failed(job, index, stage.error, stage.log, self._now())
        else:
            job = ends.succeeded(job, index, _result(stage, drafts), stage.log, self._now())
        more = [draft for draft in drafts if isinstance(draft, JobRecord)]
        job = await self._commits.make("op.finished", job, index, stage, more)
        for draft in more:  # first: who is told of the end learns their ids
            self._means.table.put(draft)
        self._set(job)
        for draft in more:
            self._executor.begin(draft)
        if stage.error is not None:
            raise _Stored

    def _answerable(self, index: int, stage: Finish) -> Finish:
        """The end of an opcode that only looked is an error where what it found cannot be kept."""
        written = (stage.puts, stage.deletes, stage.names, stage.free, stage.jobs)
        if stage.error is not None or any(written) or self.job.ops[index].stage:
            return stage
        size = size_of(ends.succeeded(self.job, index, stage.result, (), self._now()))
        if size <= room_for(self.job, index, self._commits.most):
            return stage
        text = f"The result is too large to be kept: {size} bytes with what the job has already"
        return Finish(error=OpExecError(f"{text}; please ask for less at once"), log=stage.log)

    # Ends.

    async def _end_in_error(self, index: int, error: JobError) -> None:
        job = ends.failed(self.job, index, error, (), self._now())
        self._set(await self._commits.make("op.finished", job, index, Finish()))

    async def _end_canceled(self, index: int) -> None:
        job = ends.canceled(self.job, index, self._now())
        self._set(await self._commits.make("op.finished", job, index, Finish()))
        gone, self._gone = self._gone, []
        for d in gone:
            if not d.called:  # who asked may have gone away
                d.callback(None)

    # Storing and showing.

    def _now(self) -> tuple[int, int]:
        return timestamp(self._means.now())

    def _set(self, job: JobRecord) -> None:
        self.job = job
        self._means.table.put(job)

    def _show(self, index: int, status: JobStatus, **values: Any) -> None:
        job = ends.with_op(self.job, index, status=status, **values)
        self._set(replace(job, start_ts=job.start_ts or self._now()))

    def _note(self, index: int, *lines: str) -> None:
        if lines:
            log = ends.log_with(self.job, index, lines, self._now())
            self._set(ends.with_op(self.job, index, log=log))


def _result(stage: Finish, drafts: Sequence[JobRecord | str]) -> Any:
    """What the opcode answers: with the jobs it submitted, if it was to submit any."""
    if not stage.jobs:
        return stage.result
    jobs = [[False, d] if isinstance(d, str) else [True, d.id] for d in drafts]
    return {**(stage.result or {}), "jobs": jobs}
