"""Queries: from what a client asks for to rows (fields.json ``query2``)."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from twisted_rapi.errors import prereq
from twisted_rapi.model import query as language
from twisted_rapi.model import query_judging
from twisted_rapi.model.query import Compare, Filter, FilterError
from twisted_rapi.model.query_judging import Predicate, Value
from twisted_rapi.model.records import JobRecord
from twisted_rapi.plan.fields.base import Field, Missing, unknown
from twisted_rapi.plan.fields.instance import with_strays
from twisted_rapi.plan.fields.resources import RESOURCES, Resource
from twisted_rapi.plan.gathering import Found, Looking
from twisted_rapi.plan.stage import ArchivedAfter, ArchivedJob, Asked, Finish
from twisted_rapi.plan.view import View

MOST_FIELDS = 1000
Item = tuple[View, Any]
Row = list[list[Any]]
_Any = TypeVar("_Any")


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

    def row(self, view: View, id_: Any) -> Row | None:
        """
        Status and value of each field; ``None`` for an object that is gone or does not pass.

        :raises FilterError: the filter compares a value with one of another type.
        """
        record = self.resource.get(view, id_)
        return None if record is None else self.row_of(view, record)

    def row_of(self, view: View, record: Any) -> Row | None:
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


def rows(query: Query, view: View, add: Callable[[int, Row], None]) -> Generator[Asked, Any, None]:
    """
    Go through a query's rows bit by bit (`twisted_rapi.plan.stage.Gather`), each right as of its own moment.

    :param add: is given each row, with its place in the answer; those of jobs with their ids, and of a job
        that is archived meanwhile twice: the later row counts.
    :raises FilterError: see `Query.row`.
    """
    if query.resource.name == "job":
        yield from _jobs(query, view, add)
        return
    wide = query.resource.name == "instance"
    known, view = view, with_strays(view) if wide and view.strays is None else view
    for place, id_ in enumerate(query.ids(view)):
        later = yield None
        if later is not known:
            known, view = later, with_strays(later) if wide and later.strays is None else later
        row = query.row(view, id_)
        if row is not None:
            add(place, row)


def _jobs(query: Query, view: View, add: Callable[[int, Row], None]) -> Generator[Asked, Any, None]:
    """Archived jobs if the query is about that, after the others: one archived meanwhile is not missed."""

    def judge(job: JobRecord) -> None:
        row = query.row_of(view, job)
        if row is not None:
            add(job.id, row)

    ids = _ids_of_jobs(query)
    for number in ids or ():
        job = view.jobs.get(number) or (yield ArchivedJob(number))
        if job is not None:
            judge(job)
        view = yield None
    if ids is not None:
        return
    for job in list(view.jobs.values()):
        view = yield None
        judge(view.jobs.get(job.id, job))
    after: str | None = "" if query.mentions("archived") else None
    while after is not None:
        jobs, after = yield ArchivedAfter(after)
        for job in jobs:
            view = yield None
            judge(job)


def _ids_of_jobs(query: Query) -> list[int] | None:
    """The jobs a filter names, in their order; ``None`` where it does not."""
    ids = language.wanted(query.filter, "id")
    if ids is None or not all(isinstance(n, int) and not isinstance(n, bool) for n in ids):
        return None
    return list(dict.fromkeys(ids))


def gathered(query: Query, view: View) -> Looking:
    """
    The whole answer as the result of an opcode; jobs by their ids, or in the order the filter names them.

    :raises OpPrereqError: the filter cannot be meant.
    :raises OpExecError: it is too large to be kept.
    """
    found, by_place = Found(), dict[int, Row]()

    def add(place: int, row: Row) -> None:
        found.add(row)
        by_place[place] = row

    try:
        yield from rows(query, view, add)
    except FilterError as e:
        raise prereq(str(e)) from e
    return Finish(result={"data": ordered(query, by_place), "fields": query.definitions()})


def ordered(query: Query, by_place: Mapping[int, _Any]) -> list[_Any]:
    """What `rows` has told, in the order of the answer: jobs by their ids unless the filter names them."""
    if query.resource.name == "job" and _ids_of_jobs(query) is None:
        return [by_place[job_id] for job_id in sorted(by_place)]
    return list(by_place.values())
