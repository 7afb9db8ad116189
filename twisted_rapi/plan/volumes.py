"""Which steps disks need on which nodes, whatever their template."""

from collections.abc import Iterable, Sequence

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NodeRecord
from twisted_rapi.model.steps import (
    ActivateVolume,
    AwaitSync,
    CreateVolume,
    DeactivateVolume,
    DeleteVolume,
    DiskSpec,
    GrowVolume,
    InspectDisks,
)
from twisted_rapi.plan.condition import answering
from twisted_rapi.plan.disks import demand, nodes_of
from twisted_rapi.plan.machine import disk_spec
from twisted_rapi.plan.stage import Do, InParallel, InSequence, Work
from twisted_rapi.plan.view import View

Indexed = tuple[int, DiskRecord]


def all_disks(instance: InstanceRecord) -> tuple[Indexed, ...]:
    """The instance's disks with their indexes."""
    return tuple(enumerate(instance.disks))


def sides(instance: InstanceRecord, disk: DiskRecord) -> tuple[str, ...]:
    """The uuids of the nodes that have a part of the disk, the primary one first."""
    others = [node for node in nodes_of(disk) if node != instance.primary_node]
    return (instance.primary_node, *others)


def spec(view: View, instance: InstanceRecord, index: int, disk: DiskRecord, node: str = "") -> DiskSpec:
    """The disk as a node needs to know it; the primary one unless another is named."""
    node = node or instance.primary_node
    group = view.groups[view.nodes[node].group]
    return disk_spec(index, disk, node, params.disk_parameters(view.cluster, group, disk))


def specs(view: View, instance: InstanceRecord, node: str = "") -> tuple[DiskSpec, ...]:
    """All disks of the instance, as a node needs to know them."""
    return tuple(spec(view, instance, n, disk, node) for n, disk in enumerate(instance.disks))


def creations(
    view: View, instance: InstanceRecord, disks: Iterable[Indexed], fresh: bool = True
) -> InSequence:
    """Make disks on all their nodes, then attach the sides of mirrored ones."""
    disks = tuple(disks)
    made = tuple(
        Do(node, CreateVolume(instance=instance.name, disk=spec(view, instance, n, disk, node), fresh=fresh))
        for n, disk in disks
        for node in sides(instance, disk)
    )
    mirrored = [(n, disk) for n, disk in disks if nodes_of(disk)]
    parts: list[Work] = [InParallel(made)] if made else []
    return InSequence((*parts, *activations(view, instance, mirrored)))


def deletions(view: View, instance: InstanceRecord, disks: Iterable[Indexed]) -> tuple[Do, ...]:
    """Remove disks from all their nodes."""
    return tuple(
        Do(node, DeleteVolume(instance=instance.name, disk=spec(view, instance, n, disk, node)))
        for n, disk in disks
        for node in sides(instance, disk)
    )


def activations(
    view: View,
    instance: InstanceRecord,
    disks: Iterable[Indexed],
    ignore_size: bool = False,
    without: Iterable[str] = (),
    force: bool = False,
) -> tuple[Do, ...]:
    """
    Make disks usable: first the sides that follow, then on the primary node, where outcomes have the paths.

    :param without: uuids of nodes whose sides are left alone.
    :param force: take the primary node's data even if it may be old.
    """
    skipped = set(without)
    follow: list[Do] = []
    lead: list[Do] = []
    for n, disk in disks:
        for node in sides(instance, disk):
            if node in skipped:
                continue
            primary = node == instance.primary_node
            step = ActivateVolume(
                instance=instance.name,
                disk=spec(view, instance, n, disk, node),
                ignore_size=ignore_size,
                primary=primary,
                force=force and primary,
            )
            (lead if primary else follow).append(Do(node, step))
    return (*follow, *lead)


def followers(view: View, instance: InstanceRecord, without: Iterable[str] = ()) -> tuple[Do, ...]:
    """Attach the sides that follow; whoever starts the guest attaches the primary ones."""
    works = activations(view, instance, all_disks(instance), without=without)
    return tuple(do for do in works if do.node != instance.primary_node)


def deactivations(
    view: View, instance: InstanceRecord, disks: Iterable[Indexed] | None = None
) -> tuple[Do, ...]:
    """Stop using disks on all their nodes, the primary one first."""
    chosen = all_disks(instance) if disks is None else tuple(disks)
    return tuple(
        Do(node, DeactivateVolume(instance=instance.name, disk=spec(view, instance, n, disk, node)))
        for n, disk in chosen
        for node in sides(instance, disk)
    )


def releases(view: View, instance: InstanceRecord) -> tuple[Do, ...]:
    """What follows a guest's end: mirrored disks are let go of, others need nothing."""
    return deactivations(view, instance, [(n, d) for n, d in all_disks(instance) if nodes_of(d)])


def growths(view: View, instance: InstanceRecord, index: int, disk: DiskRecord) -> InSequence:
    """Make a disk as large as its record says, on all its nodes."""
    return InSequence(
        tuple(
            Do(node, GrowVolume(instance=instance.name, disk=spec(view, instance, index, disk, node)))
            for node in reversed(sides(instance, disk))
        )
    )


def waits(
    view: View, instance: InstanceRecord, at_most: float = 60.0, disks: Iterable[Indexed] | None = None
) -> Do:
    """Wait until no disk, or none of these, is being filled any more."""
    chosen = all_disks(instance) if disks is None else tuple(disks)
    there = tuple(spec(view, instance, n, disk) for n, disk in chosen)
    return Do(instance.primary_node, AwaitSync(instance=instance.name, disks=there, at_most=at_most))


def looks(view: View, instance: InstanceRecord, node: str) -> Do:
    """See how the disks are on a node."""
    return Do(node, InspectDisks(instance=instance.name, disks=specs(view, instance, node)))


def offline(view: View, instance: InstanceRecord) -> list[str]:
    """The uuids of secondary nodes that are marked offline."""
    return [node for node in instance.secondary_nodes if view.nodes[node].offline]


def check_space(view: View, node: NodeRecord, disks: Iterable[DiskRecord]) -> None:
    """
    Whether a node has room for new disks.

    :raises OpPrereqError: ``insufficient_resources``; ``environment_error``: a volume group is missing.
    """
    report = answering(view, node)
    for group, needed in demand(disks).items():
        if not group:
            free, where = report.disk_free, ""
        elif group in report.volume_groups:
            free, where = report.volume_groups[group][1], f" vg {group}"
        else:
            raise prereq(f"Node '{node.name}' has no volume group {group}", "environment_error")
        if needed > free:
            raise prereq(
                f"Not enough disk space on target node {node.name}{where}: required {needed} MiB, "
                f"available {free} MiB",
                "insufficient_resources",
            )


def check_nodes(view: View, instance: InstanceRecord, nodes: Sequence[str] | None = None) -> None:
    """
    Whether the nodes of the instance answer.

    :param nodes: only these.
    :raises OpPrereqError: ``wrong_state``, ``environment_error``.
    """
    for node in (instance.primary_node, *instance.secondary_nodes) if nodes is None else nodes:
        answering(view, view.nodes[node])
