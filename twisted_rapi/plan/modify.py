"""``OP_INSTANCE_SET_PARAMS`` (behaviour.md §4 for its result, observations for texts)."""

from collections.abc import Sequence

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.kvm_limits import remarks
from twisted_rapi.model.opcodes.instance import InstanceSetParams
from twisted_rapi.model.records import DetachedDiskRecord, DiskRecord, InstanceRecord, Params
from twisted_rapi.model.steps import SetMemory, VerifyOs
from twisted_rapi.plan import detached, devices, disks, hotplug, policy, sync, volumes
from twisted_rapi.plan.condition import (
    answering,
    at_rest,
    changed,
    known_osparams,
    primary,
    subject,
    usable_os,
)
from twisted_rapi.plan.convert import plan_convert
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.edits import DiskEdits, NicEdits, Result
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.naming import of_disk, reservations
from twisted_rapi.plan.new_primary import plan_new_primary
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_MAKING = ("judged", "failed", "undone", "made", "syncing", "rested", "joined", "unplugged")


@attrs.frozen(kw_only=True)
class _Modified:
    """
    What a modification comes to.

    :ivar values: the record's fields that have another value afterwards.
    :ivar new: disks to make; `gone`: disks to remove.
    :ivar attached: disks that were detached; `detached`: those that are from now on.
    :ivar reserve: name keys to reserve; `free`: name keys to free.
    :ivar lost: devices the running guest loses at once; `gained`: those it gets.
    """

    values: Params
    result: Result
    new: tuple[volumes.Indexed, ...] = ()
    gone: tuple[volumes.Indexed, ...] = ()
    attached: tuple[volumes.Indexed, ...] = ()
    detached: tuple[DetachedDiskRecord, ...] = ()
    reserve: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    lost: hotplug.Devices = hotplug.NONE
    gained: hotplug.Devices = hotplug.NONE

    def applied(self, instance: InstanceRecord) -> InstanceRecord:
        """The instance with these values."""
        whole = {field: getattr(instance, field) for field in InstanceRecord.__struct_fields__}
        return msgspec.convert({**msgspec.to_builtins(whole), **self.values}, InstanceRecord)


def plan_modify(op: InstanceSetParams, progress: Progress, view: View) -> Stage:
    """Judge the changes, make new disks, change the record, remove disks that went, balloon the memory."""
    if op.pnode is not None:
        return plan_new_primary(op, progress, view)
    if op.disk_template is not None:
        return plan_convert(op, progress, view)
    if progress.stage in ("", "verified"):
        return _begin(op, progress, view)
    instance = subject(op.instance_name, progress, view)
    modified = msgspec.convert(progress.kept["modified"], _Modified)
    if progress.stage in _MAKING:
        return _make(op, modified, progress, view, instance)
    if progress.stage == "recorded" and modified.gained:
        return _plug(view, instance, modified)
    if progress.stage in ("recorded", "plugged") and (modified.gone or modified.detached):
        work = InParallel(_clearing(view, instance, modified))
        return Perform(work=work, stage="removed", failed="removed")
    if progress.stage in ("recorded", "plugged", "removed") and op.runtime_mem is not None:
        return _balloon(instance, op.runtime_mem)
    if progress.stage == "removed":
        done = _clearing(view, instance, modified)
        left = leftovers(done, progress.outcomes, f"disks taken from {instance.name}")
        told = () if left else _told(modified, progress)
        return Finish(result=modified.result, puts=left, log=(*warnings(left, view), *told))
    return Finish(result=modified.result, log=_told(modified, progress))


def _clearing(view: View, instance: InstanceRecord, modified: _Modified) -> tuple[Do, ...]:
    """Remove the disks that went, stop using those that were detached."""
    loose = tuple(enumerate(record.disk for record in modified.detached))
    gone = volumes.deletions(view, instance, modified.gone)
    return (*gone, *volumes.deactivations(view, instance, loose))


def _plug(view: View, instance: InstanceRecord, modified: _Modified) -> Perform:
    """The guest gets what its record has now; it has it from its next start on, if not now."""
    works = hotplug.attach(view, instance, modified.gained)
    return Perform(work=InSequence(works), stage="plugged", failed="plugged", patience=5.0)


