"""New sides of mirrored disks: the wait until they are filled, and what replacing disks tells on its way."""

from collections.abc import Sequence

import attrs

from twisted_rapi.model.opcodes.moving import InstanceReplaceDisks
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan import sync, volumes
from twisted_rapi.plan.stage import Do, Perform, Progress
from twisted_rapi.plan.view import View

_STEPS = (
    "Check device existence",
    "Check peer consistency",
    "Allocate new storage",
    "Changing drbd configuration",
)
_LAST = ("Sync devices", "Removing old storage")


def steps(first: int, last: int, early: bool) -> tuple[str, ...]:
    """What is told of the steps with these numbers (texts as observed)."""
    names = (*_STEPS, *(reversed(_LAST) if early else _LAST))
    return tuple(f"STEP {n}/{len(names)} {names[n - 1]}" for n in range(first, last + 1))


def announced(view: View, instance: InstanceRecord, indexes: Sequence[int]) -> tuple[str, ...]:
    """What is told first: which disks, and where they are."""
    second = ", ".join(view.nodes[n].name for n in instance.secondary_nodes)
    return (
        f"Replacing disk(s) {', '.join(map(str, indexes))} for instance '{instance.name}'",
        f"Current primary node: {view.nodes[instance.primary_node].name}",
        f"Current secondary node: {second}",
    )


def broken(instance: InstanceRecord) -> str:
    """Why it fails when the wait is over and a disk is not whole."""
    return f"Disks of instance {instance.name} are degraded: the new sides could not be filled"


def rest(view: View, instance: InstanceRecord) -> tuple[Do, ...]:
    """Disks that were not in use before are not in use afterwards."""
    return () if instance.disks_active else volumes.deactivations(view, instance)


def fill(
    op: InstanceReplaceDisks, progress: Progress, view: View, instance: InstanceRecord
) -> Perform | sync.Synced:
    """
    Wait for the sides to be filled, under the stage ``syncing``, or ``failed`` where that cannot be asked.

    :returns: how they are, with what is to be told, once none is being filled any more.
    """
    state = sync.judged(instance, progress) if progress.stage == "syncing" else None
    if state is None or state.filling:
        number = 6 if op.early_release else 5
        told = (*steps(number, number, op.early_release), *sync.begun(instance))
        log = told if state is None else state.log
        return Perform(work=volumes.waits(view, instance), stage="syncing", failed="failed", log=log)
    if op.early_release or state.degraded:
        return state
    return attrs.evolve(state, log=(*state.log, *steps(6, 6, False)))
