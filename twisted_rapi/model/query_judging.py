"""Whether a value passes a filter (`twisted_rapi.model.query`)."""

from collections.abc import Callable
from typing import Any

from twisted_rapi.model.query import (
    MOST_TERMS,
    All,
    Compare,
    Filter,
    FilterError,
    Not,
    Some,
    Term,
    type_of,
    words,
)

Value = Callable[[Any], Any]
"""From an object to a field's value; ``None`` when it has none."""

Predicate = Callable[[Any], bool]


def predicate(filter_: Filter | None, value_of: Callable[[str], tuple[Value, Compare]]) -> Predicate:
    """
    Whether an object passes, as a function.

    :param value_of: by the name of a field, how to get its value and to compare it; raises `FilterError`
        for an unknown one.
    :raises FilterError: there are too many terms.  The function raises it for a value that cannot be
        compared with what the filter has.
    """
    if filter_ is None:
        return lambda _: True
    if terms(filter_) > MOST_TERMS:
        raise FilterError(f"The filter has more than {MOST_TERMS} different terms")
    return _compiled(filter_, value_of)


def terms(filter_: Filter) -> int:
    """How many terms have to be judged for an object, at most."""
    match filter_:
        case Some(parts) | All(parts):
            return sum(terms(part) for part in parts)
        case Not(part):
            return terms(part)
    return 1


def _compiled(filter_: Filter, value_of: Callable[[str], tuple[Value, Compare]]) -> Predicate:
    match filter_:
        case Some(parts):
            some = [_compiled(part, value_of) for part in parts]
            return lambda item: any(judge(item) for judge in some)
        case All(parts):
            every = [_compiled(part, value_of) for part in parts]
            return lambda item: all(judge(item) for judge in every)
        case Not(part):
            judge = _compiled(part, value_of)
            return lambda item: not judge(item)
    get, compare = value_of(filter_.field)
    test = _test(filter_, compare)

    def known(item: Any) -> bool:
        value = get(item)
        return value is None or test(value)

    return known


def _test(term: Term, compare: Compare) -> Callable[[Any], bool]:
    match term.operator:
        case "?":
            return bool
        case "=~":
            return _search(term)
        case "=[]":
            return _contains(term)
        case "=" | "in":
            return _equal(term, compare)
        case "!=":
            equal = _equal(term, compare)
            return lambda value: not equal(value)
    return _ordered(term, compare)


def _search(term: Term) -> Callable[[Any], bool]:
    find = term.value.search

    def search(value: Any) -> bool:
        if not isinstance(value, str):
            raise FilterError(f"Regular expressions are for text, and '{term.field}' is none")
        return find(value) is not None

    return search


def _contains(term: Term) -> Callable[[Any], bool]:
    def contains(value: Any) -> bool:
        if not isinstance(value, (list, tuple)):
            raise FilterError(f"'=[]' is for lists, and '{term.field}' is none")
        kind = type_of(term.value)
        return any(item == term.value and type_of(item) == kind for item in value)

    return contains


def _mismatch(value: Any, given: Any) -> FilterError:
    """As a real cluster words it; it knows text and numbers."""
    told = f"QuotedString {words(given)}" if isinstance(given, str) else f"NumericValue {words(given)}"
    return FilterError(f"Invalid types in comparison, trying to compare {words(value)} with '{told}'")


def _plain(value: Any, compare: Compare) -> Any:
    return value[0] if compare == "stamp" and isinstance(value, (list, tuple)) and value else value


def _equal(term: Term, compare: Compare) -> Callable[[Any], bool]:
    values = frozenset(term.value if term.operator == "in" else (term.value,))
    sample = next(iter(values))
    kind = type_of(sample)
    short = frozenset(v.lower() for v in values) if compare == "host" and kind == "text" else None

    def equal(value: Any) -> bool:
        value = _plain(value, compare)
        if type_of(value) != kind:
            raise _mismatch(value, sample)
        return value in values if short is None else value in values or begins(value.lower(), short)

    return equal


def begins(name: str, short: frozenset[str]) -> bool:
    """Whether one of these names is this one, or its beginning up to a dot."""
    while name not in short:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return False
    return True


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _ordered(term: Term, compare: Compare) -> Callable[[Any], bool]:
    order, given = _ORDERS[term.operator], term.value
    kind = type_of(given)

    def ordered(value: Any) -> bool:
        value = _plain(value, compare)
        if type_of(value) != kind:
            raise _mismatch(value, given)
        return bool(order(value, given))

    return ordered
