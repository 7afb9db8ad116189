"""
Making an instance of one of another cluster: its disks are sent here (behaviour.md §6).

Note [Who waits].  Where this cluster waits for each disk, and with which key, is in the job's log for whoever
carries the move out, and in the store by the same commit: a master that takes over waits for the same
transfers.

Note [Who has it].  The other cluster is told that all has come (`ConfirmStream`) once it is in the store that
the instance stays here: only then may it remove its own.  Where it is not clear whether it knows, the
instance is kept by both, and does not run here.
"""

from typing import Any

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import InstanceRecord, Params
from twisted_rapi.model.steps import (
    AwaitStream,
    ConfirmStream,
    CreateCertificate,
    EndStreams,
    OpenStream,
    RemoveCertificate,
    ScriptEnd,
    StreamEnd,
    VolumeEnd,
)
from twisted_rapi.plan import copying, proofs
from twisted_rapi.plan.backups import VALIDITY
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.naming import host_name
from twisted_rapi.plan.stage import Change, Do, Entry, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

CONNECT = 180.0  # seconds for the other cluster to connect, once its instance has stopped
ENTRY = "remote-import"
_HELD = (
    "the other cluster may not know that all has come, and may have started the instance again: "
    "it is not started here"
)


def check(op: InstanceCreate, view: View) -> None:
    """
    Whether who asks shares this cluster's secret, and says what is needed.

    :raises OpPrereqError: ``wrong_input``.
    """
    secret = view.cluster.domain_secret
    if not op.source_handshake:
        raise prereq("Missing source handshake")
    try:
        proofs.check_handshake(secret, op.source_handshake)
    except proofs.Unproven as e:
        raise prereq(f"Invalid handshake: {e}") from e
    if not op.source_x509_ca:
        raise prereq("Missing source X509 CA")
    _peer(op, view)
    if not op.source_instance_name:
        raise prereq("Missing source instance name")
    host_name(op.source_instance_name)
    copying.check_compression(view, op.compress)


def _peer(op: InstanceCreate, view: View) -> str:
    try:
        return proofs.certificate_of(view.cluster.domain_secret, op.source_x509_ca or "", view.now)
    except proofs.Unproven as e:
        raise prereq(f"Invalid source X509 CA ({e})") from e


def kept(op: InstanceCreate, view: View, job: int) -> Params:
    """What is noted when it begins."""
    token = copying.new_token(view)
    return {"remote": {"token": token, "key": f"x509-{job}-{token[:16]}", "peer": _peer(op, view)}}


STAGES = ("opened", "listening", "received", "taken", "confirmed", "unconfirmed", "settled", "ended")


def carried_on(op: InstanceCreate, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    """What follows when its node listens: say where, wait for what comes, and tell that it is here."""
    match progress.stage:
        case "opened":
            return _tell(view, instance, progress)
        case "listening":
            log = tuple(f"disk/{n} is now listening" for n in range(len(instance.disks)))
            works = tuple(
                Do(instance.primary_node, AwaitStream(instance=instance.name, token=_magic(progress, n)))
                for n in range(len(instance.disks))
            )
            return Perform(work=InParallel(works), stage="received", failed="failed", log=log)
        case "received":
            told = tuple(f"disk/{n} finished receiving data" for n in range(len(instance.disks)))
            return Change(stage="taken", kept=progress.kept, log=told)
        case "taken":
            works = tuple(
                Do(instance.primary_node, ConfirmStream(instance=instance.name, token=_magic(progress, n)))
                for n in range(len(instance.disks))
            )
            return Perform(work=InParallel(works), stage="confirmed", failed="unconfirmed")
        case "confirmed":
            return Change(stage="settled", kept=progress.kept)
        case "unconfirmed":
            kept = {**progress.kept, "held": True}
            return Change(stage="settled", kept=kept, log=(f" - WARNING: {_HELD}",))
        case "settled":
            return Perform(work=InSequence(ending(instance, progress)), stage="ended", failed="ended")
    assert progress.stage == "ended", progress.stage
    left = leftovers(ending(instance, progress), progress.outcomes, f"a key of {instance.name}")
    return Change(stage="installed", kept=progress.kept, puts=left, log=warnings(left, view))


def opened(
    op: InstanceCreate, view: View, instance: InstanceRecord, progress: Progress, log: tuple[str, ...]
) -> Perform:
    """Have the node listen, with a key of its own."""
    remote = progress.kept["remote"]
    node = view.nodes[instance.primary_node]
    made = CreateCertificate(
        instance=instance.name, common_name=node.name, validity=VALIDITY, name=remote["key"]
    )
    spec = domain_spec(view, instance, osparams=dict(instance.osparams_private))
    openings = []
    for n, disk in enumerate(spec.disks):
        into: StreamEnd = ScriptEnd(domain=spec, index=n) if instance.os else VolumeEnd(disk=disk)
        step = OpenStream(
            instance=instance.name,
            token=_magic(progress, n),
            into=into,
            compress=op.compress,
            key=remote["key"],
            peer=remote["peer"],
            patience=min(CONNECT + op.source_shutdown_timeout, VALIDITY),
        )
        openings.append(Do(node.uuid, step))
    end = Do(node.uuid, EndStreams(instance=instance.name))
    told = f"* preparing remote import from instance {op.source_instance_name}..."
    work = InSequence((end, Do(node.uuid, made), *openings))
    return Perform(work=work, stage="opened", failed="failed", log=(*log, told))


def _magic(progress: Progress, n: int) -> str:
    return f"{progress.kept['remote']['token']}-{n}"


def _tell(view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """See Note [Who waits]."""
    _, made, *openings = progress.outcomes
    if made is None or None in openings:
        raise OpExecError("The node does not listen")
    secret = view.cluster.domain_secret
    host = view.nodes[instance.primary_node].agent_host
    disks: list[Any] = []
    for n, outcome in enumerate(openings):
        assert outcome is not None, "looked at before"
        where = proofs.Destination(host, outcome.port, _magic(progress, n))
        disks.append(proofs.destination(secret, n, where, proofs.new_salt(view)))
    value = {"disks": disks, "x509_ca": proofs.signed(secret, made.text, proofs.new_salt(view))}
    return Change(stage="listening", kept=progress.kept, entries=(Entry(ENTRY, value),))


def ending(instance: InstanceRecord, progress: Progress) -> tuple[Do, ...]:
    """Nobody listens any more, and the key is gone."""
    gone = RemoveCertificate(instance=instance.name, name=progress.kept["remote"]["key"])
    return (
        Do(instance.primary_node, EndStreams(instance=instance.name)),
        Do(instance.primary_node, gone),
    )
