"""``OP_INSTANCE_REPLACE_DISKS``: the sides of mirrored disks are renewed, or the secondary node changes."""

from collections.abc import Sequence

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.moving import InstanceReplaceDisks
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import CreateVolume, RenewVolume
from twisted_rapi.plan import filling, secondary, volumes
from twisted_rapi.plan.allocation.consult import CONSULTED
from twisted_rapi.plan.condition import subject
from twisted_rapi.plan.disks import MIRRORED
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_replace_disks(op: InstanceReplaceDisks, progress: Progress, view: View) -> Stage:
    """Judge, then renew the sides on one node or make them on a new one; wait until they are filled."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage in ("", CONSULTED, "looked"):
        return _begin(op, progress, view, instance)
    if "after" in progress.kept:
        return secondary.carry_on(op, progress, view, instance)
    return _renew(op, progress, view, instance)


# Judging.


def _begin(op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    _check_form(op, instance)
    if op.mode == "replace_new_secondary":
        return secondary.begin(op, progress, view, instance)
    volumes.check_nodes(view, instance)
    indexes = _indexes(op, instance)
    if op.mode == "replace_auto":
        if progress.stage == "":
            works = (instance.primary_node, *instance.secondary_nodes)
            looks = tuple(volumes.looks(view, instance, node) for node in works)
            return Perform(work=InParallel(looks), stage="looked", check=True)
        node, indexes = _faulty(progress, view, instance)
        if not indexes:
            return Finish(log=(f"No disks need replacement for instance '{instance.name}'",))
    elif op.mode == "replace_on_primary":
        node = instance.primary_node
    else:
        [node] = instance.secondary_nodes
    volumes.check_space(view, view.nodes[node], [instance.disks[n] for n in indexes])
    kept = {"uuid": instance.uuid, "node": node, "disks": indexes, "token": view.new_uuid()}
    return Change(stage="begun", kept=kept, log=filling.announced(view, instance, indexes))


def _check_form(op: InstanceReplaceDisks, instance: InstanceRecord) -> None:
    if len(instance.secondary_nodes) != 1 or instance.disk_template not in MIRRORED:
        raise prereq(
            "The instance has a strange layout, expected one secondary "
            f"but found {len(instance.secondary_nodes)}",
            "internal_error",
        )
    given = op.remote_node is not None or op.iallocator is not None
    if op.mode != "replace_new_secondary" and given:
        raise prereq("The iallocator and new node options can only be used when changing the secondary node")
    if op.mode == "replace_new_secondary" and op.remote_node is not None and op.iallocator is not None:
        raise prereq("Do not specify both, iallocator and node")
    if op.mode in ("replace_auto", "replace_new_secondary") and op.disks:
        raise prereq("Cannot specify disks to be replaced")


def _indexes(op: InstanceReplaceDisks, instance: InstanceRecord) -> list[int]:
    for n in op.disks:
        if n >= len(instance.disks):
            raise prereq(f"Invalid disk index: {n} (instance has disks 0 to {len(instance.disks) - 1})")
    return sorted(set(op.disks)) or list(range(len(instance.disks)))


def _faulty(progress: Progress, view: View, instance: InstanceRecord) -> tuple[str, list[int]]:
    """The node whose sides are broken, and of which disks; none where all is well."""
    found: dict[str, list[int]] = {}
    nodes = (instance.primary_node, *instance.secondary_nodes)
    for node, outcome in zip(nodes, progress.outcomes, strict=True):
        states = outcome.disks if outcome is not None else ()
        if any(state is not None and not state.get("active", True) for state in states):
            raise prereq(f"Please run activate-disks on instance {instance.name} first", "wrong_state")
        broken = [n for n, state in enumerate(states) if state is None or state.get("ldisk") == "faulty"]
        if broken:
            found[node] = broken
    if len(found) > 1:
        raise prereq(
            f"Instance {instance.name} has faulty disks on more than one node "
            "and can not be repaired automatically",
            "wrong_state",
        )
    return next(iter(found.items()), (instance.primary_node, []))


# Renewing the sides on one node.


def _renew(op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    chosen = [(n, instance.disks[n]) for n in progress.kept["disks"]]
    match progress.stage:
        case "begun":
            node, token = progress.kept["node"], progress.kept["token"]
            renewals = tuple(
                Do(
                    node,
                    RenewVolume(
                        instance=instance.name,
                        disk=volumes.spec(view, instance, n, disk, node),
                        token=f"{token}/{n}",
                    ),
                )
                for n, disk in chosen
            )
            made = _missing(view, instance, chosen, node)
            work = InSequence((*made, *volumes.activations(view, instance, chosen), *renewals))
            last = 5 if op.early_release else 4
            log = filling.steps(1, last, op.early_release)
            return Perform(work=work, stage="renewed", failed="failed", log=log)
        case "failed":
            return Perform(work=InParallel(filling.rest(view, instance)), stage="rested", failed="rested")
        case "renewed" | "syncing":
            filled = filling.fill(op, progress, view, instance)
            if isinstance(filled, Perform):
                return filled
            # What was renewed and cannot be filled is told; the other side, which is whole, is not touched.
            kept = {"broken": filling.broken(instance)} if filled.degraded else {}
            work_left = InParallel(filling.rest(view, instance))
            return Perform(work=work_left, stage="rested", failed="rested", log=filled.log, kept=kept)
    broken = progress.kept.get("broken")
    return Finish(error=progress.error or (OpExecError(broken) if broken else None))


def _missing(
    view: View, instance: InstanceRecord, chosen: Sequence[volumes.Indexed], node: str
) -> tuple[Do, ...]:
    """A side that is gone is made again; one that is there is kept."""
    return tuple(
        Do(node, CreateVolume(instance=instance.name, disk=volumes.spec(view, instance, n, disk, node)))
        for n, disk in chosen
    )
