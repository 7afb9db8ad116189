"""
``OP_INSTANCE_SET_PARAMS`` with another disk template.

``plain`` becomes ``drbd`` and back without copying; of others the data is copied
(`twisted_rapi.plan.convert_copy`).
"""

import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError
from twisted_rapi.model.opcodes.instance import InstanceSetParams
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import AdoptVolume, CreateVolume, DeleteVolume, ReleaseVolume
from twisted_rapi.plan import conversion, convert_copy, copying, disks, policy, sync, volumes
from twisted_rapi.plan.condition import at_rest, primary, subject
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

IN_PLACE = (("plain", "drbd"), ("drbd", "plain"))


def plan_convert(op: InstanceSetParams, progress: Progress, view: View) -> Stage:
    """Judge, then mirror the volumes or take the mirror away; or copy."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage in ("", "looked"):
        return _begin(op, progress, view, instance)
    before = msgspec.convert(progress.kept["before"], InstanceRecord)
    after = msgspec.convert(progress.kept["after"], InstanceRecord)
    if (before.disk_template, after.disk_template) not in IN_PLACE:
        return convert_copy.carry_on(op, progress, view, instance, before, after)
    if after.disk_template == "drbd":
        return _mirror(op, progress, view, instance, before, after)
    return _single(progress, view, before, after)


# Judging.


def _begin(op: InstanceSetParams, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    conversion.check_form(op, view, instance)
    at_rest(view, instance, "change disk template")
    how = (instance.disk_template, op.disk_template)
    if how in IN_PLACE:
        after = _unmirrored(instance) if op.disk_template == "plain" else _mirrored(op, view, instance)
    else:
        after = convert_copy.recast(op, view, instance)
    if progress.stage == "" and how != ("plain", "drbd") and instance.disks:
        look = volumes.looks(view, instance, instance.primary_node)
        return Perform(work=look, stage="looked", check=True)
    conversion.check_current(progress, instance)
    if not op.ignore_ipolicy:
        policy.check(view, view.groups[primary(view, instance).group], after)
    had, has = reservations(instance), reservations(after)
    reserved = [key for key in has if key not in had]
    kept = {
        "uuid": instance.uuid,
        "before": msgspec.to_builtins(instance),
        "after": msgspec.to_builtins(after),
        "reserved": reserved,
        "token": copying.new_token(view),
    }
    log = (f"Converting disk template from '{instance.disk_template}' to '{after.disk_template}'",)
    if how == ("drbd", "plain"):
        # The data is there: the record changes first, what is too much goes then.
        free = tuple(key for key in had if key not in has)
        return Change(
            stage="noted", puts=(conversion.noted(view, instance, after),), free=free, kept=kept, log=log
        )
    return Change(stage="begun", names=dict.fromkeys(reserved, instance.uuid), kept=kept, log=log)


def _unmirrored(instance: InstanceRecord) -> InstanceRecord:
    single = tuple(
        replace(
            disk,
            dev_type="plain",
            logical_id=disk.children[0].logical_id,
            children=(),
            params={},
            serial_no=disk.serial_no + 1,
        )
        for disk in instance.disks
    )
    return replace(instance, disk_template="plain", disks=single, secondary_nodes=())


def _mirrored(op: InstanceSetParams, view: View, instance: InstanceRecord) -> InstanceRecord:
    """The instance as it becomes; its volumes stay under their names as data."""
    new = conversion.secondary(op, view, instance)
    layout = disks.Layout(instance=instance.name, template="drbd")
    open_disks = []
    for n, disk in enumerate(instance.disks):
        drbd = disks.addressed(view, layout, n, disk, {"vg": disk.logical_id[0]})
        data, meta = drbd.children
        data = replace(data, logical_id=disk.logical_id)
        open_disks.append(replace(drbd, children=(data, meta), serial_no=disk.serial_no + 1))
    nodes = (instance.primary_node, new.uuid)
    placed = disks.placed(view, open_disks, nodes)
    volumes.check_space(view, primary(view, instance), [disk.children[1] for disk in placed])
    volumes.check_space(view, new, placed)
    return replace(instance, disk_template="drbd", disks=placed, secondary_nodes=(new.uuid,))


# Carrying out.


def _mirror(
    op: InstanceSetParams,
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    before: InstanceRecord,
    after: InstanceRecord,
) -> Stage:
    indexed = volumes.all_disks(after)
    match progress.stage:
        case "begun":
            return Perform(work=_sides(view, after), stage="made", failed="failed")
        case "failed":
            return Perform(work=InParallel(_undoing(view, after)), stage="undone", failed="undone")
        case "undone":
            undo = _undoing(view, after)
            left = leftovers(undo, progress.outcomes, f"conversion of {before.name} failed")
            error = progress.error or OpExecError(f"Could not convert the disks of {before.name}")
            free = tuple(progress.kept["reserved"])
            return Finish(error=error, puts=left, free=free, log=warnings(left, view))
        case "made" | "syncing":
            state = sync.judged(after, progress) if progress.stage == "syncing" else None
            if op.wait_for_sync and (state is None or state.filling):
                log = sync.begun(after) if state is None else state.log
                return Perform(work=volumes.waits(view, after), stage="syncing", failed="failed", log=log)
            # Where nobody waits both sides stay attached, so that they are filled.
            rest = volumes.deactivations(view, after, indexed) if op.wait_for_sync else ()
            log = state.log if state is not None else ()
            return Perform(work=InParallel(rest), stage="rested", failed="failed", log=log)
        case "rested":
            noted = conversion.noted(view, instance, after)
            noted = replace(noted, disks_active=instance.disks_active or not op.wait_for_sync)
            return Change(stage="noted", puts=(noted,), kept=progress.kept)
    return Finish(result=[("disk_template", after.disk_template)])


def _sides(view: View, after: InstanceRecord) -> InSequence:
    """The primary node's volumes become one side, the other one is made."""
    first, second = after.primary_node, after.secondary_nodes[0]
    indexed = volumes.all_disks(after)
    made = [
        Do(
            second,
            CreateVolume(instance=after.name, disk=volumes.spec(view, after, n, d, second), fresh=True),
        )
        for n, d in indexed
    ]
    adopted = [
        Do(first, AdoptVolume(instance=after.name, disk=volumes.spec(view, after, n, d, first)))
        for n, d in indexed
    ]
    return InSequence((*made, *adopted, *volumes.activations(view, after, indexed)))


def _undoing(view: View, after: InstanceRecord) -> tuple[Do, ...]:
    """The primary node's volumes are as they were, the other node has none."""
    first, second = after.primary_node, after.secondary_nodes[0]
    works = []
    for n, disk in volumes.all_disks(after):
        here, there = (volumes.spec(view, after, n, disk, node) for node in (first, second))
        works.append(Do(first, ReleaseVolume(instance=after.name, disk=here)))
        works.append(Do(second, DeleteVolume(instance=after.name, disk=there)))
    return tuple(works)


def _single(progress: Progress, view: View, before: InstanceRecord, after: InstanceRecord) -> Stage:
    gone = _undoing(view, before)
    if progress.stage == "noted":
        return Perform(work=InParallel(gone), stage="cleared", failed="cleared", patience=0.0)
    left = leftovers(gone, progress.outcomes, f"the mirror of {before.name}")
    return Finish(result=[("disk_template", after.disk_template)], puts=left, log=warnings(left, view))
