"""Fields of jobs (behaviour.md §3.2; order of `FIELDS` as observed)."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.model.records import ArchivedJobRecord, JobRecord, OpRecord, job_status
from twisted_rapi.plan.fields.base import Field, select

_SECRET = ("osparams_private", "osparams_secret")
_HIDDEN_BY_OS = "osparams_private_cluster"


def _masked(op: OpRecord) -> dict[str, Any]:
    """The opcode's parameters, secret values not shown."""
    found = _hidden(op.input)
    if isinstance(found.get("instances"), list):  # those that several allocations are asked for
        found["instances"] = [_hidden(i) if isinstance(i, Mapping) else i for i in found["instances"]]
    return found


def _hidden(values: Mapping[str, Any]) -> dict[str, Any]:
    hidden: dict[str, Any] = {
        k: dict.fromkeys(values[k]) for k in _SECRET if isinstance(values.get(k), Mapping)
    }
    by_os = values.get(_HIDDEN_BY_OS)
    if isinstance(by_os, Mapping):
        hidden[_HIDDEN_BY_OS] = {
            os: dict.fromkeys(given) if isinstance(given, Mapping) else None for os, given in by_os.items()
        }
    return {**values, **hidden}


def _priorities(job: JobRecord) -> list[int]:
    return [op.input.get("priority") or 0 for op in job.ops]


def _priority(job: JobRecord) -> int:
    """The most urgent of the opcodes that have not ended; once all have, of all."""
    unended = [
        p for op, p in zip(job.ops, _priorities(job), strict=True) if op.end_ts is None and op.result is None
    ]
    return min(unended or _priorities(job), default=0)


TABLE = (
    Field("id", "ID", "number", "Id", lambda v, j: j.id),
    Field("ops", "OpCodes", "other", "Opcodes with their parameters", lambda v, j: [_masked(o) for o in j.ops]),
    Field("status", "Status", "text", "Status of the whole", lambda v, j: job_status(j)),
    Field("summary", "Summary", "other", "Each opcode in a word", lambda v, j: [o.summary for o in j.ops]),
    Field("opstatus", "OpCode_status", "other", "Status of each opcode", lambda v, j: [o.status for o in j.ops]),
    Field("received_ts", "Received", "other", "When it was accepted: seconds and microseconds", lambda v, j: j.received_ts, "stamp"),
    Field("start_ts", "Start", "other", "When it left the queue: seconds and microseconds", lambda v, j: j.start_ts, "stamp"),
    Field("end_ts", "End", "other", "When it ended: seconds and microseconds", lambda v, j: j.end_ts, "stamp"),
    Field("oplog", "OpCode_log", "other", "Log of each opcode", lambda v, j: [list(o.log) for o in j.ops]),
    Field("opresult", "OpCode_result", "other", "Result of each opcode", lambda v, j: [o.result for o in j.ops]),
    Field("priority", "Priority", "number", "Lower is more urgent", lambda v, j: _priority(j)),
    Field("archived", "Archived", "bool", "Whether it is in the archive", lambda v, j: isinstance(j, ArchivedJobRecord)),
    Field("opstart", "OpCode_start", "other", "When each opcode began to wait for its locks", lambda v, j: [o.wait_ts or o.start_ts for o in j.ops]),
    Field("opexec", "OpCode_exec", "other", "When each opcode had its locks", lambda v, j: [o.start_ts for o in j.ops]),
    Field("opend", "OpCode_end", "other", "When each opcode ended", lambda v, j: [o.end_ts for o in j.ops]),
    Field("oppriority", "OpCode_prio", "other", "Priority of each opcode", lambda v, j: _priorities(j)),
)  # fmt: skip

FIELDS = select(TABLE, "id ops status summary opstatus received_ts start_ts end_ts oplog opresult")
"""What a job is shown with (observations.md)."""

BULK_FIELDS = FIELDS[:8]

BY_NAME: Mapping[str, Field] = {field.name: field for field in TABLE}


def value(job: JobRecord, name: str) -> Any:
    """One field's value; ``None`` for an unknown one (observations.md)."""
    field = BY_NAME.get(name)
    return None if field is None else field.get(None, job)  # type: ignore[arg-type]


def document(job: JobRecord, fields: tuple[Field, ...] = FIELDS) -> dict[str, Any]:
    """The job as an answer shows it."""
    return {field.name: field.get(None, job) for field in fields}  # type: ignore[arg-type]
