"""Accepting jobs."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace as with_values

from twisted_rapi.errors import BadRequest, BodyTooLarge, QueueDrained, RequestError, ServiceUnavailable
from twisted_rapi.jobs.sizes import Sizes, size_of
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.opcodes import Opcode, summary, to_wire
from twisted_rapi.model.records import CounterRecord, JobRecord, OpRecord, Params, Timestamp, job_key
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.interface import Commit, IStateStore

COUNTER = f"{CounterRecord.KIND}/job"
LIMIT = 5000  # constants.json job_queue_size_hard_limit

Failpoint = Callable[[str], None]


def timestamp(seconds: float) -> Timestamp:
    """Seconds since the epoch as job answers show them."""
    micro = round(seconds * 1_000_000)
    return micro // 1_000_000, micro % 1_000_000


class Queue:
    """
    Accepts jobs for one term; made by `open_queue`.

    Ids are given out in memory, and each job's commit carries the counter: no two masters write in one term,
    and commits are made in the order they are asked for, so concurrent submissions need not wait for each
    other and no id is ever given twice.
    """

    def __init__(
        self,
        store: IStateStore,
        table: JobTable,
        now: Callable[[], float],
        term: int,
        last: int,
        drained: Callable[[], bool],
        failpoint: Failpoint,
        limit: int = LIMIT,
    ) -> None:
        self._store, self._table, self._now, self._term = store, table, now, term
        self._last, self._drained, self._failpoint, self._limit = last, drained, failpoint, limit
        self._accepting = 0
        self._sizes = Sizes(store.largest)

    @property
    def limit(self) -> int:
        """How many jobs that are not archived there may be."""
        return self._limit

    @property
    def last(self) -> int:
        """The last id given out."""
        return self._last

    async def accept(self, ops: Sequence[Opcode], request_id: str) -> JobRecord:
        """
        Store a job of these opcodes; see `twisted_rapi.cluster.interface.ICluster.submit` for errors.

        The job is in the table when this answers.
        """
        if not ops:
            raise BadRequest("A job needs at least one opcode")
        if self._drained():
            raise QueueDrained
        if len(self._table) + self._accepting >= self._limit:
            raise ServiceUnavailable("Job queue is full, needs archiving")
        job = self._new_job(ops, request_id)
        self._accepting += 1
        try:
            self._failpoint("before job.accepted")
            puts = {job_key(job.id): encode(job), **self.counter()}
            await self._store.commit(Commit(puts=puts, term=self._term))
            self._failpoint("after job.accepted")
        finally:
            self._accepting -= 1
        self._table.put(job)
        return job

    def draft(
        self, jobs: Sequence[Sequence[Opcode]], request_id: str, parent: Params
    ) -> list[JobRecord | str]:
        """
        Records of jobs that another job submits, to be committed by it at once, with `counter`.

        :param parent: its opcode in the wire form, whose reason trail, priority and comment they inherit.

        A job that cannot be accepted is answered as the reason; also one that does not go into a commit with
        those before it.
        """
        drafts: list[JobRecord | str] = []
        room = self._sizes.submitted
        before: list[int | None] = []
        for ops in jobs:
            try:
                if len(self._table) + self._accepting + len(drafts) >= self._limit:
                    raise ServiceUnavailable("Job queue is full, needs archiving")
                job = self._new_job([_inheriting(op, parent) for op in ops], request_id, before, room)
            except RequestError as e:
                drafts.append(str(e))
                before.append(None)
            else:
                drafts.append(job)
                before.append(job.id)
                room -= size_of(job)
        return drafts

    def counter(self) -> dict[str, bytes]:
        """What keeps ids given out so far from being given out again."""
        return {COUNTER: encode(CounterRecord(value=self._last))}

    def _new_job(
        self,
        ops: Sequence[Opcode],
        request_id: str,
        before: Sequence[int | None] = (),
        room: int | None = None,
    ) -> JobRecord:
        job_id = self._last + 1
        now = self._now()
        records = tuple(self._record(op, job_id, index, now, before) for index, op in enumerate(ops))
        job = JobRecord(id=job_id, ops=records, received_ts=timestamp(now), request_id=request_id)
        most = self._sizes.accepted if room is None else room
        size = size_of(job)
        if size > most:
            raise BodyTooLarge(f"The job is too large: {size} bytes of {most} at most")
        self._last = job_id
        return job

    def _record(
        self, op: Opcode, job_id: int, index: int, now: float, before: Sequence[int | None]
    ) -> OpRecord:
        name = op.OP_ID.removeprefix("OP_").lower()
        trail = [f"gnt:opcode:{name}", f"job={job_id};index={index}", int(now * 1e9)]
        depends = _depends(op, job_id, before)
        stored = with_values(op, reason=[*(op.reason or []), trail], depends=depends)
        return OpRecord(input=to_wire(stored), summary=summary(op))


def _inheriting(op: Opcode, parent: Params) -> Opcode:
    """The opcode as one that another submits (behaviour.md §3.8); what it says itself counts."""
    return with_values(
        op,
        reason=[*(op.reason or []), *(parent.get("reason") or [])],
        comment=op.comment or f"Submitted by {parent['OP_ID']}",
        priority=op.priority or parent.get("priority") or 0,
        debug_level=op.debug_level or parent.get("debug_level"),
    )


def _depends(op: Opcode, job_id: int, before: Sequence[int | None]) -> list[tuple[Any, list[Any]]] | None:
    """
    Dependencies by number: a negative one counts back from the job (as observed; behaviour.md §3.5).

    :param before: the ids of jobs submitted at once with it, ``None`` for one that was not accepted.
    """
    if op.depends is None:
        return None
    return [(_absolute(int(given), job_id, before), statuses) for given, statuses in op.depends]


def _absolute(number: int, job_id: int, before: Sequence[int | None]) -> int:
    if number >= 0:
        return number
    found = before[number] if -number <= len(before) else job_id + number
    if found is None or found < 1:
        raise BadRequest(f"Relative job id {number} names no job")
    return found


async def open_queue(
    store: IStateStore,
    table: JobTable,
    now: Callable[[], float],
    term: int,
    drained: Callable[[], bool],
    failpoint: Failpoint = lambda _: None,
    limit: int = LIMIT,
) -> Queue:
    """
    The queue of a new term, which goes on counting where the store says.

    :raises StoreError: the store cannot be read.
    """
    entry = (await store.get([COUNTER])).get(COUNTER)
    last = 0
    if entry is not None:
        counter = decode(COUNTER, entry.value)
        assert isinstance(counter, CounterRecord)
        last = counter.value
    return Queue(store, table, now, term, last, drained, failpoint, limit)
