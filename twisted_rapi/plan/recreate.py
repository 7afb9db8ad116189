"""``OP_INSTANCE_RECREATE_DISKS`` (texts as observed)."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes.moving import InstanceRecreateDisks
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NodeRecord, Params
from twisted_rapi.model.steps import InspectDisks
from twisted_rapi.plan import policy, volumes
from twisted_rapi.plan.allocation.consult import CONSULTED, allocator, consult
from twisted_rapi.plan.allocation.questions import Allocate, Nodes
from twisted_rapi.plan.attachment import followed
from twisted_rapi.plan.condition import at_rest, changed, primary, subject
from twisted_rapi.plan.devices import disk_mode
from twisted_rapi.plan.disks import MIRRORED, nodes_of, placed, size_of, spindles_of
from twisted_rapi.plan.grow import resized
from twisted_rapi.plan.leftover import leftovers, warnings
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_CHANGEABLE = ("mode", "size", "spindles")


def plan_recreate_disks(op: InstanceRecreateDisks, progress: Progress, view: View) -> Stage:
    """Make sure they are missing, make them anew, here or on other nodes, and note what has changed."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage in ("", CONSULTED, "looked"):
        return _begin(op, progress, view, instance)
    after = msgspec.convert(progress.kept["after"], InstanceRecord)
    chosen = [(n, after.disks[n]) for n in progress.kept["disks"]]
    undo = volumes.deletions(view, after, chosen)
    match progress.stage:
        case "begun":
            return Perform(work=volumes.creations(view, after, chosen), stage="made", failed="failed")
        case "failed":
            return Perform(work=InParallel(undo), stage="undone", failed="undone")
        case "undone":
            error = progress.error or OpExecError(f"Could not recreate the disks of {instance.name}")
            left = leftovers(undo, progress.outcomes, f"recreating disks of {instance.name} failed")
            return Finish(
                error=error, puts=left, free=tuple(progress.kept["reserved"]), log=warnings(left, view)
            )
        case "made":
            mirrored = [(n, disk) for n, disk in chosen if nodes_of(disk)]
            rest = () if instance.disks_active else volumes.deactivations(view, after, mirrored)
            return Perform(work=InParallel(rest), stage="rested", failed="rested")
        case "rested":
            free = tuple(key for key in reservations(instance) if key not in reservations(after))
            kept = {**progress.kept, "before": msgspec.to_builtins(instance)}
            return Change(stage="noted", puts=(_noted(view, instance, after),), free=free, kept=kept)
    return _clear(progress, view, after)


def _noted(view: View, instance: InstanceRecord, after: InstanceRecord) -> InstanceRecord:
    return changed(
        instance,
        view,
        disks=after.disks,
        nics=after.nics,
        primary_node=after.primary_node,
        secondary_nodes=after.secondary_nodes,
    )


def _clear(progress: Progress, view: View, after: InstanceRecord) -> Stage:
    """What the nodes that have nothing of it any more may still keep is removed."""
    before = msgspec.convert(progress.kept["before"], InstanceRecord)
    kept = {after.primary_node, *after.secondary_nodes}
    old = tuple(
        do for do in volumes.deletions(view, before, volumes.all_disks(before)) if do.node not in kept
    )
    if progress.stage == "noted" and old and before.disk_template in ("file", "plain", *MIRRORED):
        return Perform(work=InParallel(old), stage="cleared", failed="cleared", patience=0.0)
    left = (
        leftovers(old, progress.outcomes, f"disks {before.name} had") if progress.stage == "cleared" else ()
    )
    return Finish(puts=left, log=warnings(left, view))


# Judging.


