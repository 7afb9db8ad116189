"""``OP_INSTANCE_REPLACE_DISKS``: the sides of mirrored disks are renewed, or the secondary node changes."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.moving import InstanceReplaceDisks
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NodeRecord
from twisted_rapi.model.steps import CreateVolume, DeleteVolume, RenewVolume
from twisted_rapi.plan import policy, sync, volumes
from twisted_rapi.plan.condition import answering, changed, primary, subject
from twisted_rapi.plan.disks import MIRRORED, nodes_of, reconnected, usage
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.place import Demand, place
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_STEPS = (
    "Check device existence",
    "Check peer consistency",
    "Allocate new storage",
    "Changing drbd configuration",
)
_LAST = ("Sync devices", "Removing old storage")


def plan_replace_disks(op: InstanceReplaceDisks, progress: Progress, view: View) -> Stage:
    """Judge, then renew the sides on one node or make them on a new one; wait until they are filled."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage in ("", "looked"):
        return _begin(op, progress, view, instance)
    if "after" in progress.kept:
        return _move(op, progress, view, instance)
    return _renew(op, progress, view, instance)


def _steps(first: int, last: int, early: bool) -> tuple[str, ...]:
    """What is told of the steps with these numbers."""
    names = (*_STEPS, *(reversed(_LAST) if early else _LAST))
    return tuple(f"STEP {n}/{len(names)} {names[n - 1]}" for n in range(first, last + 1))


# Judging.