def _told(modified: _Modified, progress: Progress) -> tuple[str, ...]:
    if progress.error is not None:
        return hotplug.told(modified.gained, progress.error.text)
    return hotplug.told(modified.gained) or hotplug.told(modified.lost)


def _begin(op: InstanceSetParams, progress: Progress, view: View) -> Stage:
    """Judge the changes, reserve what the instance is to have to itself."""
    instance = view.instance(op.instance_name)
    after, result, edited = _after(op, view, instance)
    asked = sorted(record.uuid for record in edited.attached)
    looked = progress.kept.get("looked", [])
    if progress.stage == "" or looked != asked:
        works = _looks(op, view, after, edited)
        if works:
            seen = {"looked": asked}
            return Perform(work=InParallel(works), stage="verified", check=True, kept=seen)
    _check_looked(progress, view, after, edited)
    modified = _difference(instance, after, result, edited)
    if hotplug.wanted(op, view, instance):
        lost, gained = hotplug.differences(instance, after)
        modified = attrs.evolve(modified, lost=lost, gained=gained)
    kept = {"uuid": instance.uuid, "modified": msgspec.to_builtins(modified)}
    given = {name: after.hvparams[name] for name in op.hvparams if name in after.hvparams}
    log = tuple(f" - WARNING: {text}" for text in remarks(after.hypervisor, given))
    taken = tuple(replace(record, pending=progress.job) for record in edited.attached)
    names = dict.fromkeys(modified.reserve, instance.uuid)
    return Change(stage="judged", puts=taken, names=names, kept=kept, log=log)


def _difference(
    instance: InstanceRecord, after: InstanceRecord, result: Result, edited: DiskEdits
) -> _Modified:
    """What makes the instance what it is to be."""
    had, has = reservations(instance), reservations(after)
    same = {key for record in (*edited.attached, *edited.detached) for key in of_disk(record.disk)}
    before, now = ({disk.uuid for disk in i.disks} for i in (instance, after))
    asked, loose = ({record.uuid for record in records} for records in (edited.attached, edited.detached))
    return _Modified(
        values={
            field: msgspec.to_builtins(getattr(after, field))
            for field in InstanceRecord.__struct_fields__
            if getattr(after, field) != getattr(instance, field)
        },
        result=result,
        new=tuple((n, disk) for n, disk in enumerate(after.disks) if disk.uuid not in before | asked),
        gone=tuple((n, disk) for n, disk in enumerate(instance.disks) if disk.uuid not in now | loose),
        attached=tuple((n, disk) for n, disk in enumerate(after.disks) if disk.uuid in asked),
        detached=tuple(edited.detached),
        reserve=tuple(key for key in has if key not in had and key not in same),
        free=tuple(key for key in had if key not in has and key not in same),
    )


def _looks(op: InstanceSetParams, view: View, after: InstanceRecord, edited: DiskEdits) -> tuple[Do, ...]:
    """What has to be seen on the primary node beforehand: disks to attach, OS parameters that are right."""
    works: list[Do] = []
    if edited.attached:
        works.append(detached.look(view, after, [record.disk for record in edited.attached]))
    if (op.osparams or op.osparams_private) and not op.force:
        given = {**params.osparams(view.cluster, after), **params.private_osparams(view.cluster, after)}
        verify = VerifyOs(instance=after.name, os=after.os, osparams=given)
        works.append(Do(after.primary_node, verify))
    return tuple(works)


def _check_looked(progress: Progress, view: View, after: InstanceRecord, edited: DiskEdits) -> None:
    if edited.attached and progress.outcomes and progress.outcomes[0] is not None:
        wanted = [record.disk for record in edited.attached]
        detached.check_seen(view, after, wanted, progress.outcomes[0])


