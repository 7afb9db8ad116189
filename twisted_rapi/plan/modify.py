"""``OP_INSTANCE_SET_PARAMS`` (behaviour.md §4 for its result, observations for texts)."""

from typing import Any

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.instance import InstanceSetParams
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import CreateVolume, DeleteVolume, DiskSpec, SetMemory
from twisted_rapi.plan import devices, policy
from twisted_rapi.plan.condition import answering, at_rest, changed, known_osparams, primary, usable_os
from twisted_rapi.plan.edits import DiskEdits, NicEdits, Result
from twisted_rapi.plan.leftover import leftovers
from twisted_rapi.plan.machine import disk_spec, disk_specs
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View


@attrs.frozen(kw_only=True)
class _Modified:
    """What a modification comes to: the record afterwards, its result, disks to make and to remove."""

    record: InstanceRecord
    result: Result
    new: tuple[DiskSpec, ...] = ()
    gone: tuple[DiskSpec, ...] = ()


def plan_modify(op: InstanceSetParams, progress: Progress, view: View) -> Stage:
    """Judge the changes, make new disks, change the record, remove disks that went, balloon the memory."""
    if progress.stage == "":
        modified = _modified(op, view)
        kept = {
            "record": msgspec.to_builtins(modified.record),
            "result": modified.result,
            "new": msgspec.to_builtins(modified.new),
            "gone": msgspec.to_builtins(modified.gone),
        }
        return Change(stage="judged", kept=kept)
    record = msgspec.convert(progress.kept["record"], InstanceRecord)
    new = msgspec.convert(progress.kept["new"], tuple[DiskSpec, ...])
    gone = msgspec.convert(progress.kept["gone"], tuple[DiskSpec, ...])
    node = record.primary_node
    made = tuple(Do(node, CreateVolume(instance=record.name, disk=disk, fresh=True)) for disk in new)
    unmade = tuple(Do(node, DeleteVolume(instance=record.name, disk=disk)) for disk in new)
    removed = tuple(Do(node, DeleteVolume(instance=record.name, disk=disk)) for disk in gone)
    match progress.stage:
        case "judged" if made:
            return Perform(work=InParallel(made), stage="made", failed="failed")
        case "failed":
            return Perform(work=InParallel(unmade), stage="undone", failed="undone")
        case "undone":
            error = progress.error or OpExecError(f"Could not add disks to {record.name}")
            left = leftovers(unmade, progress.outcomes, f"adding disks to {record.name} failed")
            return Finish(error=error, puts=left)
        case "judged" | "made":
            return Change(stage="recorded", puts=(changed(record, view),), kept=progress.kept)
        case "recorded" if removed:
            return Perform(work=InParallel(removed), stage="removed", failed="removed")
        case "recorded" | "removed" if op.runtime_mem is not None:
            step = SetMemory(
                instance=record.name,
                hypervisor=record.hypervisor,
                instance_uuid=record.uuid,
                memory=op.runtime_mem,
            )
            return Perform(work=Do(node, step), stage="ballooned", log=("Changing the memory of the guest",))
    # Disks can only be taken from an instance at rest, and only a running one is ballooned: never both.
    if progress.stage == "removed":
        left = leftovers(removed, progress.outcomes, f"disks taken from {record.name}")
        return Finish(result=progress.kept["result"], puts=left)
    return Finish(result=progress.kept["result"])


def _modified(op: InstanceSetParams, view: View) -> _Modified:
    instance = view.instance(op.instance_name)
    _check_form(op)
    answering(view, primary(view, instance))
    result: list[tuple[str, Any]] = []
    nics = NicEdits(view, instance)
    nics.apply(op.nics)
    disks = DiskEdits(view, instance, op.file_driver, op.file_storage_dir)
    disks.apply(op.disks)
    record = replace(instance, nics=tuple(nics.items), disks=tuple(disks.items))
    record = _values(op, view, record, result)
    result[:0] = [*disks.result, *nics.result]
    record = _state(op, view, record, result)
    _judge(op, view, instance, record)
    if not result:
        raise prereq("No changes submitted")
    before = {disk.uuid for disk in instance.disks}
    after = {disk.uuid for disk in record.disks}
    return _Modified(
        record=record,
        result=result,
        new=tuple(disk_spec(n, d) for n, d in enumerate(record.disks) if d.uuid not in before),
        gone=tuple(spec for spec in disk_specs(instance) if spec.uuid not in after),
    )


