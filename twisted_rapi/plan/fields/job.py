"""Fields of jobs (behaviour.md §3.2; order as observed)."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.model.records import JobRecord, OpRecord, job_status
from twisted_rapi.plan.fields.base import Field

_SECRET = ("osparams_private", "osparams_secret")


def _masked(op: OpRecord) -> dict[str, Any]:
    """The opcode's parameters, secret values not shown."""
    hidden = {k: dict.fromkeys(op.input[k]) for k in _SECRET if isinstance(op.input.get(k), Mapping)}
    return {**op.input, **hidden}


FIELDS = (
    Field("id", "ID", "number", "Id", lambda v, j: j.id),
    Field(
        "ops", "OpCodes", "other", "Opcodes with their parameters", lambda v, j: [_masked(o) for o in j.ops]
    ),
    Field("status", "Status", "text", "Status of the whole", lambda v, j: job_status(j)),
    Field("summary", "Summary", "other", "Each opcode in a word", lambda v, j: [o.summary for o in j.ops]),
    Field(
        "opstatus", "OpCode_status", "other", "Status of each opcode", lambda v, j: [o.status for o in j.ops]
    ),
    Field("received_ts", "Received", "other", "When it was accepted", lambda v, j: j.received_ts),
    Field("start_ts", "Start", "other", "When it left the queue", lambda v, j: j.start_ts),
    Field("end_ts", "End", "other", "When it ended", lambda v, j: j.end_ts),
    Field("oplog", "OpCode_log", "other", "Log of each opcode", lambda v, j: [list(o.log) for o in j.ops]),
    Field(
        "opresult", "OpCode_result", "other", "Result of each opcode", lambda v, j: [o.result for o in j.ops]
    ),
)

BULK_FIELDS = FIELDS[:8]

BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}


def value(job: JobRecord, name: str) -> Any:
    """One field's value; ``None`` for an unknown one (observations.md)."""
    field = BY_NAME.get(name)
    return None if field is None else field.get(None, job)  # type: ignore[arg-type]


def document(job: JobRecord, fields: tuple[Field, ...] = FIELDS) -> dict[str, Any]:
    """The job as an answer shows it."""
    return {field.name: field.get(None, job) for field in fields}  # type: ignore[arg-type]
