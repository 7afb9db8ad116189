"""Reinstalling and renaming instances: where their OS definition runs again."""

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.instance import InstanceReinstall, InstanceRename
from twisted_rapi.model.records import InstanceRecord, name_key
from twisted_rapi.model.steps import MoveVolume, RunOs, VerifyOs
from twisted_rapi.plan import volumes
from twisted_rapi.plan.condition import at_rest, changed, known_osparams, primary, subject, usable_os
from twisted_rapi.plan.disks import FILE_TEMPLATES
from twisted_rapi.plan.leftover import leftovers
from twisted_rapi.plan.machine import disk_spec, domain_spec
from twisted_rapi.plan.naming import host_name
from twisted_rapi.plan.stage import (
    Change,
    Do,
    DryRun,
    Finish,
    InParallel,
    InSequence,
    Perform,
    Progress,
    Stage,
    steps_of,
)
from twisted_rapi.plan.view import View


def plan_reinstall(op: InstanceReinstall, progress: Progress, view: View) -> Stage:
    """Check the OS definition and its parameters, note them, run it on the disks."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage in ("", "verified"):
        wanted = _reinstalled(op, view, instance)
        if progress.stage == "":
            given = {
                **params.osparams(view.cluster, wanted),
                **params.private_osparams(view.cluster, wanted),
                **(op.osparams_secret or {}),
            }
            verify = VerifyOs(instance=instance.name, os=wanted.os, osparams=given)
            return Perform(work=Do(instance.primary_node, verify), stage="verified", check=True)
        log = (f"Changing OS scripts to '{wanted.os}'...",) if wanted.os != instance.os else ()
        puts = () if wanted == instance else (changed(wanted, view),)
        return Change(stage="noted", puts=puts, log=log, kept={"uuid": instance.uuid})
    if progress.stage == "noted":
        private = params.private_osparams(view.cluster, instance)
        spec = domain_spec(view, instance, osparams={**private, **(op.osparams_secret or {})})
        run = RunOs(
            instance=instance.name, action="create", domain=spec, reinstall=True, debug=op.debug_level or 0
        )
        log = (" - INFO: Running instance OS create scripts...",)
        return Perform(work=_run(view, instance, run), stage="installed", log=log)
    return Finish()


def _run(view: View, instance: InstanceRecord, run: RunOs) -> InSequence:
    """Run a script on the disks, their other sides attached meanwhile."""
    away = volumes.offline(view, instance)
    follow = volumes.followers(view, instance, without=away)
    released = tuple(do for do in volumes.releases(view, instance) if do.node not in away)
    return InSequence((*follow, Do(instance.primary_node, run), *released))


def _reinstalled(op: InstanceReinstall, view: View, instance: InstanceRecord) -> InstanceRecord:
    at_rest(view, instance, "reinstall")
    if instance.disk_template == "diskless" and not instance.disks:
        raise prereq(f"Instance '{instance.name}' has no disks")
    node = primary(view, instance)
    os = op.os_type or instance.os
    if not os:
        raise prereq(f"Instance '{instance.name}' has no OS and none was given")
    if {os, os.partition("+")[0]} & set(view.cluster.blacklisted_os):
        raise prereq(f"Guest OS '{os}' is blacklisted", "wrong_state")
    definition = usable_os(view, node, os, op.force_variant)
    known_osparams(
        definition, {*(op.osparams or {}), *(op.osparams_private or {}), *(op.osparams_secret or {})}, node
    )
    return replace(
        instance,
        os=os,
        osparams=params.update(instance.osparams, params.check_os(op.osparams or {})),
        osparams_private=params.update(instance.osparams_private, params.check_os(op.osparams_private or {})),
    )


def plan_rename(op: InstanceRename, progress: Progress, view: View) -> Stage:
    """
    Reserve the new name, move the disks' files, give the instance its name, tell its OS.

    A failed move is taken back; a failed script is only a warning, as the instance has its new name then.
    """
    if progress.stage == "":
        return _reserve(op, view)
    instance = subject(op.instance_name, progress, view)
    old, new = progress.kept["old"], progress.kept["new"]
    match progress.stage:
        case "reserved":
            work = _moves(instance, old, new)
            return Perform(work=work, stage="moved", failed="unmoved")
        case "unmoved":
            return Perform(work=_moves_back(instance, old, new), stage="back", failed="back")
        case "back":
            error = progress.error or OpExecError(f"Could not rename {old}")
            done = tuple(steps_of(_moves_back(instance, old, new)))
            left = leftovers(done, progress.outcomes, f"renaming of {old} failed")
            return Finish(error=error, puts=left, free=(name_key("instance", new),))
        case "moved":
            return Change(
                stage="renamed",
                puts=(changed(_renamed(instance, old, new), view),),
                free=(name_key("instance", old),),
                kept=progress.kept,
            )
        case "renamed" if instance.os:
            private = params.private_osparams(view.cluster, instance)
            spec = domain_spec(view, instance, osparams=private)
            run = RunOs(instance=new, action="rename", domain=spec, old_name=old)
            return Perform(work=_run(view, instance, run), stage="told", failed="told")
    log = (
        ()
        if progress.error is None
        else (f" - WARNING: Could not run OS rename script: {progress.error.text}",)
    )
    return Finish(result=new, log=log)


def _reserve(op: InstanceRename, view: View) -> Stage:
    instance = view.instance(op.instance_name)
    if op.ip_check:  # the checks have been made otherwise
        raise prereq("IP address check requires a name check")
    new = host_name(op.new_name)
    if new in view.names["instance"] and new != instance.name:
        raise prereq(f"Instance '{new}' is already in the cluster", "already_exists")
    at_rest(view, instance, "rename")
    if new == instance.name:
        return Finish(result=new)
    kept = {"uuid": instance.uuid, "old": instance.name, "new": new}
    change = Change(stage="reserved", names={name_key("instance", new): instance.uuid}, kept=kept)
    return DryRun(result=None, then=change)


def _moved(path: str, old: str, new: str) -> str:
    """The path of a disk's file below the folder of the instance's new name."""
    folder, _, file = path.rpartition("/")
    base, _, name = folder.rpartition("/")
    return f"{base}/{new}/{file}" if name == old else path


def _renamed(instance: InstanceRecord, old: str, new: str) -> InstanceRecord:
    disks = tuple(
        replace(disk, logical_id=(disk.logical_id[0], _moved(disk.logical_id[1], old, new)))
        if disk.dev_type in FILE_TEMPLATES
        else disk
        for disk in instance.disks
    )
    return replace(instance, name=new, disks=disks)


def _moves(instance: InstanceRecord, old: str, new: str) -> InSequence:
    """The steps that give each disk its address under the name `new`; `instance` has the name `old`."""
    return InSequence(_each_moved(instance, old, _renamed(instance, old, new)))


def _moves_back(instance: InstanceRecord, old: str, new: str) -> InParallel:
    """The steps that take `_moves` back, each whether or not another can be."""
    return InParallel(_each_moved(_renamed(instance, old, new), old, instance))


def _each_moved(before: InstanceRecord, name: str, after: InstanceRecord) -> tuple[Do, ...]:
    """Steps for the disks whose addresses differ; `name` is what the nodes know the instance by."""
    pairs = enumerate(zip(before.disks, after.disks, strict=True))
    return tuple(
        Do(
            before.primary_node,
            MoveVolume(instance=name, disk=disk_spec(n, disk), to=tuple(moved.logical_id)),
        )
        for n, (disk, moved) in pairs
        if tuple(disk.logical_id) != tuple(moved.logical_id)
    )
