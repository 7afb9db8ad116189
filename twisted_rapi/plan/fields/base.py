"""What a field is."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from twisted_rapi.plan.view import View

Kind = Literal["text", "bool", "number", "float", "unit", "timestamp", "other"]


@attrs.frozen
class Field:
    """
    One field of an object.

    :ivar get: its value, from a view and the object's record; ``None`` where it is not known.
    """

    name: str
    title: str
    kind: Kind
    doc: str
    get: Callable[[View, Any], Any]


def shown(fields: Sequence[Field], view: View, record: Any) -> dict[str, Any]:
    """The object as an answer shows it, its fields in their order."""
    return {field.name: field.get(view, record) for field in fields}


_DIGITS = re.compile(r"([0-9]+)")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts names as people do: numbers in them by value."""
    parts = _DIGITS.split(name)
    return tuple((0, int(p), "") if p.isdigit() and p.isascii() else (1, 0, p) for p in parts if p)
