"""Plans and locks of the opcodes that only read (opcodes.json)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.query import ClusterQuery, Query, QueryFields, TagsGet, TagsSearch
from twisted_rapi.model.query import FilterError, pattern
from twisted_rapi.plan.fields import cluster as cluster_fields
from twisted_rapi.plan.fields.base import natural, shown
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.gathering import Found, Looking
from twisted_rapi.plan.locking import LockFunction, PlanFunction, named
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.query import chosen, gathered, prepare
from twisted_rapi.plan.stage import Finish, Gather, Progress, Stage
from twisted_rapi.plan.tags import tagged
from twisted_rapi.plan.view import View


def plan_query(op: Query, progress: Progress, view: View) -> Stage:
    """The fields of what passes the filter; archived jobs where it names them, or is about the archive."""
    try:
        query = prepare(op.what, op.fields, op.qfilter)
    except FilterError as e:
        raise prereq(str(e)) from e
    return Gather(work=gathered(query, view))


def plan_query_fields(op: QueryFields, progress: Progress, view: View) -> Stage:
    """What fields there are."""
    return Finish(result={"fields": [f.definition() for f in chosen(RESOURCES[op.what], op.fields)]})


def plan_cluster_query(op: ClusterQuery, progress: Progress, view: View) -> Stage:
    """What ``/2/info`` answers."""
    return Finish(result=shown(cluster_fields.FIELDS, view, view.cluster))


def plan_tags_get(op: TagsGet, progress: Progress, view: View) -> Stage:
    """The tags of one object."""
    return Finish(result=sorted(tagged(view, op.kind, op.name).tags))


def plan_tags_search(op: TagsSearch, progress: Progress, view: View) -> Stage:
    """Pairs of an object's path and a tag of it that the pattern is found in."""
    try:
        search = pattern(op.pattern).search
    except FilterError as e:
        raise prereq(f"Invalid search pattern '{op.pattern}': {e}") from e
    return Gather(work=_search(search, view))


def _search(search: Callable[[str], Any], view: View) -> Looking:
    found = Found()
    for path, tags in _tagged(view):
        yield None
        for tag in sorted(tags):
            if search(tag):
                found.add([path, tag])
    return Finish(result=found.items)


def _tagged(view: View) -> Iterator[tuple[str, tuple[str, ...]]]:
    """All objects that may have tags."""
    yield "/cluster", view.cluster.tags
    instances = [i for i in view.instances.values() if i.pending is None]
    kinds: tuple[tuple[str, Any], ...] = (
        ("instances", instances),
        ("nodes", view.nodes.values()),
        ("nodegroup", view.groups.values()),
        ("network", view.networks.values()),
    )
    for kind, records in kinds:
        for record in sorted(records, key=lambda r: natural(r.name)):
            yield f"/{kind}/{record.name}", record.tags


PLANS: Mapping[type[Opcode], PlanFunction] = {
    Query: plan_query,
    QueryFields: plan_query_fields,
    ClusterQuery: plan_cluster_query,
    TagsGet: plan_tags_get,
    TagsSearch: plan_tags_search,
}


def _tags_get(op: TagsGet, view: View) -> Iterator[Lock]:
    name = op.name or ""
    if not op.use_locking:
        return
    match op.kind:
        case "instance":
            yield Lock("instance", named(view, name), shared=True)
        case "node":
            yield Lock("node", view.find("node", name) or name, shared=True)
        case "nodegroup":
            yield Lock("nodegroup", view.find("group", name) or name, shared=True)
        case "network":
            yield Lock("network", view.find("network", name) or name, shared=True)


LOCKS: Mapping[type[Opcode], LockFunction] = {TagsGet: _tags_get}
