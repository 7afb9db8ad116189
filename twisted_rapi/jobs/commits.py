"""Storing how far a job has come, together with what it changed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted_rapi.errors import CommitTooLarge
from twisted_rapi.jobs.sizes import SMALLEST, Sizes, fitted, size_of
from twisted_rapi.model.records import JobRecord, job_key
from twisted_rapi.plan.stage import Change, Finish
from twisted_rapi.state.codec import encode
from twisted_rapi.state.writer import commit_of

if TYPE_CHECKING:
    from twisted_rapi.jobs.executor import Means


class Commits:
    """The commits of jobs, for one term."""

    def __init__(self, means: "Means") -> None:
        self._means = means
        self._sizes = Sizes(means.store.largest)

    @property
    def most(self) -> int:
        """Bytes a job's record may have."""
        return self._sizes.record

    async def make(
        self, what: str, job: JobRecord, index: int, stage: Change | Finish, more: Sequence[JobRecord] = ()
    ) -> JobRecord:
        """
        Store a job, what a stage changes and the jobs it submits; answers the job as it was stored.

        :param index: the opcode that is worked on.
        :raises CommitTooLarge: it is too large, whatever is left out of the job's record
            (see `twisted_rapi.jobs.sizes`); nothing was written.
        :raises StoreError: see `twisted_rapi.state.interface.IStateStore.commit`.
        """
        most = self._sizes.record
        while True:
            fit = fitted(job, index, most)
            try:
                await self._commit(what, fit, stage, more)
            except CommitTooLarge:
                most = min(most, size_of(fit)) // 2
                if most < SMALLEST:
                    raise
            else:
                return fit

    async def _commit(
        self, what: str, job: JobRecord, stage: Change | Finish, more: Sequence[JobRecord]
    ) -> None:
        means = self._means
        blind = {job_key(record.id): encode(record) for record in (job, *more)}
        change = commit_of(
            stage.puts,
            stage.deletes,
            stage.names,
            stage.free,
            revision_of=means.snapshot.revision_of,
            term=means.term,
            blind={**blind, **means.queue.counter()} if more else blind,
        )
        means.failpoint(f"before {what}")
        revision = await means.store.commit(change)
        means.failpoint(f"after {what}")
        if stage.puts or stage.deletes:  # names are not among what the snapshot follows
            await means.snapshot.reached(revision)
