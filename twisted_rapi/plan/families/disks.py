"""Plans and locks of the opcodes about disks of instances."""

from collections.abc import Iterable, Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, moving
from twisted_rapi.model.opcodes.disk import DiskRemove
from twisted_rapi.plan.detached import plan_remove_disk
from twisted_rapi.plan.grow import plan_grow_disk
from twisted_rapi.plan.locking import LockFunction, PlanFunction, nodes_of, of_instance
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.recreate import plan_recreate_disks
from twisted_rapi.plan.replace import plan_replace_disks
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    DiskRemove: plan_remove_disk,
    moving.InstanceGrowDisk: plan_grow_disk,
    moving.InstanceRecreateDisks: plan_recreate_disks,
    moving.InstanceReplaceDisks: plan_replace_disks,
}


def _and_others(view: View, name: str, others: Iterable[str], chosen: bool) -> Iterator[Lock]:
    """An instance, its nodes and the new ones; all of its groups where an allocator chooses."""
    yield from of_instance(view, name, nodes=True, resources=True)
    new = {view.find("node", other) or other for other in others}
    if chosen:
        groups = {view.nodes[node].group for node in nodes_of(view, name)}
        yield from (Lock("nodegroup", group, shared=True) for group in groups)
        new |= {node.uuid for node in view.nodes.values() if node.group in groups}
    for node in new:
        yield Lock("node", node)
        yield Lock("node-res", node)


def _replace(op: moving.InstanceReplaceDisks, view: View) -> Iterator[Lock]:
    chosen = op.mode == "replace_new_secondary" and op.remote_node is None
    others = [] if op.remote_node is None else [op.remote_node]
    return _and_others(view, op.instance_name, others, chosen)


def _remove(op: DiskRemove, view: View) -> Iterator[Lock]:
    record = view.detached.get(op.disk_uuid)
    for node in () if record is None else record.nodes:
        yield Lock("node", node)
        yield Lock("node-res", node)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    DiskRemove: _remove,
    moving.InstanceGrowDisk: lambda op, view: of_instance(view, op.instance_name, True, True),
    moving.InstanceRecreateDisks: lambda op, view: _and_others(
        view, op.instance_name, op.nodes, op.iallocator is not None
    ),
    moving.InstanceReplaceDisks: _replace,
}