def _make(
    op: InstanceSetParams, modified: _Modified, progress: Progress, view: View, instance: InstanceRecord
) -> Stage:
    """Make the new disks, then change the record; what was begun is taken back when that fails."""
    undo = (
        *volumes.deletions(view, instance, modified.new),
        *volumes.deactivations(view, instance, modified.attached),
    )
    match progress.stage:
        case "judged" if modified.new:
            work = volumes.creations(view, instance, modified.new)
            return Perform(work=work, stage="made", failed="failed")
        case "made" | "syncing" if any(nodes_of(disk) for _, disk in modified.new):
            return _fill(op, modified, progress, view, instance)
        case "failed":
            again = hotplug.attach(view, instance, modified.lost)
            return Perform(work=InParallel((*undo, InSequence(again))), stage="undone", failed="undone")
        case "undone":
            error = progress.error or OpExecError(f"Could not add disks to {instance.name}")
            left = leftovers(undo, progress.outcomes[: len(undo)], f"adding disks to {instance.name} failed")
            back = tuple(detached.returned(view.detached[disk.uuid], disk) for _, disk in modified.attached)
            return Finish(error=error, puts=(*left, *back), free=modified.reserve, log=warnings(left, view))
    if modified.attached and instance.disks_active and progress.stage not in ("joined", "unplugged"):
        work = InSequence(volumes.activations(view, instance, modified.attached))
        return Perform(work=work, stage="joined", failed="failed")
    if modified.lost and progress.stage != "unplugged":
        # Before the record says so: a disk that the guest does not let go of stays its disk.
        works = hotplug.detach(view, instance, modified.lost)
        return Perform(work=InSequence(works), stage="unplugged", failed="failed")
    record = changed(modified.applied(instance), view)
    taken = tuple(view.detached[disk.uuid] for _, disk in modified.attached)
    return Change(stage="recorded", puts=(record, *modified.detached), deletes=taken, free=modified.free)


def _fill(
    op: InstanceSetParams, modified: _Modified, progress: Progress, view: View, instance: InstanceRecord
) -> Stage:
    """Wait for new mirrored disks, where that is asked for; those of an instance at rest rest then, too."""
    state = sync.judged(instance, progress) if progress.stage == "syncing" else None
    if op.wait_for_sync and (state is None or state.filling):
        log = sync.begun(instance) if state is None else state.log
        work = volumes.waits(view, instance, disks=modified.new)
        return Perform(work=work, stage="syncing", failed="failed", log=log)
    rest = () if instance.disks_active else volumes.deactivations(view, instance, modified.new)
    log = state.log if state is not None else ()
    return Perform(work=InParallel(rest), stage="rested", failed="failed", log=log)


def _balloon(instance: InstanceRecord, memory: int) -> Perform:
    step = SetMemory(
        instance=instance.name,
        hypervisor=instance.hypervisor,
        instance_uuid=instance.uuid,
        memory=memory,
    )
    log = ("Changing the memory of the guest",)
    return Perform(work=Do(instance.primary_node, step), stage="ballooned", log=log)


# Judging.


def _after(
    op: InstanceSetParams, view: View, instance: InstanceRecord
) -> tuple[InstanceRecord, Result, DiskEdits]:
    """The record afterwards, what is told of it, and which disks come and go."""
    _check_form(op)
    answering(view, primary(view, instance))
    result: Result = []
    nics = NicEdits(view, instance, op.conflicts_check)
    nics.apply(op.nics)
    hot = hotplug.wanted(op, view, instance)
    edited = DiskEdits(view, instance, op.file_driver, op.file_storage_dir, hot)
    edited.apply(op.disks)
    record = replace(edited.instance, nics=tuple(nics.items), disks=tuple(edited.items))
    record = _values(op, view, record, result)
    result[:0] = [*edited.result, *nics.result]
    record = _state(op, view, record, result)
    _judge(op, view, instance, record, edited)
    if not result:
        raise prereq("No changes submitted")
    return record, result, edited


def _check_form(op: InstanceSetParams) -> None:
    if op.ext_params:
        raise prereq("Parameters of a provider are for conversions to the disk template 'ext' only")
    if op.remote_node is not None:
        raise prereq("A secondary node is for conversions to a mirrored disk template only")
    if op.instance_communication:
        raise prereq("Instance communication is not offered by this release")