def _begin(op: InstanceRecreateDisks, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    changes = _changes(op, instance)
    named = _named(op, view, instance)
    elsewhere = named is not None or op.iallocator is not None
    if not elsewhere or primary(view, instance).uuid in view.reports:
        at_rest(view, instance, "recreate disks")
    elif instance.admin_state == "up":
        raise prereq(f"Instance '{instance.name}' is marked to be up, cannot recreate disks", "wrong_state")
    if elsewhere and len(changes) != len(instance.disks):
        raise prereq("Can't recreate disks partially and change the nodes at the same time")
    chosen = _chosen(op, progress, view, _resized(instance, changes)) if op.iallocator else Chosen(named)
    if isinstance(chosen, Perform):
        return chosen
    after = _after(view, instance, changes, chosen.nodes)
    volumes.check_nodes(view, after)
    if elsewhere:
        policy.check(view, view.groups[primary(view, after).group], after)
    if progress.stage != "looked":
        looks = tuple(_look(view, which, node, changes) for which, node in _places(instance, after))
        return Perform(work=InParallel(looks), stage="looked", check=True, kept=chosen.kept())
    _check_missing(progress, view, _places(instance, after), changes)
    for node in _touched(after):
        volumes.check_space(view, view.nodes[node], [after.disks[n] for n in changes])
    return _announce(instance, after, sorted(changes), chosen)


def _announce(
    instance: InstanceRecord, after: InstanceRecord, indexes: list[int], chosen: "Chosen"
) -> Change:
    had = reservations(instance)
    reserved = [key for key in reservations(after) if key not in had]
    kept = {
        "uuid": instance.uuid,
        "after": msgspec.to_builtins(after),
        "disks": indexes,
        "reserved": reserved,
    }
    return Change(
        stage="begun",
        names=dict.fromkeys(reserved, instance.uuid),
        kept=kept,
        log=chosen.told,
        filled=chosen.filled() if chosen.told else {},
    )


def _touched(instance: InstanceRecord) -> tuple[str, ...]:
    return (instance.primary_node, *instance.secondary_nodes)


def _changes(op: InstanceRecreateDisks, instance: InstanceRecord) -> dict[int, Mapping[str, Any]]:
    """By index of the disks that are meant, what becomes different of each."""
    if not instance.disks:
        raise prereq(f"Instance '{instance.name}' has no disks")
    given = [(disk, {}) if isinstance(disk, int) else disk for disk in op.disks]
    pairs: list[tuple[int, Mapping[str, Any]]] = [(n, values) for n, values in given]
    indexes = [n for n, _ in pairs]
    if len(set(indexes)) != len(indexes) and any(values for _, values in pairs):
        twice = sorted({n for n in indexes if indexes.count(n) > 1})
        raise prereq(f"Some disks have been specified more than once: {', '.join(map(str, twice))}")
    for n, values in pairs:
        if n >= len(instance.disks):
            raise prereq(f"Invalid disk index '{n}'")
        unknown = sorted(set(values) - set(_CHANGEABLE))
        if unknown:
            raise prereq(
                f"Parameters for disk {n} try to change unmodifyable parameter(s): {', '.join(unknown)}"
            )
    return dict(pairs) or {n: {} for n in range(len(instance.disks))}


@attrs.frozen
class Chosen:
    """
    The nodes the disks are to be on, primary first; ``None``: where they are.

    :ivar told: what the log says of how an allocator chose them.
    """

    nodes: Sequence[NodeRecord] | None = None
    told: tuple[str, ...] = ()

    def kept(self) -> Params:
        """What an allocator's choice is remembered by; nothing of others."""
        return {"chosen": [n.uuid for n in self.nodes or ()], "told": list(self.told)} if self.told else {}

    def filled(self) -> Params:
        """The nodes as the opcode names them."""
        nodes = self.nodes or ()
        return {"nodes": [n.name for n in nodes], "node_uuids": [n.uuid for n in nodes]}


def _named(op: InstanceRecreateDisks, view: View, instance: InstanceRecord) -> list[NodeRecord] | None:
    """The nodes that were given; ``None`` where none were."""
    if op.iallocator is not None and op.nodes:
        raise prereq("Give either the iallocator or the new nodes, not both")
    if not op.nodes:
        return None
    count = 1 + len(instance.secondary_nodes)
    if len(op.nodes) != count:
        raise prereq(
            f"Instance {instance.name} currently has {count} nodes, "
            f"but {len(op.nodes)} replacement nodes were specified"
        )
    nodes = [view.node(name) for name in op.nodes]
    if len({node.uuid for node in nodes}) != count:
        raise prereq("The replacement nodes must be different nodes")
    return nodes


def _chosen(
    op: InstanceRecreateDisks, progress: Progress, view: View, wanted: InstanceRecord
) -> Chosen | Perform:
    """What an allocator says, as of a new instance: it may be none of its nodes."""
    if progress.stage == "looked" and "chosen" in progress.kept:
        nodes = [view.nodes[uuid] for uuid in progress.kept["chosen"]]
        return Chosen(nodes, tuple(progress.kept["told"]))
    group = view.groups[view.nodes[wanted.primary_node].group]
    question = Allocate(instance=wanted, group=group.uuid)
    answer = consult(question, op.iallocator, progress, view)
    if isinstance(answer, Perform):
        return answer
    assert isinstance(answer, Nodes)
    script = allocator(op.iallocator, view)
    if any(node.group != group.uuid for node in answer.nodes):
        raise OpExecError(f"iallocator '{script}' returned nodes that are not in group {group.name}")
    names = ", ".join(node.name for node in answer.nodes)
    via = f" via iallocator {script}" if script else ""
    told = f" - INFO: Selected nodes for instance {wanted.name}{via}: {names}"
    return Chosen(answer.nodes, (told, *answer.told))


def _resized(instance: InstanceRecord, changes: Mapping[int, Mapping[str, Any]]) -> InstanceRecord:
    """The instance with what becomes different of its disks."""
    for n, values in changes.items():
        if "size" in values:
            instance = resized(instance, n, size_of(values))
        disk = instance.disks[n]
        mode = disk_mode(values["mode"]) if "mode" in values else disk.mode
        spindles = spindles_of(values) if "spindles" in values else disk.spindles
        disk = replace(disk, mode=mode, spindles=spindles, serial_no=disk.serial_no + bool(values))
        instance = replace(instance, disks=(*instance.disks[:n], disk, *instance.disks[n + 1 :]))
    return instance


def _after(
    view: View,
    instance: InstanceRecord,
    changes: Mapping[int, Mapping[str, Any]],
    nodes: Sequence[NodeRecord] | None,
) -> InstanceRecord:
    after = _resized(instance, changes)
    if nodes is None:
        return after
    uuids = [node.uuid for node in nodes]
    there = replace(
        after, primary_node=uuids[0], secondary_nodes=tuple(uuids[1:]), disks=_moved(view, after, uuids)
    )
    return followed(view, there)


def _moved(view: View, instance: InstanceRecord, nodes: list[str]) -> tuple[DiskRecord, ...]:
    """The disks on other nodes, under new names: the old ones may still be removed where they were."""
    return placed(view, [_renamed(view, n, disk) for n, disk in enumerate(instance.disks)], nodes)


def _renamed(view: View, index: int, disk: DiskRecord) -> DiskRecord:
    name = view.new_uuid()
    match disk.dev_type:
        case "file":
            folder = disk.logical_id[1].rpartition("/")[0]
            return replace(disk, logical_id=(disk.logical_id[0], f"{folder}/{name}.file.disk{index}"))
        case "plain":
            return replace(disk, logical_id=(disk.logical_id[0], f"{name}.disk{index}"))
        case "drbd":
            data, meta = (
                replace(child, logical_id=(child.logical_id[0], f"{name}.disk{index}_{part}"))
                for child, part in zip(disk.children, ("data", "meta"), strict=True)
            )
            return replace(disk, logical_id=(), children=(data, meta), serial_no=disk.serial_no + 1)
    return disk


def _look(view: View, after: InstanceRecord, node: str, changes: Mapping[int, Any]) -> Do:
    disks = tuple(volumes.spec(view, after, n, after.disks[n], node) for n in sorted(changes))
    return Do(node, InspectDisks(instance=after.name, disks=disks))


def _places(before: InstanceRecord, after: InstanceRecord) -> list[tuple[InstanceRecord, str]]:
    """Where disks must be missing: as they will be, and as they are on nodes that keep being theirs."""
    places = [(after, node) for node in _touched(after)]
    if before.disks != after.disks:
        places += [(before, node) for node in _touched(before) if node in _touched(after)]
    return places


def _check_missing(
    progress: Progress,
    view: View,
    places: list[tuple[InstanceRecord, str]],
    changes: Mapping[int, Any],
) -> None:
    """What is there is never made anew."""
    if places[0][0].disk_template == "blockdev":
        return
    for (which, node), outcome in zip(places, progress.outcomes, strict=True):
        states = outcome.disks if outcome is not None else ()
        for n, state in zip(sorted(changes), states, strict=False):
            if state is not None:
                raise OpExecError(_exists(view, which, n, node, state["path"]))


def _exists(view: View, instance: InstanceRecord, index: int, node: str, path: str) -> str:
    disk = instance.disks[index]
    told = (
        f"<Disk(type={disk.dev_type}, logical_id={tuple(disk.logical_id)!r}, children=[], "
        f"visible as /dev/disk/{index}, size={disk.size}m)>"
        if not nodes_of(disk)
        else f"disk/{index}"
    )
    return (
        f"Can't create block device {told} on node {view.nodes[node].name} for instance {instance.name}: "
        f"Can't create block device: {path}: can't create: [Errno 17] File exists: '{path}'"
    )
