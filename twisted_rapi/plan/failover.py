"""
``OP_INSTANCE_FAILOVER`` (behaviour.md §5): the guest is stopped where it is and started where it goes.

Note [Never twice].  It is started elsewhere only once its node says that it stopped, or where an operator
says that its node is dead: the node is marked offline, or ``ignore_consistency`` is given.  What that node
may still run is then left to be stopped as soon as it answers.
"""

from attrs import evolve

from twisted_rapi.errors import OpExecError
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.moving import InstanceFailover
from twisted_rapi.model.records import InstanceRecord, LeftoverRecord
from twisted_rapi.model.steps import StartDomain
from twisted_rapi.plan import cleaning, dead_locks, relocation, volumes
from twisted_rapi.plan.allocation.consult import CONSULTED
from twisted_rapi.plan.condition import answering, enough_memory, primary, subject
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.power import stop_step
from twisted_rapi.plan.stage import Change, Do, Finish, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_STILL_LOCKED = " - WARNING: Could not break them; the instance waits until Ceph misses who has them"
_DEGRADED = "Disk {} is degraded on target node, aborting failover"


def plan_failover(op: InstanceFailover, progress: Progress, view: View) -> Stage:
    """Stop it, record where it is now, start it there if it should run."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage in ("", CONSULTED, relocation.INSPECTED):
        if op.cleanup:
            return cleaning.begin(view, instance, op.target_node, "failovers")
        return begin(op, progress, view, instance, op.ignore_consistency)
    if progress.kept.get("cleanup"):
        return cleaning.carry_on(view, instance, progress)
    return carry_on(view, instance, progress, op.shutdown_timeout, op.ignore_consistency)


def begin(
    op: relocation.Relocation,
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    ignore_consistency: bool,
) -> Change | Perform:
    """
    Note where it goes, once all that can be judged has been; an allocator script may have to say where.

    :param ignore_consistency: the target's side may be old, too.
    :raises OpPrereqError: it cannot.
    :raises OpExecError: the target's side of a disk is not whole.
    """
    relocation.check_template(instance, "failovers")
    source = primary(view, instance)
    if not _given_up(view, instance, ignore_consistency):
        answering(view, source)
    starts = instance.admin_state == "up"
    memory = params.beparams(view.cluster, instance)["maxmem"] if starts else 0
    target = relocation.target(op, progress, view, instance, memory)
    if isinstance(target, Perform):
        return target
    relocation.check_target(op, view, instance, target)
    if starts:
        enough_memory(view, relocation.moved(instance, target.uuid), memory)
    if not ignore_consistency:
        look = relocation.inspect(view, instance, target, progress)
        if look is not None:
            return look
        # Where the primary node is given up, or the disks are not in use, there is no link to be whole.
        linked = instance.disks_active and not source.offline
        relocation.check_sides(instance, progress, linked, _DEGRADED)
    domain = view.domain(instance)
    boot = domain.boot if domain is not None else ""
    kept = {"uuid": instance.uuid, "source": source.uuid, "target": target.uuid, "boot": boot}
    log = (f"Failing over instance {instance.name}", "* checking disk consistency between source and target")
    return Change(stage="begun", kept=kept, log=log if starts else log[:1])


def _given_up(view: View, instance: InstanceRecord, ignore_consistency: bool) -> bool:
    """Whether an operator says that the node is dead."""
    return ignore_consistency or primary(view, instance).offline


def carry_on(
    view: View, instance: InstanceRecord, progress: Progress, timeout: int, ignore_consistency: bool
) -> Stage:
    """
    The stages after `begin`.

    :param timeout: seconds the guest has to stop by itself.
    """
    source, target = (progress.kept[end] for end in ("source", "target"))
    match progress.stage:
        case "begun":
            gives_up = ignore_consistency or view.nodes[source].offline
            return Perform(
                work=InSequence(_stopping(view, instance, source, timeout)),
                stage="stopped",
                failed="abandoned" if gives_up else None,
                patience=5.0 if gives_up else 30.0,
                log=(
                    "* shutting down instance on source node",
                    "* deactivating the instance's disks on source node",
                ),
            )
        case "stopped":
            return Change(stage="recorded", puts=relocation.recorded(view, instance, target))
        case "abandoned":
            return _abandoned(view, instance, progress)
        case "recorded" if instance.admin_state == "up":
            breaking = dead_locks.breaking(view, instance, source)
            return breaking or _start(view, instance, source, ignore_consistency)
        case "unlocked" | "locked":
            started = _start(view, instance, source, ignore_consistency)
            told = (_STILL_LOCKED,) if progress.stage == "locked" else ()
            return evolve(started, log=(*told, *started.log))
    return Finish(log=("* done",))


def _stopping(view: View, instance: InstanceRecord, source: str, timeout: int) -> tuple[Do, ...]:
    stop = Do(source, stop_step(instance, timeout))
    return (stop, *relocation.deactivations(view, instance, source))


def _abandoned(view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """The node is silent, and an operator says that it is dead; a node that answers is not."""
    source, target = (progress.kept[end] for end in ("source", "target"))
    error = progress.error or OpExecError("it did not answer")
    if source in view.reports and progress.outcomes[:1] == (None,):
        raise error
    # What it ran when it was last heard of; it may have another boot of the instance one day.
    stop = Do(source, stop_step(instance, 0, boot=progress.kept["boot"]))
    steps = (stop, *relocation.deactivations(view, instance, source))
    left: tuple[LeftoverRecord, ...] = leftovers(
        steps, progress.outcomes, f"instance {instance.name} was failed over from a node that did not answer"
    )
    name = view.nodes[source].name
    told = (
        f" - WARNING: Could not shutdown instance {instance.name} on node {name}, proceeding anyway; "
        f"please make sure node {name} is down; error details: {error.text}"
    )
    puts = (*relocation.recorded(view, instance, target), *left)
    return Change(stage="recorded", puts=puts, log=(told, *warnings(left, view)))


def _start(view: View, instance: InstanceRecord, source: str, ignore_consistency: bool) -> Perform:
    node = view.nodes[instance.primary_node]
    start = Do(node.uuid, StartDomain(instance=instance.name, domain=domain_spec(view, instance)))
    works: tuple[Do, ...] = ()
    if any(nodes_of(disk) for disk in instance.disks):
        away = [n for n in instance.secondary_nodes if n not in view.reports or view.nodes[n].offline]
        disks = volumes.all_disks(instance)
        works = volumes.activations(view, instance, disks, without=away, force=ignore_consistency)
    return Perform(
        work=InSequence((*works, start)),
        stage="started",
        log=(
            f"* activating the instance's disks on target node {node.name}",
            f"* starting the instance on the target node {node.name}",
        ),
    )
