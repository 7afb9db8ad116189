"""
Which queued jobs may leave the queue: what the rules about jobs say.

Rules are asked before a job begins to wait for anything else; one that has begun goes on whatever they say.
They are asked again when they change, and those of a limited rate when a job ends.
"""

from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_rapi.model.job_filter import Rule, Verdict, compiled, ordered, verdict
from twisted_rapi.model.query import FilterError
from twisted_rapi.model.records import FilterRecord, JobRecord
from twisted_rapi.state.snapshot import Observed, Snapshot


@attrs.define(eq=False)
class _Waiting:
    job: JobRecord
    told: Deferred[bool]
    found: Verdict | None = None  # by the rules as they are


class Admission:
    """
    The rules at work, for one term.

    :param snapshot: has the rules.
    """

    _log = Logger()

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._rules: list[Rule] = []
        self._waiting: dict[int, _Waiting] = {}
        self._admitted: dict[int, JobRecord] = {}
        self._limited: dict[str, set[int]] = {}  # by rule, the jobs that count for its limit
        self._end: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Follow the rules."""
        self._read()
        self._end = self._snapshot.observe(self._observed)

    def end(self) -> None:
        """No longer follow; who waits is not told."""
        self._end()
        self._end = lambda: None

    async def admit(self, job: JobRecord) -> bool:
        """Wait until the job may leave the queue; false: it is rejected."""
        waiting = _Waiting(job, Deferred())
        self._waiting[job.id] = waiting
        self._judge(waiting)
        try:
            return await waiting.told
        finally:
            self._waiting.pop(job.id, None)

    def note(self, job: JobRecord) -> None:
        """The job has left the queue before: it counts where rates are limited."""
        if job.id not in self._admitted:
            self._count(job, verdict(self._rules, job))

    def gone(self, job_id: int) -> None:
        """A job has ended."""
        if self._admitted.pop(job_id, None) is None:
            return
        freed = [uuid for uuid, jobs in self._limited.items() if job_id in jobs]
        for uuid in freed:
            self._limited[uuid].discard(job_id)
        if freed:
            self._judge_all()

    def _observed(self, told: Observed) -> None:
        if any(isinstance(after or before, FilterRecord) for _, before, after in told):
            self._read()
            self._judge_all()

    def _read(self) -> None:
        self._rules = list(self._compiled(ordered(self._snapshot.filters.values())))
        self._limited = {}
        for waiting in self._waiting.values():
            waiting.found = None
        if self._rules:
            for job in self._admitted.values():
                self._count(job, verdict(self._rules, job))

    def _compiled(self, records: Iterable[FilterRecord]) -> Iterable[Rule]:
        for record in records:
            try:
                yield compiled(record)
            except FilterError as e:  # of a release that knew more
                self._log.error("filter rule {uuid} is left out: {reason}", uuid=record.uuid, reason=str(e))

    def _count(self, job: JobRecord, found: Verdict) -> None:
        self._admitted[job.id] = job
        if found.action == "RATE_LIMIT":
            self._limited.setdefault(found.rule, set()).add(job.id)

    def _judge_all(self) -> None:
        """Ask again for all that wait, the more urgent first, then the older."""
        for waiting in sorted(self._waiting.values(), key=_rank):
            self._judge(waiting)

    def _judge(self, waiting: _Waiting) -> None:
        if waiting.told.called:
            return
        found = waiting.found = waiting.found or verdict(self._rules, waiting.job)
        if found.action == "PAUSE":
            return
        if found.action == "RATE_LIMIT" and len(self._limited.get(found.rule, ())) >= found.limit:
            return
        admitted = found.action != "REJECT"
        if admitted:
            self._count(waiting.job, found)
        waiting.told.callback(admitted)


def _rank(waiting: _Waiting) -> tuple[Any, int]:
    return min((op.input.get("priority") or 0 for op in waiting.job.ops), default=0), waiting.job.id
