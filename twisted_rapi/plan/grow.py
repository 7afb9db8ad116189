"""``OP_INSTANCE_GROW_DISK`` (texts as observed)."""

from collections.abc import Iterator

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.moving import InstanceGrowDisk
from twisted_rapi.model.records import DiskRecord, InstanceRecord
from twisted_rapi.model.steps import GrowVolume, InspectDisks, ShowGrowth
from twisted_rapi.plan import policy, sync, volumes
from twisted_rapi.plan.condition import changed, primary, subject
from twisted_rapi.plan.disks import GROWABLE, nodes_of
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_grow_disk(op: InstanceGrowDisk, progress: Progress, view: View) -> Stage:
    """
    Grow the volumes on all nodes, then note the size.

    Volumes never shrink: where only a part could be grown the size counts, and the rest is left to be done.
    """
    instance = subject(op.instance_name, progress, view)
    if progress.stage == "":
        return _begin(op, view, instance)
    size = progress.kept["size"]
    grown = resized(instance, op.disk, size)
    disk = grown.disks[op.disk]
    mirrored = [(op.disk, disk)] if nodes_of(disk) else []
    match progress.stage:
        case "begun":
            attach = volumes.activations(view, grown, mirrored, ignore_size=True)
            work = InSequence((*attach, volumes.growths(view, grown, op.disk, disk)))
            return Perform(work=work, stage="grown", failed="failed")
        case "failed":
            looks = (*_looks(view, grown, op.disk), *_rest(view, grown, mirrored))
            return Perform(work=InParallel(looks), stage="looked", failed="looked")
        case "looked":
            return _half_grown(op, progress, view, instance)
        case "grown":
            return Change(stage="noted", puts=(changed(grown, view),), kept=progress.kept)
    domain = view.domain(instance)
    if progress.stage == "noted" and domain is not None and domain.running:
        step = ShowGrowth(
            instance=instance.name,
            domain=domain_spec(view, grown),
            disk=volumes.spec(view, grown, op.disk, disk),
        )
        return Perform(work=Do(grown.primary_node, step), stage="shown", failed="shown", patience=5.0)
    return _fill(op, progress, view, grown, mirrored)


def resized(instance: InstanceRecord, index: int, size: int) -> InstanceRecord:
    """The instance with another size of a disk."""
    disks = list(instance.disks)
    disk = disks[index]
    # The data of a mirrored disk is as large as the disk, its metadata always the same.
    children = tuple(replace(child, size=size) if n == 0 else child for n, child in enumerate(disk.children))
    disks[index] = replace(disk, size=size, children=children)
    return replace(instance, disks=tuple(disks))


def _begin(op: InstanceGrowDisk, view: View, instance: InstanceRecord) -> Stage:
    if instance.disk_template not in GROWABLE:
        raise prereq("Instance's disk layout does not support growing")
    if op.disk >= len(instance.disks):
        has = f"has disks 0 to {len(instance.disks) - 1}" if instance.disks else "has no disks"
        raise prereq(f"Invalid disk index: {op.disk} (instance {has})")
    disk = instance.disks[op.disk]
    size = op.amount if op.absolute else disk.size + op.amount
    if size < disk.size:
        raise prereq(
            f"Requested size ({size}M) is smaller than current disk size ({disk.size}M)", "wrong_state"
        )
    if size > 1 << 40:
        raise prereq(f"Requested size ({size}M) is larger than a disk can be")
    volumes.check_nodes(view, instance)
    after = resized(instance, op.disk, size)
    if not op.ignore_ipolicy:
        policy.check(view, view.groups[primary(view, instance).group], after)
    # The metadata of a mirrored disk stays as it is.
    more = replace(disk, size=size - disk.size, children=_more(disk, size - disk.size))
    for node in volumes.sides(instance, disk):
        volumes.check_space(view, view.nodes[node], [more])
    text = f"Growing disk {op.disk} of instance '{instance.name}' by {size - disk.size}M to {size}M"
    return Change(stage="begun", kept={"uuid": instance.uuid, "size": size}, log=(text,))


def _more(disk: DiskRecord, more: int) -> tuple[DiskRecord, ...]:
    return tuple(replace(child, size=more if n == 0 else 0) for n, child in enumerate(disk.children))


def _looks(view: View, instance: InstanceRecord, index: int) -> Iterator[Do]:
    disk = instance.disks[index]
    for node in volumes.sides(instance, disk):
        spec = volumes.spec(view, instance, index, disk, node)
        yield Do(node, InspectDisks(instance=instance.name, disks=(spec,)))


def _rest(view: View, instance: InstanceRecord, mirrored: list[volumes.Indexed]) -> tuple[Do, ...]:
    """Disks that were not in use before are not in use afterwards."""
    return () if instance.disks_active else volumes.deactivations(view, instance, mirrored)


def _half_grown(op: InstanceGrowDisk, progress: Progress, view: View, instance: InstanceRecord) -> Finish:
    """The error; where a part is larger already, or may be, the rest is left over."""
    grown = resized(instance, op.disk, progress.kept["size"])
    sides = volumes.sides(instance, instance.disks[op.disk])
    outcomes = progress.outcomes[: len(sides)] or (None,) * len(sides)
    sizes = [None if o is None or o.disks[0] is None else o.disks[0]["size"] for o in outcomes]
    error = progress.error or OpExecError(f"Could not grow disk {op.disk} of {instance.name}")
    if all(size is not None and size < grown.disks[op.disk].size for size in sizes):
        return Finish(error=error)
    rest = tuple(
        Do(node, GrowVolume(instance=instance.name, disk=volumes.spec(view, grown, op.disk, disk, node)))
        for node, size in zip(sides, sizes, strict=True)
        for disk in [grown.disks[op.disk]]
        if size is None or size < disk.size
    )
    left = leftovers(rest, (), f"growing disk {op.disk} of {instance.name}")
    puts = (changed(grown, view), *left) if grown != instance else left
    return Finish(error=error, puts=puts, log=warnings(left, view))


def _fill(
    op: InstanceGrowDisk,
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    mirrored: list[volumes.Indexed],
) -> Stage:
    """Wait for what is new, where that is asked for."""
    told = sync.begun(instance)
    if progress.stage == "shown" and progress.error is not None:
        told = (f" - WARNING: The guest sees the growth from its next start on: {progress.error.text}", *told)
    match progress.stage:
        case "noted" | "shown" if op.wait_for_sync and mirrored:
            return Perform(work=volumes.waits(view, instance, disks=mirrored), stage="syncing", log=told)
        case "noted" | "shown" if op.wait_for_sync:
            return Finish(log=(*told, *sync.ended(instance)))
        case "syncing":
            state = sync.judged(instance, progress)
            if state.filling:
                work = volumes.waits(view, instance, disks=mirrored)
                return Perform(work=work, stage="syncing", log=state.log)
            work_left = InParallel(_rest(view, instance, mirrored))
            bad = (" - WARNING: Disk syncing has not returned a good status; check the instance",)
            log = state.log if not state.degraded else (*state.log, *bad)
            return Perform(work=work_left, stage="rested", failed="rested", log=log)
    return Finish()
