"""
``OP_INSTANCE_REPLACE_DISKS`` with another secondary node.

Note [The last whole copy].  The primary node's side has to be whole before anything is done, and the old
secondary side is removed only once the new one is: that is noted first (``filled``), and nothing is taken
back afterwards.  Whatever fails before puts the record back to the old side, which then is connected again,
and removes the new one.  The names of both sides stay reserved until the end, so that either can be it.
"""

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.moving import InstanceReplaceDisks
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NodeRecord, Params
from twisted_rapi.model.steps import CreateVolume, DeleteVolume
from twisted_rapi.plan import filling, policy, volumes
from twisted_rapi.plan.allocation.consult import allocator, consult
from twisted_rapi.plan.allocation.questions import Nodes, Relocate
from twisted_rapi.plan.condition import answering, changed, primary
from twisted_rapi.plan.disks import reconnected
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

# Judging.


def begin(op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    """
    Judge, the primary node's side last, and note what becomes of it.

    :raises OpPrereqError: it cannot be.
    :raises OpExecError: the primary node's side is not whole.
    """
    answering(view, primary(view, instance))
    chosen = _new_secondary(op, progress, view, instance)
    if isinstance(chosen, Perform):
        return chosen
    new = chosen.node
    _check_new(op, view, instance, new)
    if progress.stage != "looked":
        look = volumes.looks(view, instance, instance.primary_node)
        return Perform(work=look, stage="looked", check=True, kept=chosen.kept())
    _check_whole(progress, view, instance)
    moved: list[DiskRecord] = []
    for disk in instance.disks:
        moved.append(reconnected(view, disk, instance.primary_node, new.uuid, moved))
    after = replace(instance, secondary_nodes=(new.uuid,), disks=tuple(moved))
    reserved = _new_keys(instance, after)
    kept = {
        "uuid": instance.uuid,
        "before": msgspec.to_builtins(instance),
        "after": msgspec.to_builtins(after),
        "reserved": reserved,
    }
    log = (*filling.announced(view, instance, range(len(moved))), f"New secondary node: {new.name}")
    return Change(
        stage="begun",
        names=dict.fromkeys(reserved, instance.uuid),
        kept=kept,
        log=(*chosen.told, *log),
        filled={"remote_node": new.name, "remote_node_uuid": new.uuid} if chosen.told else {},
    )


def _check_new(op: InstanceReplaceDisks, view: View, instance: InstanceRecord, new: NodeRecord) -> None:
    """Whether a node can be the secondary one."""
    if new.uuid == instance.primary_node:
        raise prereq("The specified node is the primary node of the instance")
    if new.uuid in instance.secondary_nodes:
        raise prereq("The specified node is already the secondary node of the instance")
    answering(view, new)
    if new.drained or not new.vm_capable:
        what = "drained" if new.drained else "non-vm_capable"
        raise prereq(f"Cannot use {what} secondary node '{new.name}'", "wrong_state")
    if not op.ignore_ipolicy:
        policy.check(view, view.groups[new.group], instance)
    volumes.check_space(view, new, instance.disks)


def _new_keys(before: InstanceRecord, after: InstanceRecord) -> list[str]:
    """What `after` has to itself and `before` has not."""
    had = reservations(before)
    return [key for key in reservations(after) if key not in had]


def _check_whole(progress: Progress, view: View, instance: InstanceRecord) -> None:
    """The new side is filled from the primary node's; whether the old one is linked does not matter."""
    outcome = progress.outcomes[-1] if progress.outcomes else None
    states = () if outcome is None else outcome.disks
    name = primary(view, instance).name
    for n, _ in enumerate(instance.disks):
        state = states[n] if n < len(states) else None
        if state is None:
            raise OpExecError(f"Can't find disk/{n} on node {name}: it is not there")
        if state.get("ldisk") != "okay":
            raise OpExecError(
                f"Node {name} has degraded storage, unsafe to replace disks for instance {instance.name}"
            )


@attrs.frozen
class Chosen:
    """
    The new secondary node.

    :ivar told: what the log says of how an allocator chose it; of one that was named nothing.
    """

    node: NodeRecord
    told: tuple[str, ...] = ()

    def kept(self) -> Params:
        """What an allocator's choice is remembered by."""
        return {"chosen": self.node.uuid, "told": list(self.told)} if self.told else {}


def _new_secondary(
    op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord
) -> Chosen | Perform:
    """The node that is named, or what an allocator says, which may have to be asked first."""
    if op.remote_node is not None:
        return Chosen(view.node(op.remote_node))
    if op.iallocator is None and not view.cluster.default_iallocator:
        raise prereq(
            "When changing the secondary either an iallocator script must be used or the new node given"
        )
    if progress.stage == "looked" and "chosen" in progress.kept:
        return Chosen(view.nodes[progress.kept["chosen"]], tuple(progress.kept["told"]))
    answer = consult(Relocate(instance=instance), op.iallocator, progress, view)
    if isinstance(answer, Perform):
        return answer
    assert isinstance(answer, Nodes)
    [node] = answer.nodes
    script = allocator(op.iallocator, view)
    via = f" via iallocator {script}" if script else ""
    told = f" - INFO: Selected new secondary for instance '{instance.name}'{via}: {node.name}"
    return Chosen(node, (told, *answer.told))


# Carrying out.


def carry_on(op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    """The stages after `begin`: make the new sides, fill them, remove the old ones, or all of it back."""
    before = msgspec.convert(progress.kept["before"], InstanceRecord)
    after = msgspec.convert(progress.kept["after"], InstanceRecord)
    match progress.stage:
        case "begun" | "unmade" | "undone":
            return _make(op, progress, view, after)
        case "made":
            log = filling.steps(4, 4, op.early_release)
            noted = changed(instance, view, secondary_nodes=after.secondary_nodes, disks=after.disks)
            return Change(stage="noted", puts=(noted,), kept=progress.kept, log=log)
        case "noted":
            work = InSequence(volumes.activations(view, instance, volumes.all_disks(instance)))
            return Perform(work=work, stage="attached", failed="failed")
        case "attached" | "syncing":
            return _fill(op, progress, view, instance, before)
        case "failed":
            return _put_back(progress, view, instance, before)
        case "restored" | "returned":
            return _return(progress, view, instance, after)
        case "rested":
            return Change(stage="filled", kept=progress.kept)
    return _clear(progress, view, instance, before)


def _sides(view: View, instance: InstanceRecord) -> tuple[Do, ...]:
    """Remove the sides on the secondary node."""
    [node] = instance.secondary_nodes
    return tuple(
        Do(node, DeleteVolume(instance=instance.name, disk=volumes.spec(view, instance, n, disk, node)))
        for n, disk in volumes.all_disks(instance)
    )


def _make(op: InstanceReplaceDisks, progress: Progress, view: View, after: InstanceRecord) -> Stage:
    """Make the new sides; what was begun is taken back when that fails."""
    [new] = after.secondary_nodes
    if progress.stage == "begun":
        made = tuple(
            Do(new, CreateVolume(instance=after.name, disk=volumes.spec(view, after, n, d, new), fresh=True))
            for n, d in volumes.all_disks(after)
        )
        log = filling.steps(1, 3, op.early_release)
        return Perform(work=InParallel(made), stage="made", failed="unmade", log=log)
    gone = _sides(view, after)
    if progress.stage == "unmade":
        return Perform(work=InParallel(gone), stage="undone", failed="undone")
    error = progress.error or OpExecError(f"Could not make the new sides of {after.name}")
    left = leftovers(gone, progress.outcomes, f"new sides of {after.name}")
    return Finish(error=error, puts=left, free=tuple(progress.kept["reserved"]), log=warnings(left, view))


def _fill(
    op: InstanceReplaceDisks,
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    before: InstanceRecord,
) -> Stage:
    filled = filling.fill(op, progress, view, instance)
    if isinstance(filled, Perform):
        return filled
    if filled.degraded:
        return _put_back(progress, view, instance, before, filled.log)
    work = InParallel(filling.rest(view, instance))
    return Perform(work=work, stage="rested", failed="rested", log=filled.log)


def _put_back(
    progress: Progress,
    view: View,
    instance: InstanceRecord,
    before: InstanceRecord,
    log: tuple[str, ...] = (),
) -> Change:
    """The old side is the secondary one again; its nodes know by the later serial number that it is meant."""
    [old] = before.secondary_nodes
    disks = tuple(
        reconnected(view, replace(now, logical_id=was.logical_id), instance.primary_node, old)
        for now, was in zip(instance.disks, before.disks, strict=True)
    )
    back = changed(instance, view, secondary_nodes=(old,), disks=disks)
    # The old side's minor is reserved still.
    held = {*reservations(before), *reservations(instance)}
    names = {key: uuid for key, uuid in reservations(back).items() if key not in held}
    why = filling.broken(instance) if progress.error is None else progress.error.text
    kept = {**progress.kept, "why": why}
    return Change(stage="restored", puts=(back,), names=names, kept=kept, log=log)


def _return(progress: Progress, view: View, instance: InstanceRecord, after: InstanceRecord) -> Stage:
    """Connect the old side again, if it was, and remove the new ones."""
    gone = _sides(view, after)
    if progress.stage == "restored":
        indexed = volumes.all_disks(instance)
        away = [n for n in instance.secondary_nodes if n not in view.reports or view.nodes[n].offline]
        again = volumes.activations(view, instance, indexed, without=away)
        works = (InSequence(again),) if instance.disks_active else volumes.deactivations(view, instance)
        told = f"Going back to the old secondary node of instance '{instance.name}'"
        work = InParallel((*works, *gone))
        return Perform(work=work, stage="returned", failed="returned", log=(told,))
    # The removals are the last of that work.
    first = len(progress.outcomes) - len(gone)
    left = leftovers(gone, progress.outcomes[first:], f"new sides of {instance.name}")
    bad = f" - WARNING: Disks of instance {instance.name} are degraded: ask for them to be activated"
    log: tuple[str, ...] = (bad,) if None in progress.outcomes[:first] else ()
    before = msgspec.convert(progress.kept["before"], InstanceRecord)
    free = _unused(instance, before, after)
    error = OpExecError(progress.kept["why"])
    return Finish(error=error, puts=left, free=free, log=(*log, *warnings(left, view)))


def _unused(instance: InstanceRecord, *others: InstanceRecord) -> tuple[str, ...]:
    """What was reserved for these and the instance has not."""
    has = reservations(instance)
    return tuple({key: None for other in others for key in reservations(other) if key not in has})


def _clear(progress: Progress, view: View, instance: InstanceRecord, before: InstanceRecord) -> Stage:
    """The old sides are removed; what that could not do is left over and no error."""
    gone = _sides(view, before)
    if progress.stage == "filled":
        return Perform(work=InParallel(gone), stage="removed", failed="removed", patience=0.0)
    left = leftovers(gone, progress.outcomes, f"the old side of {instance.name}")
    return Finish(puts=left, free=_unused(instance, before), log=warnings(left, view))
