"""
Executing jobs: from acceptance to their end.

Note [Resuming].  What is in the store of a job that runs is how far its opcodes have come
(`OpRecord.stage`, `OpRecord.kept`), written in one commit with the records that changed.  Transient states
are not stored.  A new master loads the jobs that have not ended and runs each again from there: its locks
first, then its plan is asked what comes next.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from heapq import heappop, heappush
from random import Random

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.errors import ServiceUnavailable, StaleTerm, StoreError
from twisted_rapi.jobs.admission import Admission
from twisted_rapi.jobs.archive import PAGE, archive_page, archived
from twisted_rapi.jobs.gathering import Gatherer
from twisted_rapi.jobs.life import Life
from twisted_rapi.jobs.queue import Failpoint, Queue
from twisted_rapi.jobs.slices import Slices
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import FINAL, JobRecord, job_status
from twisted_rapi.observe import job_id as current_job
from twisted_rapi.plan.locking import PlanFunction
from twisted_rapi.plan.locks import Lock, LockTable
from twisted_rapi.plan.view import View
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot

LAST = 100  # less urgent than any job
SETTLE = 5.0  # seconds a new master waits for silent nodes before it judges without them


@attrs.frozen(kw_only=True)
class Means:
    """
    What executing needs.

    :ivar now: seconds since the epoch.
    :ivar deposed: told when the store or a node knows a higher term.
    :ivar failpoint: called before and after each commit, for crash tests.
    :ivar locks: who has which, and who waits.
    :ivar owner: the job that looks; 0: none.
    """

    store: IStateStore
    snapshot: Snapshot
    nodes: INodes
    table: JobTable
    queue: Queue
    plans: Mapping[type[Opcode], PlanFunction]
    locks_for: Callable[[Opcode, View], frozenset[Lock]]
    now: Callable[[], float]
    chance: Random
    term: int
    clock: IReactorTime
    deposed: Callable[[], None] = lambda: None
    failpoint: Failpoint = lambda _: None
    locks: LockTable = attrs.field(factory=LockTable)
    owner: int = 0

    def view(self) -> View:
        """The cluster as of now."""
        return self.snapshot.view(
            self.nodes.reports,
            self.now(),
            self.chance,
            jobs=self.table.records,
            locks=self.locks,
            owner=self.owner,
        )

    def gatherer(self) -> Gatherer:
        """For work that is done bit by bit and begins now."""
        return Gatherer(
            slices=Slices(self.clock),
            look=self.view,
            job=partial(archived, self.store),
            page=partial(archive_page, self.store),
        )


class Executor(Service):
    """Runs the jobs of one term; each starts as soon as its dependencies, its locks and the limit let it."""

    _log = Logger()

    def __init__(self, means: Means) -> None:
        self._means = means
        self.locks = means.locks
        self.admission = Admission(means.snapshot)
        self._lives: dict[int, Life] = {}
        self._running: dict[int, Deferred[None]] = {}
        self._waiting: dict[int, Deferred[None]] = {}
        self._slots = 0
        self._for_slot: list[tuple[int, int, Deferred[None]]] = []
        self._for_room: list[tuple[int, int, Deferred[None]]] = []
        self._others = 0
        self._stopping = self._draining = False
        self._settled = False
        self._settling: list[Deferred[None]] = []
        self._ends: list[Callable[[], None]] = []
        self._patience: IDelayedCall | None = None
        self._unwatch: Callable[[], None] = lambda: None

    def startService(self) -> None:
        """Begin to look for the nodes; jobs begin once all have been heard of, or time is up."""
        super().startService()
        self.admission.begin()
        self._unwatch = self._means.snapshot.observe(lambda _: self._admit())  # the limit may change
        self._ends.append(self._means.nodes.observe(lambda _: self._look_around()))
        self._patience = self._means.clock.callLater(SETTLE, self._settle)
        self._look_around()

    def _look_around(self) -> None:
        nodes = self._means.snapshot.nodes.values()
        if all(node.offline or node.uuid in self._means.nodes.reports for node in nodes):
            self._settle()

    def _settle(self) -> None:
        self._settled = True
        self._let_go()
        waiting, self._settling = self._settling, []
        for d in waiting:
            if not d.called:
                d.callback(None)

    def _let_go(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        if self._patience is not None and self._patience.active():
            self._patience.cancel()

    async def settled(self) -> None:
        """Wait until it is known which nodes answer this master: it cannot judge what it has not seen."""
        if not self._settled:
            waiting: Deferred[None] = Deferred()
            self._settling.append(waiting)
            await waiting

    async def recover(self) -> None:
        """
        Load the jobs of the store into the table and go on with those that have not ended.

        :raises StoreError: the store cannot be read.
        """
        after: str | None = ""
        while after is not None:
            page = await self._means.store.list("job/", after, PAGE)
            for key, entry in page.entries.items():
                job = decode(key, entry.value)
                assert isinstance(job, JobRecord)
                self._means.table.put(job)
            after = page.more
        unended = [job for job in self._means.table if job_status(job) not in FINAL]
        # Those that had begun had their locks: they get them again before others ask for the same.
        for job in sorted(unended, key=lambda job: not any(op.stage for op in job.ops)):
            self.begin(job)

    def begin(self, job: JobRecord) -> None:
        """Run a job from where it is; at the end of the term it is left to the next master."""
        if self._stopping:
            return
        life = Life(job, self._means, self)
        self._lives[job.id] = life
        d = Deferred.fromCoroutine(self._run(life))
        self._running[job.id] = d
        d.addBoth(self._ended, job.id)

    def _ended(self, result: object, job_id: int) -> None:
        del self._running[job_id]
        if isinstance(result, Failure):
            self._log.failure("job {job} met a bug", result, job=job_id)

    async def _run(self, life: Life) -> None:
        current_job.set(life.job.id)
        try:
            await life.live()
        except CancelledError:
            if not self._stopping:
                raise
        except StaleTerm as e:
            self._log.warn("job {job}: {reason}", job=life.job.id, reason=str(e))
            self._means.deposed()
        except StoreError as e:
            # The store no longer takes what jobs come to: the term cannot go on; what is stored resumes.
            self._log.error("job {job}: the store failed: {reason}", job=life.job.id, reason=str(e))
            self._means.deposed()
        finally:
            self._lives.pop(life.job.id, None)
            self.release(life.job.id)
            life.let_go()
            if not self._stopping:
                self.admission.gone(life.job.id)

    def stopService(self) -> Deferred[None]:
        """Let go of all jobs, as they are; nothing is marked as ended."""
        super().stopService()
        self._stopping = True
        self.admission.end()
        self._let_go()
        self._unwatch()
        self._unwatch = lambda: None
        running = list(self._running.values())
        for d in running:
            d.cancel()
        return DeferredList(running, consumeErrors=True).addCallback(lambda _: None)

    # Locks and slots, for `Life`.

    async def acquire(self, job_id: int, priority: int, locks: frozenset[Lock]) -> None:
        """Wait for locks."""
        if self.locks.request(job_id, priority, job_id, locks):
            return
        granted: Deferred[None] = Deferred()
        self._waiting[job_id] = granted
        try:
            await granted
        finally:
            self._waiting.pop(job_id, None)

    def release(self, job_id: int) -> None:
        """
        Give back the locks a job has, or stop waiting for them.

        At the end of a term nobody gets what becomes free: a job that was let go is not done.
        """
        if self._stopping:
            return
        for owner in self.locks.release(job_id):
            granted = self._waiting.get(owner)
            if granted is not None and not granted.called:
                granted.callback(None)

    @asynccontextmanager
    async def apart(self, wanted: Callable[[], frozenset[Lock]]) -> AsyncIterator[None]:
        """
        Have locks for work that is no job's, after every job that wants one of them.

        Jobs that go on from an earlier term ask for theirs first.  When it is cancelled, as at the end of a
        term, nobody gets what it has: steps may be under way.

        :param wanted: which; asked again once they are there, as names may have changed meanwhile.
        """
        self._others += 1
        owner = -self._others
        try:
            await self.settled()
            locks = wanted()
            await self.acquire(owner, LAST, locks)
            while (needed := wanted()) != locks:
                self.release(owner)
                locks = needed
                await self.acquire(owner, LAST, locks)
        except BaseException:
            self.release(owner)
            raise
        try:
            yield
        except CancelledError:
            raise
        except BaseException:
            self.release(owner)
            raise
        self.release(owner)

    async def room(self, job_id: int, priority: int) -> None:
        """
        Wait while as many jobs run as may: until then a job stays queued, and waits for no locks.

        Nothing is taken: a job that then waits for locks keeps no other from running.
        """
        if self._room() > 0:
            return
        free: Deferred[None] = Deferred()
        heappush(self._for_room, (priority, job_id, free))
        await free

    def drain(self) -> None:
        """Start no more jobs: the term is about to be given up."""
        self._draining = True

    def _room(self) -> int:
        if self._draining:
            return 0
        return self._means.snapshot.cluster.max_running_jobs - self._slots

    async def slot(self, job_id: int, priority: int) -> None:
        """Wait until the limit on running jobs admits this one."""
        free: Deferred[None] = Deferred()
        heappush(self._for_slot, (priority, job_id, free))
        self._admit()
        await free

    def leave_slot(self) -> None:
        """A job no longer runs; the first that waits may."""
        self._slots -= 1
        self._admit()

    def _admit(self) -> None:
        if self._stopping:
            return
        while self._for_slot and self._room() > 0:
            free = heappop(self._for_slot)[2]
            if not free.called:  # cancelled ones are
                self._slots += 1
                free.callback(None)
        while self._for_room and self._room() > 0:
            waiting = heappop(self._for_room)[2]
            if not waiting.called:
                waiting.callback(None)

    async def cancel(self, job_id: int) -> tuple[bool, str]:
        """See `twisted_rapi.cluster.interface.ICluster.cancel`; texts as observed."""
        if self._stopping:
            raise ServiceUnavailable("The master has changed; please ask again")
        life = self._lives.get(job_id)
        if life is None:
            return False, f"Job {job_id} not found in queue"
        return await life.cancel()

    @property
    def stopping(self) -> bool:
        """Whether the term ends: jobs are let go of, not ended."""
        return self._stopping

    @property
    def counts(self) -> Mapping[str, int]:
        """How many locks are held and how many jobs wait for some, for those who watch."""
        return {"held": len(self.locks.holders()), "waiting": len(self.locks.waiting())}


__all__ = ["Executor", "Means"]
