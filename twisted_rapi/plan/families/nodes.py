"""Plans and locks of the opcodes about nodes and their storage; moving instances is another family's."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import node as opcodes
from twisted_rapi.plan.locking import LockFunction, PlanFunction
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.nodes import plan_node_modify, plan_node_remove, plan_powercycle
from twisted_rapi.plan.owned import plan_query_volumes
from twisted_rapi.plan.storage_units import plan_modify_storage, plan_query_storage, plan_repair_storage
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    opcodes.NodeSetParams: plan_node_modify,
    opcodes.NodeRemove: plan_node_remove,
    opcodes.NodePowercycle: plan_powercycle,
    opcodes.NodeQueryStorage: plan_query_storage,
    opcodes.NodeQueryvols: plan_query_volumes,
    opcodes.NodeModifyStorage: plan_modify_storage,
    opcodes.RepairNodeStorage: plan_repair_storage,
}

CANDIDATES = Lock("cluster", "candidates")
"""Who changes a role has it: two nodes that leave the pool at once would leave it too small."""


def _node(view: View, name: str) -> str:
    return view.find("node", name) or name


def _modify(op: opcodes.NodeSetParams, view: View) -> Iterator[Lock]:
    yield Lock("node", _node(view, op.node_name))
    yield Lock("node-res", _node(view, op.node_name))
    leaves = op.master_candidate is False or op.offline or op.drained or op.master_capable is False
    if op.auto_promote and leaves:
        yield from (Lock("node", node) for node in view.nodes)
    if any(v is not None for v in (op.master_candidate, op.offline, op.drained, op.master_capable)):
        yield CANDIDATES
    uuid = view.find("node", op.node_name)
    if op.secondary_ip is not None and uuid is not None:
        affected = {i.name for i in (*view.instances_on(uuid), *view.secondaries_on(uuid))}
        yield from (Lock("instance", name, shared=True) for name in affected)


def _remove(op: opcodes.NodeRemove, view: View) -> Iterator[Lock]:
    yield CANDIDATES
    yield from (Lock("node", node) for node in view.nodes)


def _query(op: opcodes.NodeQueryStorage | opcodes.NodeQueryvols, view: View) -> Iterator[Lock]:
    for node in (_node(view, name) for name in op.nodes) if op.nodes else view.nodes:
        yield Lock("node", node, shared=True)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    opcodes.NodeSetParams: _modify,
    opcodes.NodeRemove: _remove,
    opcodes.NodeQueryStorage: _query,
    opcodes.NodeQueryvols: _query,
    opcodes.NodeModifyStorage: lambda op, view: [Lock("node", _node(view, op.node_name))],
    opcodes.RepairNodeStorage: lambda op, view: [Lock("node", _node(view, op.node_name))],
}
