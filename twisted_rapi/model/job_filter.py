"""
Rules about jobs: what one may say, and what becomes of a job (constants.json ``filters``).

A rule applies to a job of which all its predicates are true.  ``jobid`` judges the job's ``id``, which may be
compared with ``"watermark"``, the last id given out before the rule; ``opcode`` is true if it is of any of
the job's opcodes, by their parameters; ``reason`` if it is of any entry of their reason trails, by
``source``, ``reason`` and ``timestamp``.  A comparison with a value that is not there, or is of another type,
is false.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from twisted_rapi.errors import BadRequest
from twisted_rapi.model import query as language
from twisted_rapi.model import query_judging
from twisted_rapi.model.query import All, Filter, FilterError, Not, Some, Term
from twisted_rapi.model.records import FilterAction, FilterRecord, JobRecord

ACTIONS = ("ACCEPT", "CONTINUE", "PAUSE", "REJECT")
PREDICATES = ("jobid", "opcode", "reason")
WATERMARK = "watermark"

MOST_PREDICATES = 100

Values = Mapping[str, Any]
Judge = Callable[[Values], bool]


@attrs.frozen
class Verdict:
    """
    What becomes of a job.

    :ivar action: ``ACCEPT``, ``PAUSE``, ``REJECT`` or ``RATE_LIMIT``.
    :ivar rule: uuid of the rule that says so; empty where none does.
    :ivar limit: with ``RATE_LIMIT``, how many jobs may run under this rule at once.
    """

    action: str = "ACCEPT"
    rule: str = ""
    limit: int = 0


@attrs.frozen
class Rule:
    """A rule, ready to judge with; made by `compiled`."""

    record: FilterRecord
    judges: tuple[tuple[str, Judge], ...]

    def applies(self, job: JobRecord) -> bool:
        """Whether all its predicates are true of the job."""
        return all(any(map(judge, _subjects(kind, job))) for kind, judge in self.judges)


def compiled(record: FilterRecord) -> Rule:
    """
    The rule of a record.

    :raises FilterError: a predicate cannot be meant.
    """
    judges = tuple((kind, _judge(kind, given, record.watermark)) for kind, given in record.predicates)
    return Rule(record, judges)


def ordered(records: Iterable[FilterRecord]) -> list[FilterRecord]:
    """The records in the order they are asked: by priority, watermark and uuid."""
    return sorted(records, key=lambda record: (record.priority, record.watermark, record.uuid))


def verdict(rules: Sequence[Rule], job: JobRecord) -> Verdict:
    """What the first rule says that applies and does not merely continue; accepted where none does."""
    for rule in rules:
        action = rule.record.action
        if action == "CONTINUE" or not rule.applies(job):
            continue
        if isinstance(action, str):
            return Verdict(action, rule.record.uuid)
        return Verdict("RATE_LIMIT", rule.record.uuid, action[1])
    return Verdict()


def _subjects(kind: str, job: JobRecord) -> Iterable[Values]:
    """What a predicate of this kind is about."""
    if kind == "jobid":
        return ({"id": job.id},)
    if kind == "opcode":
        return (op.input for op in job.ops)
    trails = (entry for op in job.ops for entry in op.input.get("reason") or ())
    return (
        dict(zip(("source", "reason", "timestamp"), entry, strict=False))
        for entry in trails
        if isinstance(entry, (list, tuple))
    )


def _judge(kind: str, given: Any, watermark: int) -> Judge:
    parsed = language.parse(_with_watermark(given, watermark) if kind == "jobid" else given)
    if parsed is None:
        raise FilterError(f"The '{kind}' predicate has no filter", form=True)
    if query_judging.terms(parsed) > language.MOST_TERMS:
        raise FilterError(f"The filter has more than {language.MOST_TERMS} different terms")
    return _compiled(parsed)


def _with_watermark(given: Any, watermark: int) -> Any:
    if not isinstance(given, (list, tuple)):
        return given
    if len(given) == 3 and list(given[1:]) == ["id", WATERMARK]:
        return [given[0], "id", watermark]
    return [_with_watermark(part, watermark) for part in given]


def _compiled(part: Filter) -> Judge:
    match part:
        case Some(parts):
            some = [_compiled(p) for p in parts]
            return lambda values: any(judge(values) for judge in some)
        case All(parts):
            every = [_compiled(p) for p in parts]
            return lambda values: all(judge(values) for judge in every)
        case Not(inner):
            judge = _compiled(inner)
            return lambda values: not judge(values)
    return _term(part)


def _term(term: Term) -> Judge:
    test = query_judging.predicate(term, lambda name: (lambda values: values[name], "plain"))

    def judge(values: Values) -> bool:
        if values.get(term.field) is None:
            return False
        try:
            return test(values)
        except FilterError:
            return False

    return judge


# What clients give.


def checked_predicates(given: Sequence[Any]) -> tuple[Any, ...]:
    """
    Predicates as they are kept and shown.

    :raises BadRequest: one cannot be meant.
    """
    if len(given) > MOST_PREDICATES:
        raise BadRequest(f"A filter rule may have {MOST_PREDICATES} predicates")
    return tuple(_checked_predicate(predicate) for predicate in given)


def _checked_predicate(given: Any) -> list[Any]:
    if not isinstance(given, list) or len(given) != 2 or given[0] not in PREDICATES:
        known = ", ".join(PREDICATES)
        raise BadRequest(f"A filter predicate is a list of {known} and a filter, not {_words(given)}")
    kind, expression = given
    _judge(kind, expression, 0)
    return [kind, _canonical(expression)]


def _canonical(expression: Any) -> Any:
    """The filter with one name for each operator."""
    if not isinstance(expression, list) or not expression:
        return expression
    head, *rest = expression
    if head in ("|", "&", "!"):
        return [head, *map(_canonical, rest)]
    return ["==" if head == "=" else head, *rest]


def checked_action(given: Any) -> FilterAction:
    """
    An action as it is kept and shown.

    :raises BadRequest: it is none.
    """
    if isinstance(given, str) and given in ACTIONS:
        return given
    if isinstance(given, list) and len(given) == 2 and given[0] == "RATE_LIMIT":
        limit = given[1]
        if isinstance(limit, int) and not isinstance(limit, bool) and 0 < limit < 2**53:
            return ["RATE_LIMIT", limit]
    known = ", ".join(ACTIONS)
    raise BadRequest(f'A filter action is one of {known} or ["RATE_LIMIT", n], not {_words(given)}')


def checked_reason(given: Sequence[Any]) -> tuple[Any, ...]:
    """
    A reason trail as it is kept and shown.

    :raises BadRequest: it is none.
    """
    for entry in given:
        if not _is_reason(entry):
            raise BadRequest(f"An entry of a reason trail is source, text and time, not {_words(entry)}")
    return tuple(given)


def _is_reason(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    source, text, when = entry
    if not isinstance(source, str) or not isinstance(text, str):
        return False
    return isinstance(when, int) and not isinstance(when, bool) and abs(when) < 2**63


def _words(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."
