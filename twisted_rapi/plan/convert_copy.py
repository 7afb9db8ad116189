"""
Conversions between disk templates by copying the data, on the primary node, while the instance is down.

The old disks stay the instance's until the new ones are whole; what was begun is begun anew after a crash.
"""

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.instance import InstanceSetParams
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import VolumeEnd
from twisted_rapi.plan import conversion, disks, sync, volumes
from twisted_rapi.plan.condition import answering, primary
from twisted_rapi.plan.copying import Copy
from twisted_rapi.plan.disks import FILE_TEMPLATES, MIRRORED
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

UNCONVERTIBLE = ("blockdev", "diskless")
"""Templates whose disks cannot be made, or are none."""


def recast(op: InstanceSetParams, view: View, instance: InstanceRecord) -> InstanceRecord:
    """
    The instance as it becomes, with disks of the other template under addresses nothing had before.

    :raises OpPrereqError: it cannot be: ``wrong_input``, ``wrong_state``, ``environment_error``,
        ``insufficient_resources``.
    """
    template = _template(op, instance)
    node = primary(view, instance)
    if template not in answering(view, node).templates:
        raise prereq(f"Node '{node.name}' keeps no {template} disks", "environment_error")
    nodes = [node]
    if template in MIRRORED:
        nodes.append(conversion.secondary(op, view, instance))
    layout = disks.Layout(
        instance=instance.name,
        template=template,
        folder=disks.file_folder(view, template, op.file_storage_dir),
    )
    given = op.ext_params if template == "ext" else {}
    disks.check_keys(template, given)
    new = [
        replace(
            disks.addressed(view, layout, n, disk, given, name=view.new_uuid()), serial_no=disk.serial_no + 1
        )
        for n, disk in enumerate(instance.disks)
    ]
    placed = disks.placed(view, new, [each.uuid for each in nodes])
    for each in nodes:
        volumes.check_space(view, each, placed)
    others = tuple(each.uuid for each in nodes[1:])
    return replace(instance, disk_template=template, disks=placed, secondary_nodes=others)


def _template(op: InstanceSetParams, instance: InstanceRecord) -> str:
    """The wanted template, with what is given for it checked."""
    had, wanted = instance.disk_template, op.disk_template or ""
    if had in UNCONVERTIBLE:
        raise prereq(f"Conversion from the '{had}' disk template is not supported")
    if wanted in UNCONVERTIBLE:
        raise prereq(f"Conversion to the '{wanted}' disk template is not supported")
    if op.file_driver not in (None, "loop"):
        raise prereq(f"File driver '{op.file_driver}' is not offered by this release")
    if wanted not in FILE_TEMPLATES and (op.file_driver or op.file_storage_dir):
        raise prereq(f"A file driver or a folder of files means nothing for disk template '{wanted}'")
    if wanted not in MIRRORED and (op.remote_node or op.iallocator):
        raise prereq(f"Disk template '{wanted}' has no secondary node")
    return wanted


def carry_on(
    op: InstanceSetParams,
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    before: InstanceRecord,
    after: InstanceRecord,
) -> Stage:
    """Make the new disks, fill them, record them, remove the old ones."""
    copy = _copy_of(progress, view, before, after)
    match progress.stage:
        case "begun":
            made = (f"Creating {after.disk_template} disks on node {primary(view, after).name}",)
            return Perform(work=_opening(view, before, after, copy), stage="open", failed="failed", log=made)
        case "open":
            log = tuple(f"Copying data of disk {n}" for n in range(len(after.disks)))
            work = copy.transfers(view, progress) if after.disks else InParallel()
            return Perform(work=work, stage="copied", failed="failed", log=log)
        case "copied" | "syncing" if after.disk_template in MIRRORED:
            return _fill(op, progress, view, instance, after)
        case "copied" | "rested":
            return _record(op, view, instance, before, after)
        case "failed" | "undone":
            return _undo(progress, view, instance, before, after)
    gone = volumes.deletions(view, before, volumes.all_disks(before))
    if progress.stage == "noted":
        told = (f"Removing the {before.disk_template} disks",)
        return Perform(work=InParallel(gone), stage="cleared", failed="cleared", patience=0.0, log=told)
    left = leftovers(gone, progress.outcomes, f"disks {before.name} had before its conversion")
    return Finish(result=[("disk_template", after.disk_template)], puts=left, log=warnings(left, view))


