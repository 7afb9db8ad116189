"""What a field is."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

import attrs

from twisted_rapi.plan.view import View

Kind = Literal["text", "bool", "number", "float", "unit", "timestamp", "other", "unknown"]


class Missing(Enum):
    """Why there is no value; numbers as fields.json ``result_status`` has them, 0 being a value."""

    UNKNOWN = 1
    """There is no such field."""
    NODATA = 2
    """Who would know does not answer."""
    UNAVAIL = 3
    """This object has no such thing."""
    OFFLINE = 4
    """Who would know is marked offline."""


Getter = Callable[[View, Any], Any]


@attrs.frozen
class Field:
    """
    One field of an object.

    :ivar get: its value, from a view and the object's record; a `Missing` or ``None`` (the same as
        `Missing.UNAVAIL`) where there is none.
    :ivar compare: how filters compare it: ``host``: a name may be short for a longer one; ``stamp``: a pair
        of seconds and microseconds counts as its seconds.
    :ivar nullable: ``None`` is a value.
    """

    name: str
    title: str
    kind: Kind
    doc: str
    get: Getter
    compare: Literal["plain", "host", "stamp"] = "plain"
    nullable: bool = False

    def entry(self, view: View, record: Any) -> list[Any]:
        """Status and value, as answers to queries show them."""
        value = self.get(view, record)
        if isinstance(value, Missing):
            return [value.value, None]
        if value is None and not self.nullable:
            return [Missing.UNAVAIL.value, None]
        return [0, value]

    def definition(self) -> dict[str, str]:
        """What clients are told of the field."""
        return {"name": self.name, "title": self.title, "kind": self.kind, "doc": self.doc}


def unknown(name: str) -> Field:
    """What stands for a field that does not exist."""
    return Field(name, name, "unknown", f"Unknown field '{name}'", lambda v, r: Missing.UNKNOWN)


def shown(fields: Sequence[Field], view: View, record: Any) -> dict[str, Any]:
    """The object as an answer shows it, its fields in their order; ``None`` for what is missing."""
    found = {}
    for field in fields:
        value = field.get(view, record)
        found[field.name] = None if isinstance(value, Missing) else value
    return found


def select(fields: Iterable[Field], names: str) -> tuple[Field, ...]:
    """The fields of these names (separated by blanks), in this order."""
    by_name = {field.name: field for field in fields}
    return tuple(by_name[name] for name in names.split())


def tags(view: View, record: Any) -> list[str]:
    """An object's tags, sorted."""
    return sorted(record.tags)


STAMPS = (
    Field("ctime", "CTime", "timestamp", "When it was made", lambda v, r: r.ctime),
    Field("mtime", "MTime", "timestamp", "When it was changed last", lambda v, r: r.mtime),
    Field("serial_no", "SerialNo", "number", "Counts its changes", lambda v, r: r.serial_no),
    Field("tags", "Tags", "other", "Tags", tags),
    Field("uuid", "UUID", "text", "UUID", lambda v, r: r.uuid),
)
"""The fields that all objects with tags have."""


def of_params(
    prefix: str,
    kinds: Mapping[str, Kind],
    titles: Mapping[str, str],
    filled: Callable[[View, Any], Mapping[str, Any]],
) -> tuple[Field, ...]:
    """
    A field for each parameter, called ``prefix/parameter``.

    :param kinds: by parameter; `titles`: those that differ from the field's name.
    :param filled: an object's parameters, filled in; one that it does not have is unavailable.
    """

    def getter(name: str) -> Getter:
        return lambda view, record: filled(view, record).get(name, Missing.UNAVAIL)

    return tuple(
        Field(
            f"{prefix}/{name}",
            titles.get(name, f"{prefix}/{name}"),
            kind,
            f"Parameter {name}, filled in",
            getter(name),
        )
        for name, kind in kinds.items()
    )


_DIGITS = re.compile(r"([0-9]+)")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts names as people do: numbers in them by value."""
    parts = _DIGITS.split(name)
    return tuple((0, int(p), "") if p.isdigit() and p.isascii() else (1, 0, p) for p in parts if p)
