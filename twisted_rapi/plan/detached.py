"""Disks that no instance has: how instances lose and get them, and how they are removed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.disk import DiskRemove
from twisted_rapi.model.records import DetachedDiskRecord, DiskRecord, InstanceRecord
from twisted_rapi.model.steps import DeleteVolume, DiskSpec, InspectDisks, Outcome
from twisted_rapi.plan import volumes
from twisted_rapi.plan.disks import LOCAL
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.machine import disk_spec
from twisted_rapi.plan.naming import of_disk
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

# Which one.


def find(view: View, values: Mapping[str, Any]) -> DetachedDiskRecord:
    """
    The detached disk that a client names by ``uuid`` or by ``name``.

    :raises OpPrereqError: ``wrong_input``: it is not said which; ``unknown_entity``: there is none;
        ``resource_not_unique``: several have this name; ``wrong_state``: an instance has
        it, or a job is about to use it.
    """
    unknown = set(values) - {"uuid", "name"}
    if unknown:
        raise prereq(f"Unknown parameter '{min(unknown)}' of a disk that is to be attached")
    given = [(key, values[key]) for key in ("uuid", "name") if values.get(key) is not None]
    if len(given) != 1 or not isinstance(given[0][1], str):
        raise prereq("A disk that is to be attached is named either by its 'uuid' or by its 'name'")
    [(key, value)] = given
    found = [record for record in view.detached.values() if getattr(record.disk, key) == value]
    if not found:
        if key == "uuid":
            _check_owner(view, value)
        raise prereq(f"No detached disk was found with this {key}: {value}", "unknown_entity")
    if len(found) > 1:
        raise prereq(f"There are several detached disks with the name {value}", "resource_not_unique")
    return free(found[0])


def _check_owner(view: View, uuid: str) -> None:
    for instance in view.instances.values():
        if any(disk.uuid == uuid for disk in instance.disks):
            raise prereq(f"Disk {uuid} is already attached to instance {instance.name}", "wrong_state")


def free(record: DetachedDiskRecord) -> DetachedDiskRecord:
    """
    The disk, if no job is about to attach or remove it.

    :raises OpPrereqError: ``wrong_state``.
    """
    if record.pending is not None:
        raise prereq(f"Disk {record.uuid} is about to be used by job {record.pending}", "wrong_state")
    return record


# Going from instance to instance.


def detached(view: View, instance: InstanceRecord, disk: DiskRecord) -> DetachedDiskRecord:
    """The record of a disk that the instance loses."""
    return DetachedDiskRecord(
        uuid=disk.uuid,
        disk=replace(disk, mtime=view.now, serial_no=disk.serial_no + 1),
        nodes=volumes.sides(instance, disk),
        instance=instance.name,
        ctime=view.now,
    )


def returned(record: DetachedDiskRecord, disk: DiskRecord) -> DetachedDiskRecord:
    """
    The record of a disk that was to be attached as `disk`, and is not.

    Its nodes may have heard of that one, and heed nobody who knows an older one only.
    """
    return replace(record, pending=None, disk=replace(record.disk, serial_no=disk.serial_no))


def received(view: View, instance: InstanceRecord, record: DetachedDiskRecord) -> InstanceRecord:
    """
    The instance as it has to be to get the disk: one without any disks gets the disk's template.

    :raises OpPrereqError: ``wrong_input``: the template is another, or the disk is on other nodes.
    """
    disk = record.disk
    if instance.disk_template == "diskless" and not instance.disks:
        instance = _with_template(view, instance, record)
    if disk.dev_type != instance.disk_template:
        raise prereq(
            f"Instance has '{instance.disk_template}' template while disk has '{disk.dev_type}' template"
        )
    nodes = (instance.primary_node, *instance.secondary_nodes)
    if disk.dev_type in LOCAL and set(nodes) != set(record.nodes):
        has, wants = (", ".join(view.nodes[n].name for n in some) for some in (record.nodes, nodes))
        raise prereq(f"Disk nodes are {has} while the instance's nodes are {wants}")
    return instance


def _with_template(view: View, instance: InstanceRecord, record: DetachedDiskRecord) -> InstanceRecord:
    template = record.disk.dev_type
    enabled = view.cluster.enabled_disk_templates
    if template not in enabled:
        raise prereq(
            f"Disk template '{template}' is not enabled in cluster. "
            f"Enabled disk templates are: {','.join(enabled)}"
        )
    others = tuple(node for node in record.nodes if node != instance.primary_node)
    secondaries = others if template == "drbd" and len(others) == 1 else ()
    return replace(instance, disk_template=template, secondary_nodes=secondaries)


def look(view: View, instance: InstanceRecord, disks: Iterable[DiskRecord]) -> Do:
    """See whether the instance's primary node has disks that are to be attached."""
    specs = tuple(volumes.spec(view, instance, n, disk) for n, disk in enumerate(disks))
    return Do(instance.primary_node, InspectDisks(instance=instance.name, disks=specs))


