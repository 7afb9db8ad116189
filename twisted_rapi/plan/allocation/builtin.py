"""The built-in allocator's answers; where to is decided by `twisted_rapi.plan.place`."""

from collections.abc import Callable, Iterable

import attrs

from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.moving import InstanceFailover, InstanceMigrate, InstanceReplaceDisks
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.disks import MIRRORED
from twisted_rapi.plan.place import Demand, choose, demand_of, nowhere, secondaries, take, why_not
from twisted_rapi.plan.rooms import Rooms
from twisted_rapi.plan.view import View

SHARED = ("blockdev", "diskless", "ext", "gluster", "rbd", "sharedfile")
"""Templates whose disks every node can use (constants.json disk_templates)."""


@attrs.frozen
class Way:
    """
    How an instance gets elsewhere.

    :ivar nodes: those afterwards, primary first.
    :ivar takes: what it needs there that it did not have before.
    :ivar stays: the uuid of the node that has its part already.
    """

    nodes: tuple[NodeRecord, ...]
    ops: tuple[Opcode, ...]
    takes: Demand
    stays: str = ""


def answer(view: View, question: ask.Question, rooms: Rooms | None = None) -> ask.Answer:
    """
    What the built-in allocator says.

    :param rooms: what nodes have left, if not what the view says; what is found is taken from them.
    :raises OpPrereqError: ``insufficient_resources``, with the reasons of every node.
    """
    rooms = rooms or Rooms(view)
    match question:
        case ask.Allocate():
            found = choose(rooms, _wanted(view, question), question.instance.name)
            return ask.Nodes(nodes=found.nodes, told=tuple(found.told()))
        case ask.AllocateSeveral():
            return _several(rooms, question)
        case ask.Relocate() if question.instance.disk_template in MIRRORED:
            return ask.Nodes(nodes=(_new_secondary(rooms, question.instance),))
        case ask.Relocate():
            return ask.Nodes(nodes=(_new_primary(rooms, question.instance),))
        case ask.AllocateSecondary():
            return ask.Nodes(nodes=(_new_secondary(rooms, question.instance),))
        case ask.Evacuate():
            return _moves(rooms, question.instances, lambda i: _evacuated(rooms, i, question.mode))
        case ask.ChangeGroup():
            return _moves(rooms, question.instances, lambda i: _regrouped(rooms, i, question.targets))


def _wanted(view: View, wanted: ask.Allocate) -> Demand:
    demand = demand_of(view, wanted.instance, wanted.starts, wanted.ignore_ipolicy)
    return attrs.evolve(demand, os=wanted.os, group=wanted.group, among=wanted.among)


def _several(rooms: Rooms, question: ask.AllocateSeveral) -> ask.Several:
    """One after the other, each in what the ones before it leave."""
    placed, failed, told = {}, [], []
    for each in question.instances:
        name, demand = each.instance.name, _wanted(rooms.view, each)
        try:
            nodes = choose(rooms, demand, name).nodes
        except OpPrereqError as e:
            failed.append(name)
            told.append(f" - WARNING: {e.text}")
            continue
        take(rooms, demand, tuple(node.uuid for node in nodes))
        placed[name] = nodes
    return ask.Several(placed=placed, failed=tuple(failed), told=tuple(told))


def _moves(
    rooms: Rooms, instances: Iterable[InstanceRecord], way: Callable[[InstanceRecord], Way]
) -> ask.Moves:
    """The largest first, as they find the fewest places."""
    moved, failed, jobs = [], [], []
    sized = [(demand_of(rooms.view, i, starts=True).memory, i) for i in instances]
    for _, instance in sorted(sized, key=lambda each: (-each[0], each[1].name)):
        try:
            found = way(instance)
        except OpPrereqError as e:
            failed.append((instance.name, e.text))
            continue
        take(rooms, found.takes, tuple(node.uuid for node in found.nodes), found.stays)
        group = rooms.view.groups[found.nodes[0].group].name
        moved.append((instance.name, group, tuple(node.name for node in found.nodes)))
        jobs.append(found.ops)
    return ask.Moves(moved=tuple(moved), failed=tuple(failed), jobs=tuple(jobs))


# One instance.


def _demand(view: View, instance: InstanceRecord) -> Demand:
    """What it needs elsewhere; a move within a group is not for its policy to refuse."""
    return demand_of(view, instance, instance.admin_state == "up", ignore_ipolicy=True)


