"""Fields of job filters (fields.json; order as observed)."""

from twisted_rapi.plan.fields.base import Field

TABLE = (
    Field(
        "watermark", "Watermark", "other", "Last job id given out when it was made", lambda v, f: f.watermark
    ),
    Field("priority", "Priority", "other", "Lower ones are asked first", lambda v, f: f.priority),
    Field(
        "predicates", "Predicates", "other", "What all have to be true of a job", lambda v, f: f.predicates
    ),
    Field("action", "Action", "other", "What becomes of such a job", lambda v, f: f.action),
    Field("reason_trail", "ReasonTrail", "other", "Why it was made", lambda v, f: f.reason),
    Field("uuid", "UUID", "other", "UUID", lambda v, f: f.uuid),
)
