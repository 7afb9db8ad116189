"""``OP_BACKUP_EXPORT`` to a node of this cluster (behaviour.md §6; texts as observed)."""

from typing import Any

import attrs

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.backup import BackupExport
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import (
    BeginExport,
    DumpEnd,
    FinishExport,
    RemoveExport,
    ScriptEnd,
    StartDomain,
    StreamEnd,
    VolumeEnd,
)
from twisted_rapi.plan import copying, export_config, power, volumes
from twisted_rapi.plan.condition import answering, changed, primary, subject, usable_os
from twisted_rapi.plan.copying import Copy
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_export(op: BackupExport, progress: Progress, view: View) -> Stage:
    """
    Stop it if asked for, have its disks dumped, make the export whole, remove older ones elsewhere.

    Until it is whole nothing is changed, and after a crash it is made anew.
    """
    instance = subject(op.instance_name, progress, view)
    if progress.stage == "":
        return _begin(op, view, instance)
    target = view.nodes[progress.kept["target"]]
    copy = _copy(op, view, instance, progress)
    match progress.stage:
        case "begun" | "stopped" | "open":
            return _transfer(op, view, instance, progress, copy)
        case "copied":
            return _finalize(view, instance, target)
        case "finished" | "rested" | "cleaned":
            return _tidy(op, view, instance, progress)
        case "failed" | "undone":
            return _undo(view, instance, progress, copy)
    return _remove(op, view, instance, progress)


def _begin(op: BackupExport, view: View, instance: InstanceRecord) -> Change:
    if op.mode != "local":
        raise prereq("Exports to other clusters are not offered by this release")
    if not isinstance(op.target_node, str):
        raise prereq("The target of a local export is the name of a node")
    if op.remove_instance and not op.shutdown:
        raise prereq("Can not remove instance without shutting it down before")
    if op.zero_free_space:
        raise prereq("Zeroing free space is not offered by this release")
    copying.check_compression(view, op.compress)
    source, target = primary(view, instance), view.node(op.target_node)
    answering(view, target)
    volumes.check_nodes(view, instance)
    if instance.os:
        usable_os(view, source, instance.os, force_variant=True)
    domain = view.domain(instance)
    runs = domain is not None and domain.running
    kept = {
        "uuid": instance.uuid,
        "source": source.uuid,
        "target": target.uuid,
        "token": copying.new_token(view),
        # What runs now is to run again, though nobody wants it to.
        "again": runs and op.shutdown,
    }
    log: tuple[str, ...] = ()
    if runs and not op.shutdown:
        log = (f" - WARNING: Instance {instance.name} runs: its dumps may not be consistent",)
    return Change(stage="begun", kept=kept, log=log)