def _begin(op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    _check_form(op, instance)
    if op.mode == "replace_new_secondary":
        return _begin_move(op, view, instance)
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
    return Change(stage="begun", kept=kept, log=_announced(view, instance, indexes))


def _announced(view: View, instance: InstanceRecord, indexes: Sequence[int]) -> tuple[str, ...]:
    second = ", ".join(view.nodes[n].name for n in instance.secondary_nodes)
    return (
        f"Replacing disk(s) {', '.join(map(str, indexes))} for instance '{instance.name}'",
        f"Current primary node: {view.nodes[instance.primary_node].name}",
        f"Current secondary node: {second}",
    )


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
            log = _steps(1, last, op.early_release)
            return Perform(work=work, stage="renewed", failed="failed", log=log)
        case "failed":
            return Perform(work=InParallel(_rest(view, instance)), stage="rested", failed="rested")
        case "renewed" | "syncing":
            return _fill(op, progress, view, instance, "rested")
    return Finish(error=progress.error)


def _missing(
    view: View, instance: InstanceRecord, chosen: Sequence[volumes.Indexed], node: str
) -> tuple[Do, ...]:
    """A side that is gone is made again; one that is there is kept."""
    return tuple(
        Do(node, CreateVolume(instance=instance.name, disk=volumes.spec(view, instance, n, disk, node)))
        for n, disk in chosen
    )


def _rest(view: View, instance: InstanceRecord) -> tuple[Do, ...]:
    """Disks that were not in use before are not in use afterwards."""
    return () if instance.disks_active else volumes.deactivations(view, instance)


def _fill(
    op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord, then: str
) -> Stage:
    state = sync.judged(instance, progress) if progress.stage == "syncing" else None
    if state is None or state.filling:
        number = 6 if op.early_release else 5
        told = (*_steps(number, number, op.early_release), *sync.begun(instance))
        log = told if state is None else state.log
        return Perform(work=volumes.waits(view, instance), stage="syncing", failed="failed", log=log)
    log = state.log if op.early_release else (*state.log, *_steps(6, 6, False))
    return Perform(work=InParallel(_rest(view, instance)), stage=then, failed=then, log=log)


# Another secondary node.


def _begin_move(op: InstanceReplaceDisks, view: View, instance: InstanceRecord) -> Stage:
    answering(view, primary(view, instance))
    new = _new_secondary(op, view, instance)
    answering(view, new)
    if new.drained or not new.vm_capable:
        what = "drained" if new.drained else "non-vm_capable"
        raise prereq(f"Cannot use {what} secondary node '{new.name}'", "wrong_state")
    if not op.ignore_ipolicy:
        policy.check(view, view.groups[new.group], instance)
    volumes.check_space(view, new, instance.disks)
    moved: list[DiskRecord] = []
    for disk in instance.disks:
        moved.append(reconnected(view, disk, instance.primary_node, new.uuid, moved))
    after = replace(instance, secondary_nodes=(new.uuid,), disks=tuple(moved))
    had = reservations(instance)
    reserved = [key for key in reservations(after) if key not in had]
    kept = {
        "uuid": instance.uuid,
        "before": msgspec.to_builtins(instance),
        "after": msgspec.to_builtins(after),
        "reserved": reserved,
    }
    log = (*_announced(view, instance, range(len(moved))), f"New secondary node: {new.name}")
    return Change(stage="begun", names=dict.fromkeys(reserved, instance.uuid), kept=kept, log=log)


def _new_secondary(op: InstanceReplaceDisks, view: View, instance: InstanceRecord) -> NodeRecord:
    nodes = (instance.primary_node, *instance.secondary_nodes)
    if op.remote_node is not None:
        new = view.node(op.remote_node)
        if new.uuid == nodes[0]:
            raise prereq("The specified node is the primary node of the instance")
        if new.uuid in nodes:
            raise prereq("The specified node is already the secondary node of the instance")
        return new
    if op.iallocator is None and not view.cluster.default_iallocator:
        raise prereq(
            "When changing the secondary either an iallocator script must be used or the new node given"
        )
    if op.iallocator not in (None, ".", "builtin"):
        raise prereq(f"Can't find iallocator '{op.iallocator}': only the built-in one is offered")
    demand = Demand(
        hypervisor=instance.hypervisor,
        memory=0,
        disk=usage(instance.disk_template, instance.disks),
        template=instance.disk_template,
        group=primary(view, instance).group,
        without=nodes,
    )
    return place(view, demand, instance.name)


def _sides(view: View, instance: InstanceRecord, node: str) -> tuple[Do, ...]:
    """Remove the sides on a node."""
    return tuple(
        Do(node, DeleteVolume(instance=instance.name, disk=volumes.spec(view, instance, n, disk, node)))
        for n, disk in volumes.all_disks(instance)
        if node in nodes_of(disk)
    )


def _move(op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    before = msgspec.convert(progress.kept["before"], InstanceRecord)
    after = msgspec.convert(progress.kept["after"], InstanceRecord)
    [old], [new] = before.secondary_nodes, after.secondary_nodes
    if progress.stage in ("begun", "failed", "undone", "made") and instance.secondary_nodes == (old,):
        return _make(op, progress, view, instance, after, new)
    match progress.stage:
        case "noted":
            work = InSequence(volumes.activations(view, instance, volumes.all_disks(instance)))
            return Perform(work=work, stage="attached", failed="failed", log=_steps(4, 4, op.early_release))
        case "attached" | "syncing":
            return _fill(op, progress, view, instance, "filled")
        case "filled" | "failed":
            then = "removed" if progress.stage == "filled" else "broken"
            work_left = InParallel(_sides(view, before, old))
            return Perform(work=work_left, stage=then, failed=then, patience=0.0)
    left = leftovers(_sides(view, before, old), progress.outcomes, f"the old side of {instance.name}")
    # What the removal could not do is left over; only what failed before it is an error.
    error = progress.error if progress.stage == "broken" else None
    return Finish(error=error, puts=left, log=warnings(left, view))


def _make(
    op: InstanceReplaceDisks,
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    after: InstanceRecord,
    new: str,
) -> Stage:
    """Make the new sides, then note where they are; what was begun is taken back when that fails."""
    match progress.stage:
        case "begun":
            made = tuple(
                Do(
                    new,
                    CreateVolume(instance=after.name, disk=volumes.spec(view, after, n, d, new), fresh=True),
                )
                for n, d in volumes.all_disks(after)
            )
            log = _steps(1, 3, op.early_release)
            return Perform(work=InParallel(made), stage="made", failed="failed", log=log)
        case "failed":
            return Perform(work=InParallel(_sides(view, after, new)), stage="undone", failed="undone")
        case "undone":
            error = progress.error or OpExecError(f"Could not make the new sides of {instance.name}")
            left = leftovers(_sides(view, after, new), progress.outcomes, f"new sides of {instance.name}")
            free = tuple(progress.kept["reserved"])
            return Finish(error=error, puts=left, free=free, log=warnings(left, view))
    free = tuple(key for key in reservations(instance) if key not in reservations(after))
    noted = changed(instance, view, secondary_nodes=after.secondary_nodes, disks=after.disks)
    return Change(stage="noted", puts=(noted,), free=free, kept=progress.kept)
