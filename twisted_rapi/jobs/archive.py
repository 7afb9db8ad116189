"""Archiving jobs by age: they are no longer listed, but can be read by their id."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from msgspec.structs import asdict
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_rapi.errors import CommitTooLarge, RapiError
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.records import FINAL, ArchivedJobRecord, JobRecord, job_key, job_status
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.interface import Commit, IStateStore

BATCH = 200  # jobs of one commit
PAGE = 100  # jobs that are read at once


async def archived(store: IStateStore, job_id: int) -> JobRecord | None:
    """
    A job from the archive.

    :raises StoreError: the store cannot be read.
    """
    if not 0 <= job_id < 10**20:
        return None
    key = job_key(job_id, ArchivedJobRecord.KIND)
    entry = (await store.get([key])).get(key)
    if entry is None:
        return None
    job = decode(key, entry.value)
    assert isinstance(job, JobRecord)
    return job


async def archive_page(store: IStateStore, after: str) -> tuple[Iterator[JobRecord], str | None]:
    """
    See `twisted_rapi.cluster.interface.ICluster.archive`.

    :raises StoreError: the store cannot be read.
    """
    page = await store.list(f"{ArchivedJobRecord.KIND}/", after, PAGE)
    # Decoded one by one, as they are asked for: they may be large.
    jobs = (decode(key, entry.value) for key, entry in page.entries.items())
    return (job for job in jobs if isinstance(job, JobRecord)), page.more


def age_of(job: JobRecord, now: float) -> float:
    """Seconds since the job ended, else started, else was received (behaviour.md §3.6)."""
    seconds, micro = job.end_ts or job.start_ts or job.received_ts
    return now - seconds - micro / 1e6


class Archive(Service):
    """
    Moves jobs that ended longer ago than `age` seconds to the archive.

    It wakes when the oldest of them comes of age, not before.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        table: JobTable,
        clock: IReactorTime,
        now: Callable[[], float],
        term: int,
        age: float = 6 * 3600.0,
    ) -> None:
        self._store, self._table, self._clock, self._now = store, table, clock, now
        self._term, self._age = term, age
        self._timer: IDelayedCall | None = None
        self._working: Deferred[None] = succeed(None)
        self._unobserve: Callable[[], None] | None = None

    def startService(self) -> None:
        """Begin; jobs that are old enough already go at once."""
        super().startService()
        self._unobserve = self._table.observe(self._job_changed)
        self._work()

    def stopService(self) -> Deferred[None]:
        """End, once the commit under way is made."""
        super().stopService()
        unobserve, self._unobserve = self._unobserve, None
        if unobserve is not None:
            unobserve()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self._working

    def _job_changed(self, job: JobRecord) -> None:
        if job_status(job) in FINAL and (self._timer is None or not self._timer.active()):
            self._schedule([job])

    def _schedule(self, jobs: Iterable[JobRecord]) -> None:
        ages = [age_of(job, self._now()) for job in jobs if job_status(job) in FINAL]
        if ages and self.running:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            self._timer = self._clock.callLater(max(1.0, self._age - max(ages)), self._work)

    def _work(self) -> None:
        self._working = Deferred.fromCoroutine(self._archive_old())
        self._working.addErrback(lambda f: self._log.failure("archiving failed", f))

    async def _archive_old(self) -> None:
        now = self._now()
        old = [j for j in self._table if job_status(j) in FINAL and age_of(j, now) >= self._age]
        try:
            while old:
                old = old[await self._move(old) :]
        except RapiError as e:
            self._log.error("jobs could not be archived: {reason}", reason=str(e))
        self._schedule(self._table)

    async def _move(self, old: Sequence[JobRecord]) -> int:
        """Move as many of the first as go into one commit; answers how many are dealt with."""
        values = [encode(ArchivedJobRecord(**asdict(job))) for job in old[:BATCH]]
        sizes = list(accumulate(map(len, values)))
        largest: int = self._store.largest
        count = max(1, sum(size <= largest for size in sizes))
        while True:
            try:
                await self._commit(old[:count], values)
            except CommitTooLarge as e:
                if count == 1:
                    self._log.error("job {job} is not archived: {reason}", job=old[0].id, reason=str(e))
                    return 1
                count //= 2
            else:
                return count

    async def _commit(self, jobs: Sequence[JobRecord], values: Sequence[bytes]) -> None:
        puts = {
            job_key(job.id, ArchivedJobRecord.KIND): value for job, value in zip(jobs, values, strict=False)
        }
        gone = frozenset(job_key(job.id) for job in jobs)
        await self._store.commit(Commit(puts=puts, deletes=gone, term=self._term))
        for job in jobs:
            self._table.drop(job.id)
