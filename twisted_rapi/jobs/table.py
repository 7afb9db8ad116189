"""All jobs that are not archived, in the memory of the master."""

from collections.abc import Callable, Iterator, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_rapi.errors import ServiceUnavailable
from twisted_rapi.model.records import FINAL, JobRecord, job_status

Observer = Callable[[JobRecord], None]


class JobTable:
    """
    The jobs by id, and who waits for them.

    Transient states are shown at once; a final one only once it is in the store, so that nobody is told of
    an end that a crash could undo.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._jobs: dict[int, JobRecord] = {}
        self._unfinished: dict[int, JobRecord] = {}
        self._waiters: dict[int, list[Deferred[None]]] = {}
        self._observers: list[Observer] = []
        self._closed = False
        self._sent_home = False

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[JobRecord]:
        return iter([self._jobs[job_id] for job_id in sorted(self._jobs)])

    @property
    def records(self) -> Mapping[int, JobRecord]:
        """The jobs by id."""
        return self._jobs

    def unfinished(self) -> list[JobRecord]:
        """The jobs that have not ended, by id."""
        return [self._unfinished[job_id] for job_id in sorted(self._unfinished)]

    def get(self, job_id: int) -> JobRecord | None:
        """The job, if it is not archived."""
        return self._jobs.get(job_id)

    def put(self, job: JobRecord) -> None:
        """The job is now as given."""
        self._jobs[job.id] = job
        if job_status(job) in FINAL:
            self._unfinished.pop(job.id, None)
        else:
            self._unfinished[job.id] = job
        self._wake(job.id)
        for observer in tuple(self._observers):
            try:
                observer(job)
            except Exception:  # noqa: BLE001 -- who looks on has no part in the job
                self._log.failure("an observer of jobs failed at job {job}", job=job.id)

    def close(self) -> None:
        """The term is over: whoever waits for a change is told so, and what is here stays as it was."""
        self._closed = True
        waiting, self._waiters = self._waiters, {}
        for waiters in waiting.values():
            for waiter in waiters:
                if not waiter.called:
                    waiter.errback(_over())

    def send_home(self) -> None:
        """The term is about to be given up: whoever waits for a change is told that there is none."""
        self._sent_home = True
        for job_id in list(self._waiters):
            self._wake(job_id)

    def drop(self, job_id: int) -> None:
        """The job is archived."""
        self._jobs.pop(job_id, None)
        self._unfinished.pop(job_id, None)
        self._wake(job_id)

    def _wake(self, job_id: int) -> None:
        for waiter in self._waiters.pop(job_id, []):
            if not waiter.called:  # one before it may have cancelled it
                waiter.callback(None)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Call `observer` with each job that changes; answers how to end that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    async def change(self, job_id: int) -> None:
        """
        Wait for the next change of a job.

        :raises ServiceUnavailable: the term ended before.
        """
        if self._closed:
            raise _over()
        waiter: Deferred[None] = Deferred(lambda d: self._forget(job_id, d))
        self._waiters.setdefault(job_id, []).append(waiter)
        await waiter

    def _forget(self, job_id: int, waiter: Deferred[None]) -> None:
        waiters = self._waiters.get(job_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(job_id, None)

    async def wait(
        self, job_id: int, unchanged: Callable[[JobRecord], bool], timeout: float
    ) -> JobRecord | None:
        """See `twisted_rapi.cluster.interface.ICluster.wait`."""
        deadline = self._clock.seconds() + timeout
        while True:
            job = self._jobs.get(job_id)
            if job is None or job_status(job) in FINAL or not unchanged(job) or self._sent_home:
                return job
            left = deadline - self._clock.seconds()
            if left <= 0:
                return job
            changed = Deferred.fromCoroutine(self.change(job_id))
            changed.addTimeout(left, self._clock)
            try:
                await changed
            except DeferredTimeout:
                return self._jobs.get(job_id)


def _over() -> ServiceUnavailable:
    return ServiceUnavailable("The master has changed; please ask again")