def _values(op: InstanceSetParams, view: View, record: InstanceRecord, result: Result) -> InstanceRecord:
    """Backend, hypervisor and OS parameters, and the OS."""
    hv = params.check_hv(record.hypervisor, op.hvparams, allow_default=True)
    be = params.check_be(op.beparams, allow_default=True)
    told = {name: be["maxmem"] if name == "memory" else be[name] for name in op.beparams}
    result += [(f"hv/{name}", value) for name, value in hv.items()]
    result += [(f"be/{name}", value) for name, value in told.items()]
    record = replace(
        record, hvparams=params.update(record.hvparams, hv), beparams=params.update(record.beparams, be)
    )
    return _os(op, view, record, result)


def _os(op: InstanceSetParams, view: View, record: InstanceRecord, result: Result) -> InstanceRecord:
    os = op.os_name or record.os
    public, private = params.check_os(op.osparams), params.check_os(op.osparams_private or {})
    if op.os_name is None and not public and not private:
        return record
    node = primary(view, record)
    definition = usable_os(view, node, os, op.force_variant) if not op.force or public else None
    if definition is not None:
        known_osparams(definition, {*public, *private}, node)
    if op.os_name is not None:
        result.append(("os", os))
    result += [(f"os/{name}", value) for name, value in public.items()]
    result += [(f"os_private/{name}", "<redacted>") for name in private]
    return replace(
        record,
        os=os,
        osparams=params.update(record.osparams, public),
        osparams_private=params.update(record.osparams_private, private),
    )


def _state(op: InstanceSetParams, view: View, record: InstanceRecord, result: Result) -> InstanceRecord:
    if op.runtime_mem is not None:
        filled = params.beparams(view.cluster, record)
        domain = view.domain(record)
        if domain is None or not domain.running:
            raise prereq(f"Instance '{record.name}' is not running", "wrong_state")
        if not op.force and not filled["minmem"] <= op.runtime_mem <= filled["maxmem"]:
            raise prereq(
                f"Instance {record.name} must have memory between "
                f"{filled['minmem']} and {filled['maxmem']} MiB"
            )
        result.append(("runtime_memory", op.runtime_mem))
    if op.offline is None:
        return record
    if op.offline:
        if record.admin_state != "offline":
            at_rest(view, record, "change the state to offline")
        result.append(("admin_state", "offline"))
        return replace(record, admin_state="offline")
    if record.admin_state == "offline":
        result.append(("admin_state", "down"))
        return replace(record, admin_state="down")
    return record


def _judge(
    op: InstanceSetParams, view: View, before: InstanceRecord, after: InstanceRecord, edited: DiskEdits
) -> None:
    filled = params.beparams(view.cluster, after)
    params.judge_be(filled)
    if len(after.disks) > disks.MAX_DISKS:
        raise prereq(f"Too many disks: at most {disks.MAX_DISKS}")
    if len(after.nics) > devices.MAX_NICS:
        raise prereq(f"Too many NICs: at most {devices.MAX_NICS}")
    node = primary(view, after)
    devices.check_bridges(view, after, before.nics)
    if not op.ignore_ipolicy:
        policy.check(view, view.groups[node.group], after)
    known = {*(disk.uuid for disk in before.disks), *(record.uuid for record in edited.attached)}
    _judge_room(op, view, before, after, [disk for disk in after.disks if disk.uuid not in known])


def _judge_room(
    op: InstanceSetParams,
    view: View,
    before: InstanceRecord,
    after: InstanceRecord,
    new: Sequence[DiskRecord],
) -> None:
    """Disk space for new disks; memory, when it is to go on running."""
    node = primary(view, after)
    report = answering(view, node)
    for uuid in (after.primary_node, *after.secondary_nodes) if new else ():
        volumes.check_space(view, view.nodes[uuid], new)
    if not op.force and after.admin_state == "up":
        had, has = (params.beparams(view.cluster, i)["maxmem"] for i in (before, after))
        more = has - had
        if more > report.memory_free:
            raise prereq(
                "This change will prevent the instance from starting, due to "
                f"{more - report.memory_free} MiB of memory missing on its primary node",
                "insufficient_resources",
            )
