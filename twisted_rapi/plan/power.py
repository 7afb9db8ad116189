"""Starting, stopping and rebooting instances, and removing them (behaviour.md §5)."""

from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.opcodes.instance import (
    InstanceReboot,
    InstanceRemove,
    InstanceShutdown,
    InstanceStartup,
)
from twisted_rapi.model.records import AdminState, InstanceRecord
from twisted_rapi.model.steps import StartDomain, StopDomain
from twisted_rapi.plan import volumes
from twisted_rapi.plan.belongings import records_of
from twisted_rapi.plan.condition import answering, changed, enough_memory, not_offline, primary, subject
from twisted_rapi.plan.devices import check_bridges
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def _marked(view: View, instance: InstanceRecord, state: AdminState) -> tuple[InstanceRecord, ...]:
    """The record with the wanted state, where that is a change."""
    if instance.admin_state == state and instance.disks_active == (state == "up"):
        return ()
    return (
        changed(instance, view, admin_state=state, admin_state_source="admin", disks_active=state == "up"),
    )


def stop_step(instance: InstanceRecord, timeout: int, force: bool = False, boot: str = "") -> StopDomain:
    """The step that stops the instance's domain."""
    return StopDomain(
        instance=instance.name,
        hypervisor=instance.hypervisor,
        instance_uuid=instance.uuid,
        timeout=timeout,
        force=force,
        boot=boot,
    )


def _start_step(view: View, instance: InstanceRecord, **more: Any) -> StartDomain:
    return StartDomain(instance=instance.name, domain=domain_spec(view, instance), **more)


def plan_startup(op: InstanceStartup, progress: Progress, view: View) -> Stage:
    """Mark it up, unless asked not to remember, then start it."""
    instance = subject(op.instance_name, progress, view)
    match progress.stage:
        case "":
            stage = _check_startup(op, view, instance)
            if stage is not None:
                return stage
            marked = () if op.no_remember else _marked(view, instance, "up")
            return Change(stage="marked", puts=marked, kept={"uuid": instance.uuid})
        case "marked" if volumes.followers(view, instance):
            return _follow(op, view, instance)
        case "marked" | "followed":
            once_hv = params.check_hv(instance.hypervisor, op.hvparams)
            once_be = params.check_be(op.beparams)
            start = StartDomain(
                instance=instance.name,
                domain=domain_spec(view, instance, hvparams=once_hv, beparams=once_be),
                paused=op.startup_paused,
            )
            return Perform(work=Do(instance.primary_node, start), stage="started")
    return Finish()


def _follow(op: InstanceStartup, view: View, instance: InstanceRecord) -> Perform:
    """Attach the other sides of mirrored disks; `force` goes on without those that do not answer."""
    away = volumes.offline(view, instance)
    return Perform(
        work=InParallel(volumes.followers(view, instance, without=away)),
        stage="followed",
        failed="followed" if op.force else None,
        log=tuple(f" - WARNING: Node {view.nodes[n].name} is offline: disks are degraded" for n in away),
    )


def _check_startup(op: InstanceStartup, view: View, instance: InstanceRecord) -> Finish | None:
    not_offline(instance, "start")
    once_be = {**params.beparams(view.cluster, instance), **params.check_be(op.beparams)}
    params.judge_be(once_be)
    params.check_hv(instance.hypervisor, op.hvparams)
    node = primary(view, instance)
    if op.ignore_offline_nodes and node.offline:
        marked = () if op.no_remember else _marked(view, instance, "up")
        return Finish(puts=marked, log=(" - WARNING: Ignoring offline primary node",))
    answering(view, node)
    check_bridges(view, instance)
    domain = view.domain(instance)
    if domain is None or not domain.running:
        enough_memory(view, instance, once_be["maxmem"])
    return None


