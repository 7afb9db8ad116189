"""Where instances can go: which disk templates let them move, and whether a node can take one."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import DeactivateVolume, LookAtDomain
from twisted_rapi.plan import devices, policy, volumes
from twisted_rapi.plan.allocation.consult import allocator, consult
from twisted_rapi.plan.allocation.questions import Nodes, Relocate
from twisted_rapi.plan.attachment import followed
from twisted_rapi.plan.condition import changed, usable
from twisted_rapi.plan.disks import MIRRORED, nodes_of
from twisted_rapi.plan.place import Demand, place
from twisted_rapi.plan.stage import Do, InParallel, Perform, Progress
from twisted_rapi.plan.view import View

SHARED = ("blockdev", "diskless", "ext", "gluster", "rbd", "sharedfile")
"""Templates whose disks every node can use (constants.json disk_templates)."""

MOVABLE = (*SHARED, *MIRRORED)


class Relocation(Protocol):
    """What opcodes that move an instance to where its disks are have in common."""

    @property
    def target_node(self) -> str | None:
        """The node it is to go to."""

    @property
    def iallocator(self) -> str | None:
        """Who is to choose the node."""

    @property
    def ignore_ipolicy(self) -> bool:
        """Whether the policy of the target's group does not count."""


def check_template(instance: InstanceRecord, doing: str) -> None:
    """
    Whether the instance's disks are where it goes.

    :param doing: ``migrations`` or ``failovers``.
    :raises OpPrereqError: ``wrong_state``.
    """
    template = instance.disk_template
    if template not in MOVABLE:
        raise prereq(f"Instance's disk layout '{template}' does not allow {doing}", "wrong_state")


def target(
    op: Relocation, progress: Progress, view: View, instance: InstanceRecord, memory: int
) -> NodeRecord | Perform:
    """
    The node the instance goes to: its secondary one, the one that is named, or one that is chosen.

    Answers what has to be done first where an allocator script is to choose it.

    :param memory: MiB it needs there at least.
    :raises OpPrereqError: there is none.
    """
    if op.iallocator is not None and op.target_node is not None:
        raise prereq("Do not specify both, iallocator and target node")
    if instance.disk_template in MIRRORED:
        return _secondary(op, view, instance)
    if op.target_node is not None:
        node = view.node(op.target_node)
        if node.uuid == instance.primary_node:
            text = f"Cannot migrate instance {instance.name} to its primary ({node.name})"
            raise prereq(text, "wrong_state")
        return node
    if allocator(op.iallocator, view):
        answer = consult(Relocate(instance=instance), op.iallocator, progress, view)
        if isinstance(answer, Perform):
            return answer
        assert isinstance(answer, Nodes)
        return answer.nodes[0]
    demand = Demand(
        hypervisor=instance.hypervisor,
        memory=memory,
        disk=0,
        template=instance.disk_template,
        group=view.nodes[instance.primary_node].group,
        without=(instance.primary_node,),
    )
    return place(view, demand, instance.name)


def _secondary(op: Relocation, view: View, instance: InstanceRecord) -> NodeRecord:
    template = instance.disk_template
    if op.iallocator is not None or op.target_node is not None:
        raise prereq(
            f"Instances with disk template {template} go to their secondary node: "
            "neither an iallocator nor a target node can be passed"
        )
    if not instance.secondary_nodes:
        raise prereq(f"Instance {instance.name} has no secondary node", "wrong_state")
    return view.nodes[instance.secondary_nodes[0]]


def moved(instance: InstanceRecord, to: str) -> InstanceRecord:
    """The instance with this node (a uuid) as its primary one; of a mirrored one the sides change roles."""
    if instance.primary_node == to:
        return instance
    others = tuple(n for n in (instance.primary_node, *instance.secondary_nodes) if n != to)
    return replace(instance, primary_node=to, secondary_nodes=others if instance.secondary_nodes else ())


def recorded(view: View, instance: InstanceRecord, to: str) -> tuple[InstanceRecord, ...]:
    """The record with this node as the primary one, where that is a change."""
    there = followed(view, moved(instance, to))
    return () if there == instance else (changed(there, view),)


def look_at(instance: InstanceRecord, nodes: Iterable[str], stage: str) -> Perform:
    """Ask nodes (uuids) whether they have the guest; what does not answer has no outcome."""
    look = LookAtDomain(instance=instance.name, hypervisor=instance.hypervisor, instance_uuid=instance.uuid)
    return Perform(work=InParallel(tuple(Do(n, look) for n in nodes)), stage=stage, failed=stage)


def check_target(op: Relocation, view: View, instance: InstanceRecord, node: NodeRecord) -> None:
    """
    Whether the node can take the instance, its memory aside.

    :raises OpPrereqError: it cannot.
    """
    usable(view, instance, node, "target")
    _check_networks(view, instance, node)
    there = followed(view, moved(instance, node.uuid))
    devices.check_bridges(view, there)
    group = view.groups[node.group]
    violated = policy.violations(
        params.ipolicy(view.cluster, group), policy.spec_of(view, there), instance.disk_template
    )
    if violated and not op.ignore_ipolicy:
        raise prereq(
            f"Instance {instance.name} does not meet the instance policy of group {group.name}: "
            f"{', '.join(violated)}",
            "wrong_state",
        )


def _check_networks(view: View, instance: InstanceRecord, node: NodeRecord) -> None:
    """What a NIC's network is attached to is its group's business: in another it must be connected too."""
    group = view.groups[node.group]
    for nic in instance.nics:
        if nic.network is not None and nic.network not in group.networks:
            name = view.networks[nic.network].name
            raise prereq(f"Network {name} is not connected to node group {group.name}", "wrong_state")


INSPECTED = "inspected"
"""The stage after which the target's sides are known."""


def inspect(view: View, instance: InstanceRecord, target: NodeRecord, progress: Progress) -> Perform | None:
    """See first how the sides of mirrored disks are where the guest goes; ``None`` once that is known."""
    if progress.stage == INSPECTED or not any(nodes_of(disk) for disk in instance.disks):
        return None
    return Perform(work=volumes.looks(view, instance, target.uuid), stage=INSPECTED, check=True)


def check_sides(instance: InstanceRecord, progress: Progress, linked: bool, text: str) -> None:
    """
    What `inspect` saw can take the place of the primary side: it is whole, and `linked` where it has to be.

    A side whose link is broken is as old as that, whatever it says of itself.

    :param text: why it fails, with a place for the disk's index.
    :raises OpExecError: a side cannot.
    """
    if progress.stage != INSPECTED:
        return
    outcome = progress.outcomes[-1] if progress.outcomes else None
    states = () if outcome is None else outcome.disks
    for n, disk in enumerate(instance.disks):
        state = states[n] if n < len(states) else None
        if not nodes_of(disk):
            continue
        if state is None or state.get("ldisk") != "okay" or (linked and state.get("degraded", True)):
            raise OpExecError(text.format(n))


def deactivations(view: View, instance: InstanceRecord, node: str) -> Iterator[Do]:
    """Stop using the instance's disks on one node (a uuid)."""
    for disk in volumes.specs(view, instance, node):
        yield Do(node, DeactivateVolume(instance=instance.name, disk=disk))
