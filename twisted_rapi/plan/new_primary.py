"""``OP_INSTANCE_SET_PARAMS`` with ``pnode``: another primary node on record, which has the disks already."""

import attrs

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.instance import InstanceSetParams
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import Outcome
from twisted_rapi.plan import relocation, volumes
from twisted_rapi.plan.condition import at_rest, primary
from twisted_rapi.plan.conversion import others
from twisted_rapi.plan.disks import MIRRORED
from twisted_rapi.plan.stage import Finish, Perform, Progress, Stage
from twisted_rapi.plan.view import View


@attrs.frozen
class _Asked:
    """What `relocation.check_target` wants to know."""

    ignore_ipolicy: bool
    target_node: str | None = None
    iallocator: str | None = None


def plan_new_primary(op: InstanceSetParams, progress: Progress, view: View) -> Stage:
    """Look whether the node has the disks, then record it; nothing is moved."""
    instance = view.instance(op.instance_name)
    assert op.pnode is not None
    node = view.node(op.pnode)
    _check(op, view, instance, node)
    there = relocation.moved(instance, node.uuid)
    if progress.stage == "" and instance.disks:
        return Perform(work=volumes.looks(view, there, node.uuid), stage="looked", check=True)
    for outcome in progress.outcomes:
        _check_seen(instance, node, outcome)
    return Finish(result=[("pnode", node.name)], puts=relocation.recorded(view, instance, node.uuid))


def _check(op: InstanceSetParams, view: View, instance: InstanceRecord, node: NodeRecord) -> None:
    if others(op) or op.disks or op.disk_template or op.remote_node or op.iallocator:
        raise prereq("A change of the primary node and other changes are not offered at the same time")
    if node.uuid == instance.primary_node:
        raise prereq(f"Instance {instance.name} has the primary node {node.name} already")
    doing = "change its primary node"
    if not primary(view, instance).offline:
        at_rest(view, instance, doing)
    elif instance.admin_state == "up":
        raise prereq(f"Instance '{instance.name}' is marked to be up, cannot {doing}", "wrong_state")
    if instance.disks_active and instance.disk_template in MIRRORED:
        raise prereq(f"The disks of instance {instance.name} are active, cannot {doing}", "wrong_state")
    if instance.secondary_nodes and node.uuid not in instance.secondary_nodes:
        raise prereq(f"Node {node.name} has no side of the disks of instance {instance.name}")
    relocation.check_target(_Asked(op.ignore_ipolicy), view, instance, node)


def _check_seen(instance: InstanceRecord, node: NodeRecord, outcome: Outcome | None) -> None:
    for n, state in enumerate(() if outcome is None else outcome.disks):
        if state is None:
            raise prereq(f"Disk {n} of instance {instance.name} is not on node {node.name}", "wrong_state")
        if state.get("ldisk", "okay") != "okay":
            raise prereq(
                f"Disk {n} of instance {instance.name} is degraded on node {node.name}", "wrong_state"
            )
        if state["size"] != instance.disks[n].size:
            raise prereq(
                f"Disk {n} of instance {instance.name} has {state['size']} MiB on node {node.name} "
                f"instead of {instance.disks[n].size}",
                "wrong_state",
            )
