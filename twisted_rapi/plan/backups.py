"""``OP_BACKUP_PREPARE`` and ``OP_BACKUP_REMOVE``."""

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.backup import BackupPrepare, BackupRemove
from twisted_rapi.model.steps import RemoveExport
from twisted_rapi.plan.condition import answering, primary
from twisted_rapi.plan.locking import named
from twisted_rapi.plan.stage import Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_NOT_FOUND = (
    " - WARNING: Export not found. If it belongs to an instance that is gone, give the full name it had"
)


def plan_prepare(op: BackupPrepare, progress: Progress, view: View) -> Stage:
    """A local export needs nothing beforehand."""
    instance = view.instance(op.instance_name)
    answering(view, primary(view, instance))
    if op.mode == "remote":
        raise prereq("Exports to other clusters are not offered by this release")
    return Finish()


def plan_export_remove(op: BackupRemove, progress: Progress, view: View) -> Stage:
    """Remove the export from every node that has it; its instance may be gone."""
    name = named(view, op.instance_name)
    if progress.stage == "":
        there = [node for node, report in sorted(view.reports.items()) if name in report.exports]
        works = tuple(Do(node, RemoveExport(instance=name, export=name)) for node in there)
        return Perform(work=InParallel(works), stage="removed", kept={"found": bool(there)})
    return Finish(log=() if progress.kept.get("found") else (_NOT_FOUND,))
