"""Plans and locks of the opcodes about networks."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import network as opcodes
from twisted_rapi.plan.locking import LockFunction, PlanFunction
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.networks import (
    instances_of,
    plan_network_add,
    plan_network_connect,
    plan_network_disconnect,
    plan_network_modify,
    plan_network_remove,
    plan_network_rename,
)
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    opcodes.NetworkAdd: plan_network_add,
    opcodes.NetworkRemove: plan_network_remove,
    opcodes.NetworkRename: plan_network_rename,
    opcodes.NetworkSetParams: plan_network_modify,
    opcodes.NetworkConnect: plan_network_connect,
    opcodes.NetworkDisconnect: plan_network_disconnect,
}


def _network(view: View, name: str, shared: bool = False) -> Lock:
    return Lock("network", view.find("network", name) or name, shared)


def _add(op: opcodes.NetworkAdd, view: View) -> Iterator[Lock]:
    yield _network(view, op.network_name)
    if op.conflicts_check:
        yield from (Lock("node", node, shared=True) for node in view.nodes)


def _remove(op: opcodes.NetworkRemove, view: View) -> Iterator[Lock]:
    yield _network(view, op.network_name)
    yield from (Lock("nodegroup", group, shared=True) for group in view.groups)


def _rename(op: opcodes.NetworkRename, view: View) -> Iterator[Lock]:
    yield _network(view, op.network_name)
    yield _network(view, op.new_name)


def _connection(op: opcodes.NetworkConnect | opcodes.NetworkDisconnect, view: View) -> Iterator[Lock]:
    yield _network(view, op.network_name, shared=True)
    group = view.find("group", op.group_name)
    yield Lock("nodegroup", group or op.group_name)
    if group is not None:
        yield from (Lock("instance", i.name, shared=True) for i in instances_of(view, view.groups[group]))


LOCKS: Mapping[type[Opcode], LockFunction] = {
    opcodes.NetworkAdd: _add,
    opcodes.NetworkRemove: _remove,
    opcodes.NetworkRename: _rename,
    opcodes.NetworkSetParams: lambda op, view: [_network(view, op.network_name)],
    opcodes.NetworkConnect: _connection,
    opcodes.NetworkDisconnect: _connection,
}
