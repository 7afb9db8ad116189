"""``OP_INSTANCE_ACTIVATE_DISKS`` and ``OP_INSTANCE_DEACTIVATE_DISKS``."""

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.instance import InstanceActivateDisks, InstanceDeactivateDisks
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan import sync, volumes
from twisted_rapi.plan.condition import answering, at_rest, changed, primary, subject
from twisted_rapi.plan.leftover import leftovers
from twisted_rapi.plan.stage import Change, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_activate_disks(op: InstanceActivateDisks, progress: Progress, view: View) -> Stage:
    """
    Make the disks usable on their nodes, and say where they are on the primary one.

    When that fails, disks that were not in use before are not in use afterwards.
    """
    instance = subject(op.instance_name, progress, view)
    match progress.stage:
        case "":
            answering(view, primary(view, instance))
            marked = () if instance.disks_active else (changed(instance, view, disks_active=True),)
            kept = {"uuid": instance.uuid, "marked": bool(marked)}
            return Change(stage="marked", puts=marked, kept=kept)
        case "marked":
            failed = "failed" if progress.kept.get("marked") else None
            return Perform(work=_activation(op, view, instance), stage="active", failed=failed)
        case "failed":
            work = InParallel(volumes.deactivations(view, instance))
            return Perform(work=work, stage="undone", failed="undone")
        case "undone":
            return _not_activated(view, instance, progress)
        case "active" if op.wait_for_sync:
            paths = {"paths": _paths(view, instance, progress)}
            return Perform(
                work=volumes.waits(view, instance), stage="syncing", kept=paths, log=sync.begun(instance)
            )
        case "syncing":
            state = sync.judged(instance, progress)
            if state.filling:
                return Perform(work=volumes.waits(view, instance), stage="syncing", log=state.log)
            return Finish(result=progress.kept["paths"], log=state.log)
    return Finish(result=_paths(view, instance, progress))


def _activation(op: InstanceActivateDisks, view: View, instance: InstanceRecord) -> InSequence:
    away = volumes.offline(view, instance)
    disks = volumes.all_disks(instance)
    return InSequence(volumes.activations(view, instance, disks, op.ignore_size, without=away))


def _paths(view: View, instance: InstanceRecord, progress: Progress) -> list[list[str | None]]:
    """The paths on the primary node, which the last outcomes tell."""
    name = primary(view, instance).name
    last = progress.outcomes[-len(instance.disks) :] if instance.disks else ()
    return [[name, f"disk/{n}", outcome.path if outcome else None] for n, outcome in enumerate(last)]


def _not_activated(view: View, instance: InstanceRecord, progress: Progress) -> Finish:
    reason = f"activation of the disks of {instance.name} failed"
    undone = volumes.deactivations(view, instance)
    return Finish(
        error=progress.error or OpExecError(f"Could not activate the disks of {instance.name}"),
        puts=(
            changed(instance, view, disks_active=False),
            *leftovers(undone, progress.outcomes, reason),
        ),
    )


def plan_deactivate_disks(op: InstanceDeactivateDisks, progress: Progress, view: View) -> Stage:
    """Stop using the disks of an instance that does not run."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage == "":
        if op.force:
            answering(view, primary(view, instance))
            domain = view.domain(instance)
            if domain is not None and domain.running:
                raise prereq(f"Instance '{instance.name}' is running, cannot shutdown disks", "wrong_state")
        else:
            at_rest(view, instance, "shutdown disks")
        away = volumes.offline(view, instance)
        works = tuple(do for do in volumes.deactivations(view, instance) if do.node not in away)
        return Perform(work=InSequence(works), stage="inactive", kept={"uuid": instance.uuid})
    return Finish(puts=(changed(instance, view, disks_active=False),) if instance.disks_active else ())
