"""All that can be queried: by resource its fields, its objects and how they are found (fields.json ``query2``)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from twisted_rapi.plan.fields import cluster, group, instance, job, lock, network, node, rule, seen
from twisted_rapi.plan.fields.base import Field, natural
from twisted_rapi.plan.view import View

Finder = Callable[[View, Any], Sequence[Any] | None]


def _same(view: View, row: Any) -> Any:
    return row


@attrs.frozen(kw_only=True)
class Resource:
    """
    What can be queried.

    :ivar fields: by name, in the order of the names; those that are extensions come last.
    :ivar ids: the objects there are, in the order of an answer.
    :ivar get: an object by what `ids` has of it; ``None`` when it is gone or is still being made.
    :ivar find: by the name of a field that objects can be found by: from a value to the ids of those that
        may have it; ``None``: all have to be looked at.
    """

    name: str
    fields: Mapping[str, Field]
    ids: Callable[[View], Sequence[Any]]
    get: Callable[[View, Any], Any] = _same
    find: Mapping[str, Finder] = attrs.field(factory=dict)


def _records(view: View, kind: str) -> Mapping[str, Any]:
    tables: dict[str, Mapping[str, Any]] = {
        "instance": view.instances,
        "node": view.nodes,
        "group": view.groups,
        "network": view.networks,
        "filter": view.filters,
    }
    return tables[kind]


def _ids(kind: str) -> Callable[[View], Sequence[str]]:
    def ids(view: View) -> Sequence[str]:
        if kind in view.order:
            return list(view.order[kind])
        records = _records(view, kind)
        return sorted(records, key=lambda uuid: natural(records[uuid].name))

    return ids


def _get(kind: str) -> Callable[[View, Any], Any]:
    def get(view: View, uuid: str) -> Any:
        record = _records(view, kind).get(uuid)
        return None if getattr(record, "pending", None) is not None else record

    return get


def _by_name(kind: str, short: bool = False) -> Finder:
    def find(view: View, name: Any) -> Sequence[str] | None:
        names = view.names[kind]
        if not isinstance(name, str):
            return None
        if name in names:
            return [names[name]]
        # A short name may be the beginning of many.
        return None if short else []

    return find


def _by_uuid(kind: str) -> Finder:
    def find(view: View, uuid: Any) -> Sequence[str] | None:
        if not isinstance(uuid, str):
            return None
        return [uuid] if uuid in _records(view, kind) else []

    return find


def _table(fields: Iterable[Field], further: Iterable[Field] = ()) -> Mapping[str, Field]:
    return {field.name: field for field in (*sorted(fields, key=lambda field: field.name), *further)}


def _of_objects(
    name: str, fields: Iterable[Field], short: bool = False, further: Iterable[Field] = ()
) -> Resource:
    return Resource(
        name=name,
        fields=_table(fields, further),
        ids=_ids(name),
        get=_get(name),
        find={"name": _by_name(name, short), "uuid": _by_uuid(name)},
    )


def _job(view: View, job_id: Any) -> Sequence[int] | None:
    if not isinstance(job_id, int) or isinstance(job_id, bool):
        return None
    return [job_id] if job_id in view.jobs else []


def _filters(view: View) -> Sequence[str]:
    return sorted(
        view.filters, key=lambda uuid: (view.filters[uuid].priority, view.filters[uuid].watermark, uuid)
    )


_ALL = (
    Resource(name="cluster", fields=_table(cluster.TABLE), ids=lambda v: [v.cluster]),
    Resource(name="export", fields=_table(seen.EXPORTS), ids=lambda v: list(seen.export_rows(v))),
    Resource(name="extstorage", fields=_table(seen.PROVIDERS), ids=lambda v: list(seen.provider_rows(v))),
    Resource(
        name="filter",
        fields=_table(rule.TABLE),
        ids=_filters,
        get=_get("filter"),
        find={"uuid": _by_uuid("filter")},
    ),
    _of_objects("group", group.TABLE),
    _of_objects("instance", instance.TABLE, short=True),
    Resource(
        name="job",
        fields=_table(job.TABLE),
        ids=lambda v: sorted(v.jobs),
        get=lambda v, job_id: v.jobs.get(job_id),
        find={"id": _job},
    ),
    Resource(name="lock", fields=_table(lock.TABLE), ids=lambda v: list(lock.rows(v))),
    _of_objects("network", network.TABLE),
    _of_objects("node", node.TABLE, short=True, further=node.FURTHER),
    Resource(name="os", fields=_table(seen.OSES), ids=lambda v: list(seen.os_rows(v))),
)

RESOURCES: Mapping[str, Resource] = {resource.name: resource for resource in _ALL}