def _copy(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Copy:
    ends: list[tuple[StreamEnd, StreamEnd]] = []
    spec = domain_spec(view, instance, osparams=dict(instance.osparams_private))
    for n, disk in enumerate(spec.disks):
        source: StreamEnd = ScriptEnd(domain=spec, index=n) if instance.os else VolumeEnd(disk=disk)
        ends.append((source, DumpEnd(export=instance.name, file=export_config.dump_name(n))))
    return Copy(
        instance=instance.name,
        source=progress.kept["source"],
        target=progress.kept["target"],
        token=progress.kept["token"],
        ends=tuple(ends),
        compress=op.compress,
    )


def _each(instance: InstanceRecord, text: str) -> tuple[str, ...]:
    return tuple(text.format(n) for n in range(len(instance.disks)))


def _transfer(
    op: BackupExport, view: View, instance: InstanceRecord, progress: Progress, copy: Copy
) -> Perform:
    source, target = (view.nodes[node].name for node in (copy.source, copy.target))
    if progress.stage == "begun":
        stop: list[Do] = []
        if op.shutdown:
            stop.append(Do(copy.source, power.stop_step(instance, op.shutdown_timeout)))
        told = (f"Shutting down instance {instance.name}",) if op.shutdown else ()
        return Perform(work=InSequence((*copy.ending(), *stop)), stage="stopped", failed="failed", log=told)
    if progress.stage == "stopped":
        begun = Do(copy.target, BeginExport(instance=instance.name, export=instance.name))
        active = () if _runs(view, instance) else _activations(view, instance)
        return Perform(
            work=InSequence((*active, begun, *copy.openings())),
            stage="open",
            failed="failed",
            log=(
                f"Activating disks for {instance.name}",
                *_each(instance, f"Exporting disk/{{}} from {source} to {target}"),
            ),
        )
    log = _each(instance, "disk/{} is now listening, starting export")
    return Perform(work=copy.transfers(view, progress), stage="copied", failed="failed", log=log)


def _runs(view: View, instance: InstanceRecord) -> bool:
    domain = view.domain(instance)
    return domain is not None and domain.running


def _activations(view: View, instance: InstanceRecord) -> tuple[Do, ...]:
    away = volumes.offline(view, instance)
    return volumes.activations(view, instance, volumes.all_disks(instance), without=away)


def _finalize(view: View, instance: InstanceRecord, target: NodeRecord) -> Perform:
    config = export_config.written(view, instance, view.now)
    finish = FinishExport(instance=instance.name, export=instance.name, config=config)
    log = [
        text
        for n in range(len(instance.disks))
        for text in (f"disk/{n} finished receiving data", f"disk/{n} finished sending data")
    ]
    log.append(f"Finalizing export on {target.name}")
    return Perform(work=Do(target.uuid, finish), stage="finished", failed="failed", log=tuple(log))


def _rest(view: View, instance: InstanceRecord, progress: Progress) -> tuple[tuple[Do, ...], tuple[str, ...]]:
    """The guest runs again if it did before, and disks nobody uses are let go of."""
    if progress.kept.get("again"):
        start = StartDomain(instance=instance.name, domain=domain_spec(view, instance))
        starting = (*volumes.followers(view, instance), Do(instance.primary_node, start))
        return starting, (f"Starting instance {instance.name}",)
    if instance.disks_active or _runs(view, instance):
        return (), ()
    return volumes.deactivations(view, instance), (f"Deactivating disks for {instance.name}",)


def _tidy(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    match progress.stage:
        case "finished":
            if op.remove_instance:  # it is not to run again
                progress = attrs.evolve(progress, kept={**progress.kept, "again": False})
            works, log = _rest(view, instance, progress)
            return Perform(work=InSequence(works), stage="rested", failed="rested", log=log)
        case "rested":
            old = [
                Do(node, RemoveExport(instance=instance.name, export=instance.name))
                for node, report in sorted(view.reports.items())
                if node != progress.kept["target"] and instance.name in report.exports
            ]
            log = (f"Removing old exports for instance {instance.name}",)
            return Perform(work=InParallel(tuple(old)), stage="cleaned", failed="cleaned", log=log)
    trouble: tuple[str, ...] = ()
    if progress.error is not None:
        trouble = (f" - WARNING: {progress.error.text}",)
    if op.remove_instance:
        down = changed(instance, view, admin_state="down", disks_active=False)
        return Change(stage="removing", puts=(down,), log=(*trouble, f"Removing instance {instance.name}"))
    return Finish(result=_result(instance), log=trouble)


def _result(instance: InstanceRecord) -> list[Any]:
    return [True, [True] * len(instance.disks)]


def _remove(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """The instance is not needed any more; what is left of it when that fails is said."""
    works = power.removal(view, instance, op.shutdown_timeout)
    if progress.stage == "removing":
        failed = "gone" if op.ignore_remove_failures else None
        return Perform(work=InSequence(works), stage="gone", failed=failed)
    done = power.forget(view, instance, works, progress)
    return Finish(
        result=_result(instance), puts=done.puts, deletes=done.deletes, free=done.free, log=done.log
    )


def _undo(view: View, instance: InstanceRecord, progress: Progress, copy: Copy) -> Stage:
    """No half of an export is left, and the instance is as it was."""
    if progress.stage == "failed":
        half = Do(copy.target, RemoveExport(instance=instance.name, export=instance.name, half=True))
        rest, log = _rest(view, instance, progress)
        work = InParallel((InSequence((*copy.ending(), half)), InSequence(rest)))
        return Perform(work=work, stage="undone", failed="undone", log=log)
    reason = "" if progress.error is None else f": {progress.error.text}"
    raise OpExecError(f"Export failed, errors in disk export or its finalization{reason}")
