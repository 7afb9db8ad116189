"""Plans and locks of the opcodes about node groups."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import group as opcodes
from twisted_rapi.plan.groups import (
    plan_group_add,
    plan_group_assign,
    plan_group_modify,
    plan_group_remove,
    plan_group_rename,
)
from twisted_rapi.plan.locking import LockFunction, PlanFunction
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.networks import instances_of
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    opcodes.GroupAdd: plan_group_add,
    opcodes.GroupSetParams: plan_group_modify,
    opcodes.GroupRename: plan_group_rename,
    opcodes.GroupRemove: plan_group_remove,
    opcodes.GroupAssignNodes: plan_group_assign,
}


def _group(view: View, name: str) -> Lock:
    return Lock("nodegroup", view.find("group", name) or name)


def _modify(op: opcodes.GroupSetParams, view: View) -> Iterator[Lock]:
    yield _group(view, op.group_name)
    group = view.find("group", op.group_name)
    if group is not None:
        yield from (Lock("instance", i.name, shared=True) for i in instances_of(view, view.groups[group]))


def _assign(op: opcodes.GroupAssignNodes, view: View) -> Iterator[Lock]:
    yield _group(view, op.group_name)
    for name in op.nodes:
        node = view.find("node", name)
        if node is not None:
            yield Lock("node", node)
            yield Lock("nodegroup", view.nodes[node].group)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    opcodes.GroupAdd: lambda op, view: [_group(view, op.group_name)],
    opcodes.GroupSetParams: _modify,
    opcodes.GroupRename: lambda op, view: [_group(view, op.group_name), _group(view, op.new_name)],
    opcodes.GroupRemove: lambda op, view: [_group(view, op.group_name)],
    opcodes.GroupAssignNodes: _assign,
}
