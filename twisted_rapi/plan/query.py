"""Queries: from what a client asks for to rows (fields.json ``query2``)."""

from collections.abc import Sequence
from typing import Any

import attrs

from twisted_rapi.model import query as language
from twisted_rapi.model import query_judging
from twisted_rapi.model.query import Compare, Filter, FilterError
from twisted_rapi.model.query_judging import Predicate, Value
from twisted_rapi.plan.fields.base import Field, Missing, unknown
from twisted_rapi.plan.fields.instance import with_strays
from twisted_rapi.plan.fields.resources import RESOURCES, Resource
from twisted_rapi.plan.view import View

MOST_FIELDS = 1000
Item = tuple[View, Any]


@attrs.frozen
class Query:
    """A query that can be answered; made by `prepare`."""

    resource: Resource
    fields: tuple[Field, ...]
    filter: Filter | None
    predicate: Predicate

    def ids(self, view: View) -> Sequence[Any]:
        """
        What may pass the filter, in the order of the answer, for `row`.

        Where the filter names objects it is their order that counts.
        """
        for name, find in self.resource.find.items():
            values = language.wanted(self.filter, name)
            if values is None:
                continue
            found = [find(view, value) for value in values]
            if None not in found:
                return list(dict.fromkeys(id_ for ids in found if ids is not None for id_ in ids))
        return self.resource.ids(view)

    def row(self, view: View, id_: Any) -> list[list[Any]] | None:
        """
        Status and value of each field; ``None`` for an object that is gone or does not pass.

        :raises FilterError: the filter compares a value with one of another type.
        """
        record = self.resource.get(view, id_)
        return None if record is None else self.row_of(view, record)

    def row_of(self, view: View, record: Any) -> list[list[Any]] | None:
        """As `row`, for an object's record."""
        if not self.predicate((view, record)):
            return None
        return [field.entry(view, record) for field in self.fields]

    def definitions(self) -> list[dict[str, str]]:
        """The fields asked for."""
        return [field.definition() for field in self.fields]

    def mentions(self, field: str) -> bool:
        """Whether a field is asked for or filtered by."""
        return any(f.name == field for f in self.fields) or language.mentions(self.filter, field)


def prepare(what: str, fields: Sequence[str], given: Any) -> Query:
    """
    The query of these fields of all objects of a resource that pass a filter (as decoded from JSON).

    :raises FilterError: the filter cannot be meant, or there are too many fields.
    :raises KeyError: there is no such resource.
    """
    resource = RESOURCES[what]
    if len(fields) > MOST_FIELDS:
        raise FilterError(f"A query may ask for {MOST_FIELDS} fields")
    parsed = language.parse(given)

    def value_of(name: str) -> tuple[Value, Compare]:
        if name not in resource.fields:
            raise FilterError(f"Unknown field '{name[:200]}' in filter")
        return _getter(resource.fields[name]), resource.fields[name].compare

    predicate = query_judging.predicate(parsed, value_of)
    return Query(resource, chosen(resource, fields), parsed, predicate)


def _getter(field: Field) -> Value:
    get = field.get

    def value(item: Item) -> Any:
        found = get(*item)
        return None if isinstance(found, Missing) else found

    return value


def chosen(resource: Resource, names: Sequence[str] | None) -> tuple[Field, ...]:
    """The fields of these names in their order, all for ``None``; what is not known is told as such."""
    if names is None:
        return tuple(resource.fields.values())
    return tuple(resource.fields.get(name) or unknown(name) for name in names)


def answer(query: Query, view: View) -> dict[str, Any]:
    """
    The whole answer, from what the view has.

    :raises FilterError: see `Query.row`.
    """
    view = with_strays(view)
    rows = (query.row(view, id_) for id_ in query.ids(view))
    return {"data": [row for row in rows if row is not None], "fields": query.definitions()}