def check_seen(view: View, instance: InstanceRecord, disks: Sequence[DiskRecord], seen: Outcome) -> None:
    """
    Whether the primary node has them, each as large as it should be.

    :raises OpPrereqError: ``wrong_state``.
    """
    node = view.nodes[instance.primary_node]
    for disk, state in zip(disks, seen.disks, strict=True):
        if state is None:
            raise prereq(f"Disk {disk.uuid} is missing on node {node.name}", "wrong_state")
        if state["size"] != disk.size:
            raise prereq(
                f"Disk {disk.uuid} has {state['size']} MiB on node {node.name} instead of {disk.size}",
                "wrong_state",
            )


# Their end.


def plan_remove_disk(op: DiskRemove, progress: Progress, view: View) -> Stage:
    """Note that it goes, remove its volumes, forget it; what a silent node keeps goes later."""
    record = view.detached.get(progress.kept.get("uuid", op.disk_uuid))
    if record is None:
        _check_owner(view, op.disk_uuid)
        raise prereq(f"No detached disk was found with this uuid: {op.disk_uuid}", "unknown_entity")
    if progress.stage == "":
        node = _remover(view, free(record))
        kept = {"uuid": record.uuid, "node": node}
        return Change(stage="begun", puts=(replace(record, pending=progress.job),), kept=kept)
    gone = _removals(view, record, progress.kept["node"])
    if progress.stage == "begun":
        return Perform(work=InParallel(gone), stage="removed", failed="removed", patience=0.0)
    left = leftovers(gone, progress.outcomes, f"removal of disk {record.uuid}")
    return Finish(puts=left, deletes=(record,), free=tuple(of_disk(record.disk)), log=warnings(left, view))


def _remover(view: View, record: DetachedDiskRecord) -> str:
    """
    The uuid of the node that removes its first part: of shared storage any that answers and keeps such disks.

    :raises OpPrereqError: ``environment_error``: there is none.
    """
    first = record.nodes[0]
    template = record.disk.dev_type
    if template in LOCAL:
        return first
    for node in (first, *sorted(view.nodes)):
        report = view.reports.get(node)
        if report is not None and not view.nodes[node].offline and template in report.templates:
            return node
    raise prereq(f"No node that answers keeps {template} disks", "environment_error")


def _removals(view: View, record: DetachedDiskRecord, first: str) -> tuple[Do, ...]:
    return tuple(
        Do(node, DeleteVolume(instance=record.instance, disk=spec(view, record, node)))
        for node in (first, *record.nodes[1:])
    )


def spec(view: View, record: DetachedDiskRecord, node: str) -> DiskSpec:
    """A detached disk as a node (a uuid) needs to know it."""
    group = view.groups[view.nodes[node].group]
    return disk_spec(0, record.disk, node, params.disk_parameters(view.cluster, group, record.disk))


def on_node(view: View, node: str) -> Iterator[DetachedDiskRecord]:
    """The detached disks that a node (a uuid) alone has, or has one side of."""
    return (r for r in view.detached.values() if node in r.nodes and r.disk.dev_type in LOCAL)


def seen(view: View) -> list[DetachedDiskRecord]:
    """All of them, by the time they were detached."""
    return sorted(view.detached.values(), key=lambda record: (record.ctime, record.uuid))
