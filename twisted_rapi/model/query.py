"""
The language of queries (fields.json, ``filter``): what a filter is, and how it is read.

A filter is a list of an operator and its operands.  An object passes a comparison of a field it has no value
for: nothing is known against it.

Note [Time].  A filter is a client's, so its cost is bounded.  Regular expressions are those of RE2, whose
search takes time linear in the text; it knows neither look-around nor back references.  Alternatives that
compare one field become one look-up in a set, as clients send a term a name; what is left may not have more
than `MOST_TERMS` terms.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

import attrs
import re2

from twisted_rapi.errors import BadRequest

MOST_LEVELS = 40
MOST_TERMS = 500
MOST_PARTS = 50_000
MOST_PATTERN = 1000  # characters
MOST_PATTERNS = 50
_PATTERN_MEMORY = 1 << 18

_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_PATTERNS = ("=~", "=*")
OPERATORS = ("|", "&", "!", "?", *_COMPARISONS, *_PATTERNS, "=[]")


class FilterError(BadRequest):
    """
    A filter cannot be meant; the text says why.

    :ivar form: whether it has not even the form of one.
    """

    def __init__(self, message: str, form: bool = False) -> None:
        super().__init__(message)
        self.form = form


Compare = Literal["plain", "host", "stamp"]


@attrs.frozen
class Some:
    """True if one of its parts is."""

    parts: tuple["Filter", ...]


@attrs.frozen
class All:
    """True if all of its parts are."""

    parts: tuple["Filter", ...]


@attrs.frozen
class Not:
    """True if its part is not."""

    part: "Filter"


@attrs.frozen
class Term:
    """
    A judgement of one field's value.

    :ivar operator: ``?`` (without a value), a comparison (``==`` being ``=``), ``=~``, ``=[]`` or ``in``:
        equal to one of the values, which are then a tuple of one type.
    """

    operator: str
    field: str
    value: Any = None


Filter = Some | All | Not | Term


# Reading.


def parse(given: Any) -> Filter | None:
    """
    The filter that a decoded JSON value means; ``None`` for none.

    :raises FilterError: it means none.
    """
    if given is None:
        return None
    return _parse(given, 1, _Count())


@attrs.define
class _Count:
    """What a filter has had of each so far."""

    parts: int = 0
    patterns: int = 0

    def part(self) -> None:
        """One more part."""
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise FilterError(f"The filter has more than {MOST_PARTS} parts")

    def pattern(self) -> None:
        """One more regular expression."""
        self.patterns += 1
        if self.patterns > MOST_PATTERNS:
            raise FilterError(f"The filter has more than {MOST_PATTERNS} regular expressions")


def _parse(given: Any, level: int, count: _Count) -> Filter:
    if not isinstance(given, (list, tuple)) or not given or not isinstance(given[0], str):
        raise FilterError(
            f"Cannot deserialise filter: expected array [string, args], got {words(given)}", form=True
        )
    if level > MOST_LEVELS:
        raise FilterError(f"The filter has more than {MOST_LEVELS} levels")
    count.part()
    operator, operands = given[0], given[1:]
    match operator:
        case "|" | "&":
            parts = tuple(_parse(part, level + 1, count) for part in operands)
            return Some(_folded(parts)) if operator == "|" else All(parts)
        case "!":
            if len(operands) != 1:
                raise FilterError("Cannot deserialise filter: '!' takes one filter", form=True)
            return Not(_parse(operands[0], level + 1, count))
        case "?":
            return Term("?", _field(operands, 1))
    return _term(operator, operands, count)


def _field(operands: Sequence[Any], wanted: int) -> str:
    if len(operands) != wanted or not isinstance(operands[0], str):
        what = (
            "field/value pair, expected [fieldname, value]" if wanted == 2 else "field, expected [fieldname]"
        )
        raise FilterError(f"Cannot deserialise {what} but got {words(list(operands))}", form=True)
    return operands[0]


def _term(operator: str, operands: Sequence[Any], count: _Count) -> Term:
    if operator not in OPERATORS:
        raise FilterError(f"Unknown filter operator '{operator[:100]}'")
    field = _field(operands, 2)
    value = operands[1]
    if operator in _PATTERNS:
        count.pattern()
        if not isinstance(value, str):
            raise FilterError(f"A pattern for '{field}' must be text")
        return Term("=~", field, pattern(_of_glob(value) if operator == "=*" else value))
    if type_of(value) == "other":
        raise FilterError(f"A value to compare '{field}' with must be text, a number, true or false")
    return Term(_COMPARISONS.get(operator, operator), field, value)


_WILD = {"*": "(?s:.*)", "?": "(?s:.)"}


def _of_glob(text: str) -> str:
    """The regular expression of a pattern as shells have it."""
    return "^" + "".join(_WILD[c] if c in _WILD else re2.escape(c) for c in text[: MOST_PATTERN + 1]) + "$"


def pattern(text: str) -> Any:
    """
    A regular expression, ready to search with.

    :raises FilterError: it is none of RE2's, or a very large one.
    """
    if len(text) > MOST_PATTERN:
        raise FilterError(f"A regular expression may have {MOST_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as e:
        reason = e.args[0].decode("utf-8", "replace") if e.args and isinstance(e.args[0], bytes) else str(e)
        raise FilterError(f"Bad regular expression '{text}': {reason}") from e


def _folded(parts: tuple[Filter, ...]) -> tuple[Filter, ...]:
    """Alternatives, those that compare one field with values of one type as one."""
    values: dict[tuple[str, str], list[Any]] = {}
    for part in parts:
        if isinstance(part, Term) and part.operator == "=":
            values.setdefault((part.field, type_of(part.value)), []).append(part.value)
    kept: list[Filter] = []
    for part in parts:
        if not isinstance(part, Term) or part.operator != "=":
            kept.append(part)
            continue
        key = (part.field, type_of(part.value))
        same = values.pop(key, [])
        if len(same) == 1:
            kept.append(part)
        elif same:
            kept.append(Term("in", part.field, tuple(dict.fromkeys(same))))
    return tuple(kept)


def type_of(value: object) -> Literal["text", "number", "bool", "other"]:
    """What kind of value it is for a comparison."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else "other"


def words(value: Any) -> str:
    """A value as a message shows it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:200] + "..."


# Looking for objects by name.


def wanted(filter_: Filter | None, field: str) -> tuple[Any, ...] | None:
    """
    The values of `field` that an object must have one of to pass, in the order given.

    ``None`` when the filter does not say so.
    """
    match filter_:
        case Term("=", name, value) if name == field:
            return (value,)
        case Term("in", name, values) if name == field:
            return tuple(values)
        case Some((part,)):
            return wanted(part, field)
        case All(parts):
            found = [values for part in parts if (values := wanted(part, field)) is not None]
            return min(found, key=len) if found else None
    return None


def mentions(filter_: Filter | None, field: str) -> bool:
    """Whether a filter judges this field."""
    match filter_:
        case Some(parts) | All(parts):
            return any(mentions(part, field) for part in parts)
        case Not(part):
            return mentions(part, field)
        case Term():
            return filter_.field == field
    return False
