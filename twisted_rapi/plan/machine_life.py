"""Machines that are made, replaced and forgotten as libvirt's definitions say."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.machine_xml import Found
from twisted_rapi.model.opcodes.machine import MachineDefine, MachineModify, MachineUndefine
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import DetachedDiskRecord, DiskRecord, InstanceRecord
from twisted_rapi.plan import machine_draft as drafts
from twisted_rapi.plan import volumes
from twisted_rapi.plan.belongings import records_of
from twisted_rapi.plan.condition import answering, changed, online, primary, subject
from twisted_rapi.plan.detached import detached, look
from twisted_rapi.plan.leftover import leftovers, stops, warnings
from twisted_rapi.plan.machines import with_values
from twisted_rapi.plan.naming import merged_tags, of_disk, reservations
from twisted_rapi.plan.power import stop_step
from twisted_rapi.plan.pvc import selectors
from twisted_rapi.plan.rooms import Rooms
from twisted_rapi.plan.stage import Change, Do, Finish, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

FOREIGN = ("rbd", "blockdev")
"""Templates whose disks exist apart from machines: one that a machine loses is nobody's any more."""

# Defining.


def plan_define(op: MachineDefine, progress: Progress, view: View) -> Stage:
    """See how large its disks are, then record it; nothing is made."""
    root, found = drafts.understood(op.xml)
    _check_new(view, found)
    node = _node(op, view, root, found) if progress.stage == "" else progress.kept["node"]
    draft = _draft(op, view, found, node)
    record, xml = drafts.drafted(view, root, found, draft)
    if progress.stage == "" and record.disks and node in view.reports:
        work = look(view, record, record.disks)
        return Perform(
            work=work, stage="looked", failed="looked", check=True, patience=0.0, kept={"node": node}
        )
    record, log = _sized(record, record.disks, progress)
    machine = with_values(view, MachineRecord(uuid=record.uuid, xml=xml), op)
    unknown = sorted(set(machine.protected_tags) - set(record.tags))
    if unknown:
        record = replace(record, tags=merged_tags(record.tags, unknown))
    attached = drafts.taken(view, record)
    return Finish(
        result=[record.name, record.uuid],
        puts=(record, machine),
        deletes=attached,
        names=_new_names((), reservations(record), attached),
        log=(*log, *_unmanaged(found, record)),
    )


def _check_new(view: View, found: Found) -> None:
    taken = found.name in view.names["instance"] or found.uuid in view.instances
    if taken:
        raise prereq(
            f"Specified VM '{found.name}' or UUID '{found.uuid}' matches an existing VM on the cluster",
            "already_exists",
        )
    # A guest of this UUID whose node was given up may still be there, and run.
    old = next((left for left in view.leftovers.values() if found.uuid in stops(left)), None)
    if old is not None:
        name = view.nodes[old.node].name if old.node in view.nodes else old.node
        raise prereq(f"A VM with UUID '{found.uuid}' may still run on node '{name}'", "wrong_state")


def _draft(op: MachineDefine, view: View, found: Found, node: str) -> InstanceRecord:
    return InstanceRecord(
        uuid=found.uuid,
        name=found.name,
        ctime=view.now,
        mtime=view.now,
        tags=merged_tags((), op.tags),
        hypervisor=view.cluster.default_hypervisor,
        primary_node=node,
        disk_template="diskless",
    )


def _node(op: MachineDefine, view: View, root: ET.Element, found: Found) -> str:
    """The node that is given, or the best one."""
    draft, _ = drafts.drafted(view, root, found, _draft(op, view, found, ""))
    if op.node_name is not None:
        node = online(view.node(op.node_name))
        if node.uuid in view.reports:
            drafts.check_node(view, node.uuid, draft)
        return node.uuid
    limit = [view.node(name).name for name in op.node_limit or ()]
    rooms, measured = Rooms(view), selectors.measure(op.node_selector or "")

    def order(uuid: str) -> float:
        return measured(selectors.figures(rooms, view.nodes[uuid]))

    best = next(drafts.chosen(view, limit, draft, order), None)
    if best is None:
        raise prereq(f"No node can have machine '{found.name}'", "insufficient_resources")
    return best


def _sized(
    record: InstanceRecord, new: Iterable[DiskRecord], progress: Progress
) -> tuple[InstanceRecord, tuple[str, ...]]:
    """The record with the sizes that the node told of its new disks, and a warning for each it has not."""
    seen: Sequence[Any] = progress.outcomes[0].disks if progress.outcomes and progress.outcomes[0] else ()
    sizes = {}
    for disk, state in zip(new, seen, strict=False):
        if state is not None:
            sizes[disk.logical_id] = int(state["size"])
    log = tuple(
        f" - WARNING: Disk {'/'.join(map(str, disk.logical_id))} was not found on the node"
        for disk in new
        if disk.logical_id not in sizes
    )
    disks = tuple(replace(disk, size=sizes.get(disk.logical_id, disk.size)) for disk in record.disks)
    return replace(record, disks=disks), log