def _immovable(instance: InstanceRecord) -> OpPrereqError:
    template = instance.disk_template
    return OpPrereqError(f"its {template} disks are on its primary node only", "wrong_state")


def _new_primary(rooms: Rooms, instance: InstanceRecord) -> NodeRecord:
    if instance.disk_template not in SHARED:
        raise _immovable(instance)
    here = instance.primary_node
    demand = attrs.evolve(
        _demand(rooms.view, instance), group=rooms.view.nodes[here].group, without=(here,), disk=0
    )
    return choose(rooms, demand, instance.name).nodes[0]


def _new_secondary(rooms: Rooms, instance: InstanceRecord) -> NodeRecord:
    primary = rooms.view.nodes[instance.primary_node]
    demand = attrs.evolve(_demand(rooms.view, instance), without=instance.secondary_nodes)
    fitting, refused = secondaries(rooms, demand, primary)
    if not fitting:
        raise nowhere(instance.name, refused)
    return fitting[0]


def _move(view: View, instance: InstanceRecord, target: NodeRecord | None = None) -> Opcode:
    """What gets it to the target, or to its secondary node: a failover where its node is gone."""
    here = view.nodes[instance.primary_node]
    to = None if target is None else target.name
    if here.offline or here.uuid not in view.reports:
        return InstanceFailover(instance_name=instance.name, target_node=to)
    return InstanceMigrate(instance_name=instance.name, target_node=to, allow_failover=True)


def _replaced(instance: InstanceRecord, node: NodeRecord) -> Opcode:
    return InstanceReplaceDisks(
        instance_name=instance.name, mode="replace_new_secondary", remote_node=node.name
    )


def _evacuated(rooms: Rooms, instance: InstanceRecord, mode: ask.EvacMode) -> Way:
    view = rooms.view
    here = view.nodes[instance.primary_node]
    demand = _demand(view, instance)
    if instance.disk_template not in MIRRORED:
        target = _new_primary(rooms, instance)
        return Way((target,), (_move(view, instance, target),), attrs.evolve(demand, disk=0))
    there = view.nodes[instance.secondary_nodes[0]]
    match mode:
        case "primary-only":
            running = attrs.evolve(demand, disk=0, groups={})
            _take_over(rooms, running, instance, there)
            return Way((there, here), (_move(view, instance),), running)
        case "secondary-only":
            fresh = _new_secondary(rooms, instance)
            return Way((here, fresh), (_replaced(instance, fresh),), demand, here.uuid)
        case "all":
            return _both(rooms, instance, view.nodes[instance.primary_node].group)


def _take_over(rooms: Rooms, demand: Demand, instance: InstanceRecord, node: NodeRecord) -> None:
    """
    What its secondary node keeps free for it is free for it.

    :raises OpPrereqError: it cannot run there, with the reason.
    """
    room = rooms.of(node.uuid)
    peer = instance.primary_node
    if room is not None:
        kept = max(0, room.reserved.get(peer, 0) - demand.memory)
        rooms.change(node.uuid, reserved={**room.reserved, peer: kept})
    why = why_not(rooms, node, demand)
    if why:
        if room is not None:
            rooms.change(node.uuid, reserved=room.reserved)
        raise nowhere(instance.name, {node.name: why})


def _both(rooms: Rooms, instance: InstanceRecord, group: str) -> Way:
    """Both nodes of a mirrored instance are replaced by others of this group."""
    view = rooms.view
    demand = attrs.evolve(
        _demand(view, instance), group=group, without=(instance.primary_node, *instance.secondary_nodes)
    )
    first, second = choose(rooms, demand, instance.name).nodes
    ops = (_replaced(instance, first), _move(view, instance), _replaced(instance, second))
    return Way((first, second), ops, demand)


def _regrouped(rooms: Rooms, instance: InstanceRecord, targets: tuple[str, ...]) -> Way:
    view = rooms.view
    here = view.nodes[instance.primary_node].group
    if instance.disk_template not in (*SHARED, *MIRRORED):
        raise _immovable(instance)
    barred = frozenset(view.groups) - frozenset(targets) if targets else frozenset()
    demand = attrs.evolve(
        demand_of(view, instance, instance.admin_state == "up"), groups_barred=barred | {here}
    )
    if instance.disk_template in SHARED:
        demand = attrs.evolve(demand, disk=0)
        [target] = choose(rooms, demand, instance.name).nodes
        return Way((target,), (_move(view, instance, target),), demand)
    best = choose(rooms, demand, instance.name).nodes[0]
    return _both(rooms, instance, best.group)