def _copy_of(progress: Progress, view: View, before: InstanceRecord, after: InstanceRecord) -> Copy:
    node = before.primary_node
    ends = zip(volumes.specs(view, before, node), volumes.specs(view, after, node), strict=True)
    return Copy(
        instance=before.name,
        source=node,
        target=node,
        token=progress.kept["token"],
        ends=tuple((VolumeEnd(disk=old), VolumeEnd(disk=new)) for old, new in ends),
    )


def _opening(view: View, before: InstanceRecord, after: InstanceRecord, copy: Copy) -> InSequence:
    """The new disks are there, the old ones can be read, and the node listens."""
    made = volumes.creations(view, after, volumes.all_disks(after))
    return InSequence((*copy.ending(), made, *_reading(view, before), *copy.openings()))


def _mirrored(instance: InstanceRecord) -> tuple[volumes.Indexed, ...]:
    return volumes.all_disks(instance) if instance.disk_template in MIRRORED else ()


def _silent(view: View, instance: InstanceRecord) -> list[str]:
    """Secondary nodes that do not answer: what they have goes later."""
    return [node for node in instance.secondary_nodes if node not in view.reports]


def _reading(view: View, before: InstanceRecord) -> tuple[Do, ...]:
    return volumes.activations(view, before, _mirrored(before), without=_silent(view, before))


def _fill(
    op: InstanceSetParams, progress: Progress, view: View, instance: InstanceRecord, after: InstanceRecord
) -> Perform:
    """Wait until both sides have the data, where that is asked for; they rest then."""
    state = sync.judged(after, progress) if progress.stage == "syncing" else None
    if op.wait_for_sync and (state is None or state.filling):
        log = sync.begun(after) if state is None else state.log
        return Perform(work=volumes.waits(view, after), stage="syncing", failed="failed", log=log)
    rests = op.wait_for_sync and not instance.disks_active
    rest = volumes.deactivations(view, after) if rests else ()
    log = state.log if state is not None else ()
    return Perform(work=InParallel(rest), stage="rested", failed="failed", log=log)


def _record(
    op: InstanceSetParams,
    view: View,
    instance: InstanceRecord,
    before: InstanceRecord,
    after: InstanceRecord,
) -> Change:
    noted = conversion.noted(view, instance, after)
    if after.disk_template in MIRRORED and not op.wait_for_sync:
        noted = replace(noted, disks_active=True)
    had, has = reservations(before), reservations(noted)
    return Change(stage="noted", puts=(noted,), free=tuple(key for key in had if key not in has))


def _undo(
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    before: InstanceRecord,
    after: InstanceRecord,
) -> Stage:
    """Nothing is left of the new disks, and the old ones are as they were."""
    gone = volumes.deletions(view, after, volumes.all_disks(after))
    rest: tuple[Do, ...] = ()
    if not instance.disks_active:
        rest = volumes.deactivations(view, before, _mirrored(before))
    undo = (*_copy_of(progress, view, before, after).ending(), *gone, *rest)
    if progress.stage == "failed":
        work = InSequence((*undo[:1], InParallel(undo[1:])))
        return Perform(work=work, stage="undone", failed="undone")
    left = leftovers(undo, progress.outcomes, f"conversion of {before.name} failed")
    error = progress.error or OpExecError(f"Could not convert the disks of {before.name}")
    free = tuple(progress.kept["reserved"])
    return Finish(error=error, puts=left, free=free, log=warnings(left, view))