def _unmanaged(found: Found, record: InstanceRecord) -> tuple[str, ...]:
    """What is said of disks that are only in the definition."""
    count = sum(1 for disk in found.disks if disk.device in ("disk", "lun")) - len(record.disks)
    text = f" - INFO: {count} of the disks are in the definition only: they are no disks of the instance"
    return (text,) if count > 0 else ()


# Replacing.


def plan_replace(op: MachineModify, progress: Progress, view: View) -> Stage:
    """See how large its new disks are, then record what the definition says."""
    instance = subject(op.instance_name, progress, view)
    root, found = drafts.understood(op.xml)
    _check_same(instance, found)
    record, xml = drafts.drafted(view, root, found, instance)
    _check_disks(view, instance, record)
    had = {disk.uuid for disk in instance.disks}
    new = [disk for disk in record.disks if disk.uuid not in had]
    if progress.stage == "" and new and instance.primary_node in view.reports:
        work = look(view, record, new)
        return Perform(
            work=work, stage="looked", failed="looked", check=True, patience=0.0, kept={"uuid": instance.uuid}
        )
    record, log = _sized(record, new, progress)
    lost = _lost(view, instance, record)
    machine = replace(view.machine(instance.uuid), xml=xml)
    attached = drafts.taken(view, record)
    names, kept = _changed(instance, record, lost, attached)
    return Finish(
        puts=(changed(record, view), machine, *lost),
        deletes=attached,
        names=names,
        free=kept,
        log=(*log, *_unmanaged(found, record)),
    )


def _check_same(instance: InstanceRecord, found: Found) -> None:
    """A definition of another machine would make two of one."""
    if found.uuid != instance.uuid:
        raise prereq(f"The definition is of UUID {found.uuid}, VM '{instance.name}' has {instance.uuid}")
    if found.name != instance.name:
        raise prereq(f"The definition is of a VM '{found.name}': '{instance.name}' is to be renamed first")


def _check_disks(view: View, instance: InstanceRecord, record: InstanceRecord) -> None:
    if record.disk_template != instance.disk_template and instance.secondary_nodes:
        raise prereq(f"The mirrored disks of VM '{instance.name}' cannot be replaced", "wrong_state")
    domain = view.domain(instance)
    running = instance.admin_state == "up" or (domain is not None and domain.running)
    if running and _lost(view, instance, record):
        raise prereq(f"VM '{instance.name}' has to be stopped before disks are taken from it", "wrong_state")


def _lost(view: View, instance: InstanceRecord, record: InstanceRecord) -> tuple[Record, ...]:
    """Records of the disks it loses that would otherwise be forgotten with their data."""
    left = {disk.uuid for disk in record.disks}
    lost = (disk for disk in instance.disks if disk.uuid not in left and disk.dev_type not in FOREIGN)
    return tuple(detached(view, instance, disk) for disk in lost)


def _new_names(
    had: Collection[str], has: Mapping[str, str], attached: Iterable[DetachedDiskRecord]
) -> dict[str, str]:
    """What to reserve; what detached disks have is reserved already."""
    there = {*had, *(key for record in attached for key in of_disk(record.disk))}
    return {key: uuid for key, uuid in has.items() if key not in there}


def _changed(
    old: InstanceRecord,
    new: InstanceRecord,
    lost: Sequence[Any],
    attached: Iterable[DetachedDiskRecord],
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What to reserve and what to free; what belongs to disks that are detached stays reserved."""
    has, had = reservations(new), reservations(old)
    stays = {key for record in lost for key in of_disk(record.disk)}
    return _new_names(had, has, attached), tuple(key for key in had if key not in has and key not in stays)


# Forgetting.


def plan_undefine(op: MachineUndefine, progress: Progress, view: View) -> Stage:
    """Stop it, remove its disks or let go of them, forget it."""
    instance = subject(op.instance_name, progress, view)
    works = _ending(view, instance, op.delete_disks)
    match progress.stage:
        case "":
            answering(view, primary(view, instance))
            down = () if instance.admin_state == "down" else (changed(instance, view, admin_state="down"),)
            return Change(stage="begun", puts=down, kept={"uuid": instance.uuid})
        case "begun":
            return Perform(work=InSequence(works), stage="ended")
    return _forgotten(op, view, instance, works, progress)


def _ending(view: View, instance: InstanceRecord, delete: bool) -> tuple[Do, ...]:
    """A disk is not taken away from under a guest that could not be stopped."""
    stop = Do(instance.primary_node, stop_step(instance, 0, force=True))
    disks = volumes.all_disks(instance)
    return (stop, *(volumes.deletions if delete else volumes.deactivations)(view, instance, disks))


def _forgotten(
    op: MachineUndefine, view: View, instance: InstanceRecord, works: tuple[Do, ...], progress: Progress
) -> Finish:
    left = leftovers(works, progress.outcomes, f"removal of {instance.name}") if progress.outcomes else ()
    bare = replace(instance, disks=())
    lost = () if op.delete_disks else _lost(view, instance, bare)
    gone: Mapping[str, str] = reservations(instance)
    stays = {key for record in lost for key in of_disk(record.disk)}  # type: ignore[attr-defined]
    return Finish(
        puts=(*left, *lost),
        deletes=records_of(view, instance),
        free=tuple(key for key in gone if key not in stays),
        log=warnings(left, view),
    )
