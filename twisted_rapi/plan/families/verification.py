"""Plans and locks of the opcodes that look whether all is as it should be."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, verify
from twisted_rapi.plan.locking import LockFunction, PlanFunction, named
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.repair_sizes import plan_repair_sizes
from twisted_rapi.plan.verify import plan_verify, plan_verify_config, plan_verify_group
from twisted_rapi.plan.verify_disks import plan_group_verify_disks, plan_verify_disks
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    verify.ClusterVerify: plan_verify,
    verify.ClusterVerifyConfig: plan_verify_config,
    verify.ClusterVerifyGroup: plan_verify_group,
    verify.ClusterVerifyDisks: plan_verify_disks,
    verify.GroupVerifyDisks: plan_group_verify_disks,
    verify.ClusterRepairDiskSizes: plan_repair_sizes,
}


def _group(op: verify.ClusterVerifyGroup | verify.GroupVerifyDisks, view: View) -> Iterator[Lock]:
    uuid = view.find("group", op.group_name)
    if uuid is None:
        return
    yield Lock("nodegroup", uuid, shared=True)
    for node in view.nodes.values():
        if node.group == uuid:
            yield Lock("node", node.uuid, shared=True)
            here = (*view.instances_on(node.uuid), *view.secondaries_on(node.uuid))
            yield from (Lock("instance", i.name, shared=True) for i in here)


def _repair(op: verify.ClusterRepairDiskSizes, view: View) -> Iterator[Lock]:
    names = {named(view, name) for name in op.instances} or {i.name for i in view.instances.values()}
    yield from (Lock("instance", name) for name in names)
    ids = view.names["instance"]
    nodes = {view.instances[ids[name]].primary_node for name in names if name in ids}
    yield from (Lock("node-res", node, shared=True) for node in nodes)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    verify.ClusterVerifyGroup: _group,
    verify.GroupVerifyDisks: _group,
    verify.ClusterRepairDiskSizes: _repair,
}
