"""``OP_BACKUP_EXPORT`` to a node of this cluster (behaviour.md §6; texts as observed)."""

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.backup import BackupExport
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import BeginExport, DumpEnd, FinishExport, RemoveExport
from twisted_rapi.plan import export_config, exporting, remote_export
from twisted_rapi.plan.condition import answering, subject
from twisted_rapi.plan.copying import Copy
from twisted_rapi.plan.stage import Change, Do, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_export(op: BackupExport, progress: Progress, view: View) -> Stage:
    """
    Stop it if asked for, have its disks dumped, make the export whole, remove older ones elsewhere.

    Until it is whole nothing is changed, and after a crash it is made anew.
    """
    instance = subject(op.instance_name, progress, view)
    if op.mode == "remote":
        return remote_export.plan_remote(op, progress, view, instance)
    if progress.stage == "":
        return _begin(op, view, instance)
    target = view.nodes[progress.kept["target"]]
    copy = _copy(op, view, instance, progress)
    match progress.stage:
        case "begun" | "stopped" | "open":
            return _transfer(op, view, instance, progress, copy)
        case "copied":
            return _finalize(view, instance, target)
        case "finished" | "rested":
            return _tidy(op, view, instance, progress)
        case "cleaned":
            return exporting.concluded(op, view, instance, progress)
        case "failed" | "undone":
            return _undo(view, instance, progress, copy)
    return exporting.remove(op, view, instance, progress)


def _begin(op: BackupExport, view: View, instance: InstanceRecord) -> Change:
    if not isinstance(op.target_node, str):
        raise prereq("The target of a local export is the name of a node")
    target = view.node(op.target_node)
    answering(view, target)
    exporting.check(op, view, instance)
    kept = {**exporting.kept(op, view, instance), "target": target.uuid}
    return Change(stage="begun", kept=kept, log=exporting.remarks(op, view, instance))


def _copy(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Copy:
    ends = tuple(
        (source, DumpEnd(export=instance.name, file=export_config.dump_name(n)))
        for n, source in enumerate(exporting.sources(view, instance))
    )
    return Copy(
        instance=instance.name,
        source=progress.kept["source"],
        target=progress.kept["target"],
        token=progress.kept["token"],
        ends=ends,
        compress=op.compress,
    )


def _transfer(
    op: BackupExport, view: View, instance: InstanceRecord, progress: Progress, copy: Copy
) -> Perform:
    source, target = (view.nodes[node].name for node in (copy.source, copy.target))
    if progress.stage == "begun":
        works = (*copy.ending(), *copy.ended(), *exporting.stops(op, instance))
        told = (f"Shutting down instance {instance.name}",) if op.shutdown else ()
        return Perform(work=InSequence(works), stage="stopped", failed="failed", log=told)
    if progress.stage == "stopped":
        begun = Do(copy.target, BeginExport(instance=instance.name, export=instance.name))
        active = () if exporting.runs(view, instance) else exporting.activations(view, instance)
        return Perform(
            work=InSequence((*active, begun, *copy.openings())),
            stage="open",
            failed="failed",
            log=(
                f"Activating disks for {instance.name}",
                *exporting.each(instance, f"Exporting disk/{{}} from {source} to {target}"),
            ),
        )
    log = exporting.each(instance, "disk/{} is now listening, starting export")
    return Perform(work=copy.transfers(view, progress), stage="copied", failed="failed", log=log)


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


def _tidy(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Perform:
    if progress.stage == "finished":
        again = bool(progress.kept.get("again")) and not op.remove_instance
        works, log = exporting.rest(view, instance, again)
        return Perform(work=InSequence(works), stage="rested", failed="rested", log=log)
    old = [
        Do(node, RemoveExport(instance=instance.name, export=instance.name))
        for node, report in sorted(view.reports.items())
        if node != progress.kept["target"] and instance.name in report.exports
    ]
    log = (f"Removing old exports for instance {instance.name}",)
    return Perform(work=InParallel(tuple(old)), stage="cleaned", failed="cleaned", log=log)


def _undo(view: View, instance: InstanceRecord, progress: Progress, copy: Copy) -> Stage:
    """No half of an export is left, and the instance is as it was."""
    if progress.stage == "failed":
        half = Do(copy.target, RemoveExport(instance=instance.name, export=instance.name, half=True))
        works, log = exporting.rest(view, instance, bool(progress.kept.get("again")))
        work = InParallel((InSequence((*copy.ending(), half)), InSequence((*copy.ended(), *works))))
        return Perform(work=work, stage="undone", failed="undone", log=log)
    reason = "" if progress.error is None else f": {progress.error.text}"
    raise OpExecError(f"Export failed, errors in disk export or its finalization{reason}")