def plan_shutdown(op: InstanceShutdown, progress: Progress, view: View) -> Stage:
    """Mark it down, unless asked not to remember, then stop it."""
    instance = subject(op.instance_name, progress, view)
    match progress.stage:
        case "":
            if not op.force:
                not_offline(instance, "shutdown")
            node = primary(view, instance)
            state: AdminState = "offline" if instance.admin_state == "offline" else "down"
            marked = () if op.no_remember else _marked(view, instance, state)
            if op.ignore_offline_nodes and node.offline:
                return Finish(puts=marked, log=(" - WARNING: Ignoring offline primary node",))
            answering(view, node)
            return Change(stage="marked", puts=marked, kept={"uuid": instance.uuid})
        case "marked":
            return Perform(work=Do(instance.primary_node, stop_step(instance, op.timeout)), stage="stopped")
        case "stopped" if volumes.releases(view, instance):
            # A side that could not be let go of is attached again when the instance starts.
            work = InParallel(volumes.releases(view, instance))
            return Perform(work=work, stage="released", failed="released", patience=0.0)
    return Finish()


def plan_reboot(op: InstanceReboot, progress: Progress, view: View) -> Stage:
    """
    Stop the boot that runs now and start another; one that is stopped is just started.

    The boot is noted before, so that asking again after a crash never ends the new one.
    """
    instance = subject(op.instance_name, progress, view)
    match progress.stage:
        case "":
            not_offline(instance, "reboot")
            answering(view, primary(view, instance))
            check_bridges(view, instance)
            domain = view.domain(instance)
            running = domain is not None and domain.running
            if not running:
                enough_memory(view, instance, params.beparams(view.cluster, instance)["maxmem"])
            kept = {"uuid": instance.uuid, "boot": domain.boot if domain is not None and running else ""}
            stopped = f" - INFO: Instance {instance.name} was already stopped, starting now"
            return Change(stage="begun", kept=kept, log=() if running else (stopped,))
        case "begun":
            boot = progress.kept["boot"]
            node = instance.primary_node
            stop = stop_step(instance, op.shutdown_timeout, force=op.reboot_type == "hard", boot=boot)
            away = [
                n
                for n in instance.secondary_nodes
                if view.nodes[n].offline or (op.ignore_secondaries and n not in view.reports)
            ]
            starts = (*volumes.followers(view, instance, away), Do(node, _start_step(view, instance)))
            return Perform(work=InSequence((Do(node, stop), *starts) if boot else starts), stage="restarted")
    return Finish(puts=_marked(view, instance, "up"))


def plan_remove(op: InstanceRemove, progress: Progress, view: View) -> Stage:
    """Stop it, remove its disks, forget it; with `ignore_failures` what could not be done is left over."""
    instance = subject(op.instance_name, progress, view)
    if instance.forthcoming:  # nothing of it is on any node
        return Finish(deletes=records_of(view, instance), free=tuple(reservations(instance)))
    node = primary(view, instance)
    away = volumes.offline(view, instance)
    whole = removal(view, instance, op.shutdown_timeout)
    # What secondary nodes keep that are marked offline is left for later, and nothing fails for it.
    works = tuple(sorted(whole, key=lambda do: do.node in away))
    match progress.stage:
        case "":
            if node.offline or node.uuid not in view.reports:
                if not op.ignore_failures:
                    answering(view, node)
                return forget(view, instance, works, progress)
            if not op.ignore_failures:
                volumes.check_nodes(view, instance, [n for n in instance.secondary_nodes if n not in away])
            down = _marked(view, instance, "down")
            return Change(stage="begun", puts=down, kept={"uuid": instance.uuid})
        case "begun":
            failed = "removed" if op.ignore_failures else None
            now = tuple(do for do in works if do.node not in away)
            return Perform(work=InSequence(now), stage="removed", failed=failed)
    return forget(view, instance, works, progress)


def removal(view: View, instance: InstanceRecord, timeout: int) -> tuple[Do, ...]:
    """In this order: a file is not taken away from under a guest that could not be stopped."""
    stop = Do(instance.primary_node, stop_step(instance, timeout))
    return (stop, *volumes.deletions(view, instance, volumes.all_disks(instance)))


def forget(view: View, instance: InstanceRecord, works: tuple[Do, ...], progress: Progress) -> Finish:
    """The end of a removal: the instance is gone, and what its `works` could not do is left over."""
    left = leftovers(works, progress.outcomes, f"removal of {instance.name}")
    log = warnings(left, view)
    return Finish(
        puts=left,
        deletes=records_of(view, instance),
        free=tuple(reservations(instance)),
        log=log if progress.error is None else (f" - WARNING: {progress.error.text}", *log),
    )
