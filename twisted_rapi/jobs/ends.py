"""A job's record from one state to the next; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from twisted_rapi.errors import JobError, OpExecError
from twisted_rapi.jobs.sizes import cut_error, logged
from twisted_rapi.model.opcodes import from_wire, to_wire
from twisted_rapi.model.records import FINAL, JobRecord, LogEntry, OpRecord, Params, Timestamp, job_status
from twisted_rapi.plan.stage import Entry


def with_op(job: JobRecord, index: int, **values: Any) -> JobRecord:
    """The job with one of its opcodes changed."""
    ops = list(job.ops)
    ops[index] = replace(ops[index], **values)
    return replace(job, ops=tuple(ops))


def filled(job: JobRecord, index: int, values: Mapping[str, Any]) -> JobRecord:
    """The job with parameters of one of its opcodes filled in."""
    if not values:
        return job
    op = replace(from_wire(job.ops[index].input), **values)
    return with_op(job, index, input=to_wire(op))


def log_with(
    job: JobRecord, index: int, lines: Iterable[str], now: Timestamp, entries: Iterable[Entry] = ()
) -> tuple[LogEntry, ...]:
    """
    An opcode's log with more lines, then more entries.

    Their serials go on over the whole job, which keeps only so many.
    """
    serial = max((entry[0] for op in job.ops for entry in op.log), default=0)
    whole = (*(Entry("message", line) for line in lines), *entries)
    more = tuple((serial + n, now, entry.type, entry.value) for n, entry in enumerate(whole, 1))
    return (*job.ops[index].log, *logged(job, more))


def succeeded(job: JobRecord, index: int, result: Any, lines: Iterable[str], now: Timestamp) -> JobRecord:
    """The job, one of whose opcodes has ended well."""
    log = log_with(job, index, lines, now)
    done = with_op(job, index, status="success", result=result, end_ts=now, log=log, stage="", kept={})
    return _closed(done, now)


def failed(job: JobRecord, index: int, error: JobError, lines: Iterable[str], now: Timestamp) -> JobRecord:
    """The job, one of whose opcodes has ended in an error; those after it do not run."""
    log = log_with(job, index, lines, now)
    done = with_op(
        job, index, status="error", result=cut_error(error.pair()), end_ts=now, log=log, stage="", kept={}
    )
    preceding = OpExecError("Preceding opcode failed").pair()
    ops = tuple(
        replace(op, status="error", result=preceding, end_ts=now) if n > index else op
        for n, op in enumerate(done.ops)
    )
    return _closed(replace(done, ops=ops, start_ts=job.start_ts or now), now)


def canceled(job: JobRecord, index: int, now: Timestamp) -> JobRecord:
    """The job, cancelled before this opcode."""
    told = None if job_status(job) == "queued" else "Job canceled by request"
    ops = tuple(
        replace(op, status="canceled", result=told, end_ts=now) if n >= index else op
        for n, op in enumerate(job.ops)
    )
    return _closed(replace(job, ops=ops), now)


def _closed(job: JobRecord, now: Timestamp) -> JobRecord:
    if job_status(job) not in FINAL:
        return job
    return replace(job, end_ts=now, ops=tuple(map(_without_secrets, job.ops)))


def _without_secrets(op: OpRecord) -> OpRecord:
    """The opcode without the values of its secret parameters: kept for no longer than they are used."""
    found = _forgotten(op.input)
    if isinstance(found.get("instances"), list):  # those that several allocations are asked for
        found["instances"] = [_forgotten(i) if isinstance(i, dict) else i for i in found["instances"]]
    return op if found == op.input else replace(op, input=found)


def _forgotten(values: Params) -> Params:
    secret = values.get("osparams_secret")
    return {**values, "osparams_secret": dict.fromkeys(secret)} if isinstance(secret, dict) else dict(values)
