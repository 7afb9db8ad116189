"""``OP_BACKUP_PREPARE`` and ``OP_BACKUP_REMOVE`` (behaviour.md §6)."""

from typing import Any

from twisted_rapi.errors import OpExecError
from twisted_rapi.model.opcodes.backup import BackupPrepare, BackupRemove
from twisted_rapi.model.steps import CreateCertificate, RemoveExport
from twisted_rapi.plan import proofs
from twisted_rapi.plan.condition import answering, changed, primary, subject
from twisted_rapi.plan.locking import named
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

VALIDITY = 86400.0  # seconds a key is good for

_NOT_FOUND = (
    " - WARNING: Export not found. If it belongs to an instance that is gone, give the full name it had"
)


def plan_prepare(op: BackupPrepare, progress: Progress, view: View) -> Stage:
    """
    A local export needs nothing beforehand, one to another cluster a key and proof of the common secret.

    A cluster without such a secret gets one with its first key.
    """
    instance = subject(op.instance_name, progress, view)
    node = primary(view, instance)
    if progress.stage == "made":
        return Finish(result=_prepared(view, progress))
    answering(view, node)
    if op.mode == "local":
        return Finish()
    if progress.stage == "":
        secret = view.cluster.domain_secret or f"{view.chance.getrandbits(256):064x}"
        new = () if view.cluster.domain_secret else (changed(view.cluster, view, domain_secret=secret),)
        return Change(stage="keyed", puts=new, kept={"uuid": instance.uuid})
    step = CreateCertificate(instance=instance.name, common_name=node.name, validity=VALIDITY)
    log = (f"Generating X509 certificate on {node.name}",)
    return Perform(work=Do(node.uuid, step), stage="made", log=log)


def _prepared(view: View, progress: Progress) -> dict[str, Any]:
    outcome = progress.outcomes[0] if progress.outcomes else None
    if outcome is None:
        raise OpExecError("The key was not made")
    secret = view.cluster.domain_secret
    first, second = (proofs.new_salt(view) for _ in range(2))
    return {
        "handshake": proofs.handshake(secret, first),
        "x509_key_name": proofs.key_name(secret, outcome.path, second),
        "x509_ca": proofs.signed(secret, outcome.text, second),
    }


def plan_export_remove(op: BackupRemove, progress: Progress, view: View) -> Stage:
    """Remove the export from every node that has it; its instance may be gone."""
    name = named(view, op.instance_name)
    if progress.stage == "":
        there = [node for node, report in sorted(view.reports.items()) if name in report.exports]
        works = tuple(Do(node, RemoveExport(instance=name, export=name)) for node in there)
        return Perform(work=InParallel(works), stage="removed", kept={"found": bool(there)})
    return Finish(log=() if progress.kept.get("found") else (_NOT_FOUND,))
