"""Tags of the cluster, nodes, groups, networks and instances (constants.json ``tag_kinds``)."""

from typing import Any

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.cluster import TagsDel, TagsSet
from twisted_rapi.model.record_base import ObjectRecord
from twisted_rapi.plan.condition import changed
from twisted_rapi.plan.naming import check_tags, merged_tags
from twisted_rapi.plan.stage import Finish, Progress, Stage
from twisted_rapi.plan.view import View


def tagged(view: View, kind: str, name: str | None) -> ObjectRecord:
    """
    The object an opcode about tags names.

    :raises OpPrereqError: ``unknown_entity``, or ``wrong_input`` without a name.
    """
    if kind == "cluster":
        return view.cluster
    if name is None:
        raise prereq("Missing name of the object")
    match kind:
        case "instance":
            return view.instance(name)
        case "node":
            return view.node(name)
        case "nodegroup":
            return view.group(name)
    return view.network(name)


def plan_tags_set(op: TagsSet, progress: Progress, view: View) -> Stage:
    """Add tags; those that are there already are well."""
    found: Any = tagged(view, op.kind, op.name)
    tags = merged_tags(found.tags, op.tags)
    return Finish(puts=() if tags == found.tags else (changed(found, view, tags=tags),))


def plan_tags_del(op: TagsDel, progress: Progress, view: View) -> Stage:
    """Remove tags, all of which must be there."""
    found: Any = tagged(view, op.kind, op.name)
    check_tags(op.tags)
    missing = sorted(set(op.tags) - set(found.tags))
    if missing:
        raise prereq("Tag(s) {} not found".format(",".join(f"'{tag}'" for tag in missing)), "unknown_entity")
    left = tuple(tag for tag in found.tags if tag not in op.tags)
    return Finish(puts=() if left == found.tags else (changed(found, view, tags=left),))
