"""``OP_INSTANCE_MOVE``: an instance goes to another node by copying its disks (behaviour.md §5)."""

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.moving import InstanceMove
from twisted_rapi.model.records import InstanceRecord, LeftoverRecord
from twisted_rapi.model.steps import CreateVolume, StartDomain, VolumeEnd
from twisted_rapi.plan import copying, relocation, volumes
from twisted_rapi.plan.condition import answering, enough_memory, primary, subject
from twisted_rapi.plan.copying import Copy
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.power import stop_step
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

COPYABLE = ("file", "plain")  # constants.json disk_templates


def plan_move(op: InstanceMove, progress: Progress, view: View) -> Stage:
    """
    Stop it, copy its disks, record where it is now, remove what it leaves behind, start it again.

    When the copy fails it is where it was, and runs if it did; after a crash it is made anew.
    """
    instance = subject(op.instance_name, progress, view)
    if progress.stage == "":
        return _begin(op, view, instance)
    target = view.nodes[progress.kept["target"]]
    match progress.stage:
        case "begun" | "stopped" | "open":
            return _copy(op, view, instance, progress)
        case "copied":
            puts = relocation.recorded(view, instance, target.uuid)
            return Change(stage="recorded", puts=puts)
        case "recorded":
            log = (f"Removing the disks on the original node {view.nodes[progress.kept['source']].name}",)
            work = InParallel(_removals(view, instance, progress))
            return Perform(work=work, stage="removed", failed="removed", log=log)
        case "removed":
            left: tuple[LeftoverRecord, ...] = leftovers(
                _removals(view, instance, progress), progress.outcomes, f"disks {instance.name} left behind"
            )
            return Change(stage="cleared", puts=left, log=warnings(left, view))
        case "cleared" if instance.admin_state == "up":
            log = (f"Starting instance {instance.name} on node {target.name}",)
            return Perform(work=_start(view, instance), stage="started", log=log)
        case "failed" | "undone":
            return _undo(view, instance, progress)
    return Finish()


class _Asked:
    """What `relocation.check_target` wants to know."""

    target_node: str | None = None
    iallocator: str | None = None

    def __init__(self, ignore_ipolicy: bool) -> None:
        self.ignore_ipolicy = ignore_ipolicy


def _begin(op: InstanceMove, view: View, instance: InstanceRecord) -> Change:
    if instance.disk_template not in COPYABLE:
        text = f"Disk template {instance.disk_template} not suitable for copying"
        raise prereq(text, "wrong_state")
    source, target = primary(view, instance), view.node(op.target_node)
    if target.uuid == source.uuid:
        raise prereq(f"Instance {instance.name} is already on the node {target.name}", "wrong_state")
    copying.check_compression(view, op.compress)
    answering(view, source)
    relocation.check_target(_Asked(op.ignore_ipolicy), view, instance, target)
    copying.check_machines(view, instance, source, target)
    volumes.check_space(view, target, instance.disks)
    if instance.admin_state == "up":
        there = relocation.moved(instance, target.uuid)
        enough_memory(view, there, params.beparams(view.cluster, instance)["maxmem"])
    kept = {"uuid": instance.uuid, "source": source.uuid, "target": target.uuid}
    kept["token"] = copying.new_token(view)
    return Change(stage="begun", kept=kept)


def _copy_of(op: InstanceMove | None, view: View, instance: InstanceRecord, progress: Progress) -> Copy:
    source, target = progress.kept["source"], progress.kept["target"]
    here, there = (volumes.specs(view, instance, node) for node in (source, target))
    return Copy(
        instance=instance.name,
        source=source,
        target=target,
        token=progress.kept["token"],
        ends=tuple((VolumeEnd(disk=a), VolumeEnd(disk=b)) for a, b in zip(here, there, strict=True)),
        compress="none" if op is None else op.compress,
    )


def _copy(op: InstanceMove, view: View, instance: InstanceRecord, progress: Progress) -> Perform:
    copy = _copy_of(op, view, instance, progress)
    source, target = (view.nodes[node].name for node in (copy.source, copy.target))
    if progress.stage == "begun":
        stop = Do(copy.source, stop_step(instance, op.shutdown_timeout))
        log: tuple[str, ...] = (f"Shutting down instance {instance.name} on source node {source}",)
        # A guest that could not be stopped goes on where it is.
        return Perform(work=InSequence((*copy.ending(), *copy.ended(), stop)), stage="stopped", log=log)
    if progress.stage == "stopped":
        made = tuple(
            Do(copy.target, CreateVolume(instance=instance.name, disk=disk, fresh=True))
            for disk in volumes.specs(view, instance, copy.target)
        )
        work = InSequence((InParallel(made), *copy.openings()))
        return Perform(work=work, stage="open", failed="failed", log=(f"Creating disks on node {target}",))
    log = tuple(f"Copying data for disk {n}" for n in range(len(instance.disks)))
    return Perform(work=copy.transfers(view, progress), stage="copied", failed="failed", log=log)


def _removals(view: View, instance: InstanceRecord, progress: Progress) -> tuple[Do, ...]:
    """Remove the disks on the source, where the record no longer is."""
    before = relocation.moved(instance, progress.kept["source"])
    return volumes.deletions(view, before, volumes.all_disks(before))


def _start(view: View, instance: InstanceRecord) -> Do:
    start = StartDomain(instance=instance.name, domain=domain_spec(view, instance))
    return Do(instance.primary_node, start)


def _undo(view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """Nothing is left at the target, and the instance runs where it was, if it should."""
    copy = _copy_of(None, view, instance, progress)
    there = relocation.moved(instance, copy.target)
    made = (*copy.ending(), *volumes.deletions(view, there, volumes.all_disks(there)))
    back = (_start(view, instance),) if instance.admin_state == "up" else ()
    works = (InSequence(made), InSequence((*copy.ended(), *back)))
    if progress.stage == "failed":
        log = (f"Removing what was copied to {view.nodes[copy.target].name}",)
        return Perform(work=InParallel(works), stage="undone", failed="undone", log=log)
    left: tuple[LeftoverRecord, ...] = leftovers(
        made, progress.outcomes[: len(made)], f"move of {instance.name} failed"
    )
    error = progress.error or OpExecError(f"Could not copy the disks of {instance.name}")
    return Finish(error=error, puts=left, log=warnings(left, view))
