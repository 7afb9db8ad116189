"""
``OP_BACKUP_EXPORT`` to another cluster (behaviour.md §6).

Note [One transfer].  The other cluster waits for each disk once.  So a master that takes over while disks are
under way does not begin again: it asks for the same transfers, by their tokens, and the node that carries
them out answers what came of them.  What stopped with its agent cannot be sent again, and fails.
"""

from typing import Any

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.backup import BackupExport
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import EndStreams, RemoveCertificate, SendStream
from twisted_rapi.plan import exporting, proofs
from twisted_rapi.plan.stage import Change, Do, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_remote(op: BackupExport, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    """Stop it if asked for, send its disks to who waits for them, remove it if asked for."""
    match progress.stage:
        case "":
            return _begin(op, view, instance)
        case "begun":
            return _stop(op, view, instance)
        case "stopped":
            return Change(stage="sending")
        case "sending":
            return _send(op, view, instance, progress)
        case "sent":
            return Change(stage="finished", log=exporting.each(instance, "disk/{} finished sending data"))
        case "finished":
            return _rest(op, view, instance, progress)
        case "rested":
            return exporting.concluded(op, view, instance, progress)
        case "unsent" | "failed" | "undone":
            return _undo(view, instance, progress)
    return exporting.remove(op, view, instance, progress)


def _begin(op: BackupExport, view: View, instance: InstanceRecord) -> Change:
    secret = view.cluster.domain_secret
    if not op.x509_key_name:
        raise prereq("Missing X509 key name for encryption")
    if not op.destination_x509_ca:
        raise prereq("Missing destination X509 CA")
    if not isinstance(op.target_node, list):
        raise prereq("The target of a remote export is where the other cluster waits for each disk")
    if len(op.target_node) != len(instance.disks):
        raise prereq(
            f"Received destination information for {len(op.target_node)} disks, "
            f"but instance {instance.name} has {len(instance.disks)} disks"
        )
    try:
        key = proofs.key_name_of(secret, op.x509_key_name)
    except proofs.Unproven as e:
        raise prereq(f"Invalid data for X509 key name: {e}") from e
    try:
        peer = proofs.certificate_of(secret, op.destination_x509_ca, view.now)
    except proofs.Unproven as e:
        raise prereq(f"Invalid destination X509 CA ({e})") from e
    exporting.check(op, view, instance)
    kept = {**exporting.kept(op, view, instance), "key": key, "peer": peer}
    kept["destinations"] = _destinations(secret, op.target_node)
    return Change(stage="begun", kept=kept, log=exporting.remarks(op, view, instance))


def _destinations(secret: str, given: list[Any]) -> list[list[Any]]:
    found = []
    for n, told in enumerate(given):
        try:
            where = proofs.destination_of(secret, n, told)
        except proofs.Unproven as e:
            raise prereq(f"Target info for disk {n}: {e}") from e
        found.append([where.host, where.port, where.magic])
    return found


def _end(instance: InstanceRecord) -> Do:
    """Nobody reads its disks any more."""
    return Do(instance.primary_node, EndStreams(instance=instance.name))


def _stop(op: BackupExport, view: View, instance: InstanceRecord) -> Perform:
    told = (f"Shutting down instance {instance.name}",) if op.shutdown else ()
    # A guest that was not to be stopped has its disks at hand.
    active: tuple[Do, ...] = ()
    if op.shutdown or not exporting.runs(view, instance):
        active = exporting.activations(view, instance)
    return Perform(
        work=InSequence((_end(instance), *exporting.stops(op, instance), *active)),
        stage="stopped",
        failed="failed",
        log=(*told, f"Activating disks for {instance.name}"),
    )


def _send(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Perform:
    """See Note [One transfer]."""
    kept = progress.kept
    sends, log = [], []
    sources = exporting.sources(view, instance)
    for n, (source, (host, port, magic)) in enumerate(zip(sources, kept["destinations"], strict=True)):
        step = SendStream(
            instance=instance.name,
            token=magic,
            source=source,
            host=host,
            name="",
            port=port,
            compress=op.compress,
            key=kept["key"],
            peer=kept["peer"],
        )
        sends.append(Do(kept["source"], step))
        log.append(f"Sending disk/{n} to {host}:{port}")
    return Perform(work=InParallel(tuple(sends)), stage="sent", failed="unsent", log=tuple(log))


def _rest(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Perform:
    """It runs again if it did before; the key is not needed any more."""
    again = bool(progress.kept.get("again")) and not op.remove_instance
    works, log = exporting.rest(view, instance, again)
    done = RemoveCertificate(instance=instance.name, name=progress.kept["key"])
    work = InSequence((*works, _end(instance), Do(progress.kept["source"], done)))
    return Perform(work=work, stage="rested", failed="rested", log=log)


def _undo(view: View, instance: InstanceRecord, progress: Progress) -> Perform:
    """The instance is as it was; the key stays for another attempt."""
    if progress.stage == "undone":
        reason = "" if progress.error is None else f": {progress.error.text}"
        bad = progress.kept.get("bad")
        what = f"disk export: disk(s) {', '.join(map(str, bad))}" if bad else "disk export"
        raise OpExecError(f"Export failed, errors in {what}{reason}")
    bad = []
    if progress.stage == "unsent":
        bad = [n for n, outcome in enumerate(progress.outcomes) if outcome is None]
    works, log = exporting.rest(view, instance, bool(progress.kept.get("again")))
    work = InSequence((_end(instance), *works))
    return Perform(work=work, stage="undone", failed="undone", log=log, kept={"bad": bad})
