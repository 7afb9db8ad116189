"""Plans and locks of the opcodes that ask allocators and submit further jobs."""

from collections.abc import Iterable, Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, cluster, group, moving, node
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.evacuation import (
    plan_change_group,
    plan_group_evacuate,
    plan_node_evacuate,
    plan_node_migrate,
)
from twisted_rapi.plan.locking import LockFunction, PlanFunction
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.multi_alloc import plan_multi_alloc
from twisted_rapi.plan.opportunity import of_node, to_lock
from twisted_rapi.plan.try_allocator import plan_test_allocator
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    node.NodeMigrate: plan_node_migrate,
    node.NodeEvacuate: plan_node_evacuate,
    moving.InstanceChangeGroup: plan_change_group,
    moving.InstanceMultiAlloc: plan_multi_alloc,
    group.GroupEvacuate: plan_group_evacuate,
    cluster.TestAllocator: plan_test_allocator,
}

# All are shared: nothing is changed by these, and what they submit has locks of its own.


def _everything(view: View) -> Iterator[Lock]:
    yield from (Lock("nodegroup", uuid, shared=True) for uuid in view.groups)
    yield from (Lock("node", uuid, shared=True) for uuid in view.nodes)


def _instances(instances: Iterable[InstanceRecord]) -> Iterator[Lock]:
    yield from (Lock("instance", name, shared=True) for name in {i.name for i in instances})


def _node_migrate(op: node.NodeMigrate, view: View) -> Iterator[Lock]:
    yield Lock("node", view.find("node", op.node_name) or op.node_name, shared=True)


def _node_evacuate(op: node.NodeEvacuate, view: View) -> Iterator[Lock]:
    yield from _everything(view)
    uuid = view.find("node", op.node_name)
    if uuid is not None:
        yield from _instances((*view.instances_on(uuid), *view.secondaries_on(uuid)))


def _change_group(op: moving.InstanceChangeGroup, view: View) -> Iterator[Lock]:
    yield from _everything(view)
    uuid = view.find("instance", op.instance_name)
    if uuid is not None:
        yield from _instances([view.instances[uuid]])


def _group_evacuate(op: group.GroupEvacuate, view: View) -> Iterator[Lock]:
    yield from _everything(view)
    uuid = view.find("group", op.group_name)
    nodes = [each.uuid for each in view.nodes.values() if each.group == uuid]
    yield from _instances(i for n in nodes for i in (*view.instances_on(n), *view.secondaries_on(n)))


def _multi_alloc(op: moving.InstanceMultiAlloc, view: View) -> Iterator[Lock]:
    for uuid in to_lock(op, view, shared=True):
        yield from of_node(uuid, shared=True)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    node.NodeMigrate: _node_migrate,
    node.NodeEvacuate: _node_evacuate,
    moving.InstanceChangeGroup: _change_group,
    moving.InstanceMultiAlloc: _multi_alloc,
    group.GroupEvacuate: _group_evacuate,
    cluster.TestAllocator: lambda _, view: _everything(view),
}