def _check_form(op: InstanceSetParams) -> None:
    if op.disk_template is not None or op.ext_params:
        raise prereq("Conversion of disk templates is not offered by this release")
    if op.pnode is not None or op.remote_node is not None:
        raise prereq("A change of nodes is not offered by this opcode in this release")
    if op.instance_communication:
        raise prereq("Instance communication is not offered by this release")


def _values(
    op: InstanceSetParams, view: View, record: InstanceRecord, result: list[tuple[str, Any]]
) -> InstanceRecord:
    """Backend, hypervisor and OS parameters, and the OS."""
    hv = params.check_hv(record.hypervisor, op.hvparams, allow_default=True)
    be = params.check_be(op.beparams, allow_default=True)
    told = {**op.beparams} if "memory" in op.beparams else be
    result += [(f"hv/{name}", value) for name, value in hv.items()]
    result += [(f"be/{name}", value) for name, value in told.items()]
    record = replace(
        record, hvparams=params.update(record.hvparams, hv), beparams=params.update(record.beparams, be)
    )
    return _os(op, view, record, result)


def _os(
    op: InstanceSetParams, view: View, record: InstanceRecord, result: list[tuple[str, Any]]
) -> InstanceRecord:
    os = op.os_name or record.os
    private = op.osparams_private or {}
    if op.os_name is None and not op.osparams and not private:
        return record
    node = primary(view, record)
    definition = usable_os(view, node, os, op.force_variant) if not op.force or op.osparams else None
    if definition is not None:
        known_osparams(definition, {*op.osparams, *private}, node)
    if op.os_name is not None:
        result.append(("os", os))
    result += [(f"os/{name}", value) for name, value in op.osparams.items()]
    result += [(f"os_private/{name}", "<redacted>") for name in private]
    return replace(
        record,
        os=os,
        osparams=params.update(record.osparams, op.osparams),
        osparams_private=params.update(record.osparams_private, private),
    )


def _state(
    op: InstanceSetParams, view: View, record: InstanceRecord, result: list[tuple[str, Any]]
) -> InstanceRecord:
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


def _judge(op: InstanceSetParams, view: View, before: InstanceRecord, after: InstanceRecord) -> None:
    filled = params.beparams(view.cluster, after)
    params.judge_be(filled)
    if len(after.disks) > devices.MAX_DISKS:
        raise prereq(f"Too many disks: at most {devices.MAX_DISKS}")
    if len(after.nics) > devices.MAX_NICS:
        raise prereq(f"Too many NICs: at most {devices.MAX_NICS}")
    node = primary(view, after)
    devices.check_bridges(view, after)
    if not op.ignore_ipolicy:
        policy.check(view, view.groups[node.group], after)
    report = answering(view, node)
    grown = sum(d.size for d in after.disks if d.uuid not in {b.uuid for b in before.disks})
    if grown > report.disk_free:
        raise prereq(
            f"Not enough disk space on target node {node.name}: required {grown} MiB, "
            f"available {report.disk_free} MiB",
            "insufficient_resources",
        )
    if not op.force and after.admin_state == "up":
        more = filled["maxmem"] - params.beparams(view.cluster, before)["maxmem"]
        if more > report.memory_free:
            raise prereq(
                "This change will prevent the instance from starting, due to "
                f"{more - report.memory_free} MiB of memory missing on its primary node",
                "insufficient_resources",
            )
