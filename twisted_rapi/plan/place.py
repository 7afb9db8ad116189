"""
The built-in allocator: where machines go.

A node is feasible or has the reasons it is not; of those that are the one is picked that is left with most.
"""

from collections.abc import Iterator, Mapping

import attrs

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan import policy
from twisted_rapi.plan.disks import LOCAL, MIRRORED, demand
from twisted_rapi.plan.rooms import Room, Rooms, nodes_in_order
from twisted_rapi.plan.view import View


@attrs.frozen(kw_only=True)
class Demand:
    """
    What a machine needs of its nodes.  Sizes are MiB.

    :ivar memory: what it takes when it starts; 0 for one that is not to.
    :ivar disk: of a node's file system; `groups`: of volume groups, by name.
    :ivar os: the OS definition's name, without variant.
    :ivar group: the uuid of the only group it may go to; `groups_barred`: of those it may not.
    :ivar among: uuids of the nodes that may be chosen, if not all.
    :ivar without: uuids of nodes that have a part of it already.
    :ivar spec: its sizes as policies speak of them; ``None``: policies do not count.
    :ivar ignore_ipolicy: what violates a policy only counts against a node.
    """

    hypervisor: str
    memory: int
    disk: int
    template: str
    os: str = ""
    group: str | None = None
    among: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    groups: Mapping[str, int] = attrs.field(factory=dict)
    groups_barred: frozenset[str] = frozenset()
    vcpus: int = 0
    spindles: int = 0
    tags: tuple[str, ...] = ()
    spec: policy.Spec | None = None
    ignore_ipolicy: bool = False

    @property
    def there_already(self) -> bool:
        """Whether it only moves within its group, which need not want instances then."""
        return self.group is not None and bool(self.without)

    @property
    def count(self) -> int:
        """How many nodes it needs."""
        return 2 if self.template in MIRRORED else 1


@attrs.frozen
class Placement:
    """
    Where a machine goes.

    :ivar nodes: primary first.
    :ivar refused: per node that could not take it, by name, why.
    """

    nodes: tuple[NodeRecord, ...]
    refused: Mapping[str, list[str]]

    def told(self) -> list[str]:
        """Lines for a job's log about the nodes that were refused."""
        return [
            f" - INFO: Node {name} was not selected: {', '.join(why)}" for name, why in self.refused.items()
        ]


def demand_of(view: View, instance: InstanceRecord, starts: bool, ignore_ipolicy: bool = False) -> Demand:
    """
    What an instance needs of its nodes, whichever they are.

    :param starts: whether it is to run there.
    """
    backend = params.beparams(view.cluster, instance)
    space = demand(instance.disks) if instance.disk_template in LOCAL else {}
    file_space = space.pop("", 0)
    if instance.disk_template in MIRRORED and file_space:  # metadata of no group yet: of the usual one
        usual = view.cluster.volume_group_name
        space[usual] = space.get(usual, 0) + file_space
        file_space = 0
    return Demand(
        hypervisor=instance.hypervisor,
        memory=backend["maxmem"] if starts else 0,
        disk=file_space,
        template=instance.disk_template,
        groups=space,
        vcpus=backend["vcpus"],
        spindles=backend["spindle_use"],
        tags=instance.tags,
        spec=policy.spec_of(view, instance),
        ignore_ipolicy=ignore_ipolicy,
    )


# Feasible.


def _about_node(view: View, node: NodeRecord, wanted: Demand) -> Iterator[str]:
    if node.uuid in wanted.without:
        yield "it is its other node"
    if wanted.among is not None and node.uuid not in wanted.among:
        yield "another job has locked it"
    if wanted.group is not None and node.group != wanted.group:
        yield "it is in another group"
    if node.group in wanted.groups_barred:
        yield "its group is the one to leave"
    if view.groups[node.group].alloc_policy == "unallocable" and not wanted.there_already:
        yield "its group takes no instances"
    for holds, reason in (
        (node.offline, "it is offline"),
        (node.drained, "it is drained"),
        (node.uuid in view.domain_states, "it is flushed"),
        (not node.vm_capable, "it runs no instances"),
    ):
        if holds:
            yield reason
    if node.uuid not in view.reports and not node.offline:
        yield "it does not answer"


def _about_space(room: Room, wanted: Demand) -> Iterator[str]:
    if wanted.template != "diskless" and wanted.disk > room.disk:
        yield f"it has {room.disk} MiB of disk free"
    for group, needed in wanted.groups.items():
        if group not in room.groups:
            yield f"it has no volume group {group}"
        elif needed > room.groups[group]:
            yield f"it has {room.groups[group]} MiB of volume group {group} free"


def _about_storage(room: Room, wanted: Demand) -> Iterator[str]:
    if wanted.template not in ("diskless", *room.report.templates):
        yield f"it keeps no {wanted.template} disks"
    yield from _about_space(room, wanted)


def _violated(view: View, node: NodeRecord, room: Room, wanted: Demand) -> list[str]:
    """What the policy of the node's group has against it."""
    if wanted.spec is None:
        return []
    group = view.groups[node.group]
    rules = params.ipolicy(view.cluster, group)
    found = policy.violations(rules, wanted.spec, wanted.template)
    cpus = rules["vcpu-ratio"] * room.report.cpu_total
    if wanted.memory and room.vcpus + wanted.vcpus > cpus:
        found.append(f"it has {room.vcpus} virtual CPUs of at most {cpus:g}")
    spindles = rules["spindle-ratio"] * params.ndparams(view.cluster, group, node)["spindle_count"]
    if wanted.memory and room.spindles + wanted.spindles > spindles:
        found.append(f"its instances use {room.spindles} spindles of at most {spindles:g}")
    return found


def _as_either(rooms: Rooms, node: NodeRecord, wanted: Demand) -> Iterator[str]:
    """What is against the node, whether it is to be the primary or a secondary one."""
    yield from _about_node(rooms.view, node, wanted)
    room = rooms.of(node.uuid)
    if room is None:
        return
    if wanted.hypervisor not in room.report.hypervisors:
        yield f"it has no hypervisor {wanted.hypervisor}"
    yield from _about_storage(room, wanted)


def _as_primary(rooms: Rooms, node: NodeRecord, wanted: Demand) -> Iterator[str]:
    yield from _as_either(rooms, node, wanted)
    room = rooms.of(node.uuid)
    if room is None:
        return
    if wanted.os and all(o.name != wanted.os or o.invalid for o in room.report.oses):
        yield f"it has no OS definition {wanted.os}"
    if wanted.memory > room.memory:
        yield f"it has {room.memory} MiB of memory free"
    elif wanted.memory and wanted.memory > room.memory - max(room.reserved.values(), default=0):
        yield f"its {room.memory} MiB of memory are reserved for instances it is secondary node of"
    for tag in sorted(rooms.exclusion_tags(wanted.tags) & room.tags):
        yield f"it has an instance with the tag {tag}"
    if not wanted.ignore_ipolicy:
        yield from _violated(rooms.view, node, room, wanted)


def _as_secondary(rooms: Rooms, node: NodeRecord, wanted: Demand, primary: NodeRecord) -> Iterator[str]:
    yield from _as_either(rooms, node, wanted)
    room = rooms.of(node.uuid)
    if room is None:
        return
    needed = room.reserved.get(primary.uuid, 0) + wanted.memory
    if wanted.memory and needed > room.memory:
        yield f"it has {room.memory} MiB of memory free, should {primary.name} fail {needed} MiB are needed"


def refusals(view: View, node: NodeRecord, wanted: Demand) -> list[str]:
    """Why the node cannot be the machine's primary one; empty when it can."""
    return why_not(Rooms(view), node, wanted)


def why_not(rooms: Rooms, node: NodeRecord, wanted: Demand) -> list[str]:
    """The same, as far as the rooms say."""
    return list(_as_primary(rooms, node, wanted))


# Score.


def _left(view: View, node: NodeRecord, room: Room, wanted: Demand) -> tuple[float, float]:
    """The smallest and the sum of the shares the node is left with."""
    report = room.report
    rules = params.ipolicy(view.cluster, view.groups[node.group])
    shares = [
        (room.memory - wanted.memory) / max(1, report.memory_total),
        1 - (room.vcpus + wanted.vcpus) / max(1, rules["vcpu-ratio"] * report.cpu_total),
    ]
    if wanted.template in LOCAL:
        needed = wanted.disk + sum(wanted.groups.values())
        shares.append((room.disk - needed) / max(1, report.disk_total or report.disk_free))
    return min(shares), sum(shares)


Rank = tuple[bool, bool, float, float, str]


def _rank(rooms: Rooms, node: NodeRecord, wanted: Demand) -> Rank:
    """Lower is better: what violates no policy, then groups that want instances, then what is left."""
    room = rooms.of(node.uuid)
    assert room is not None, "it is feasible"
    view = rooms.view
    least, sum_left = _left(view, node, room, wanted)
    last = view.groups[node.group].alloc_policy == "last_resort"
    return bool(_violated(view, node, room, wanted)), last, -round(least, 6), -round(sum_left, 6), node.name


# Pick.


def primaries(rooms: Rooms, wanted: Demand) -> tuple[list[NodeRecord], dict[str, list[str]]]:
    """The nodes that can be the primary one, best first; and why others cannot, by name."""
    refused: dict[str, list[str]] = {}
    fitting = []
    for node in nodes_in_order(rooms.view):
        why = list(_as_primary(rooms, node, wanted))
        if why:
            refused[node.name] = why
        else:
            fitting.append(node)
    return sorted(fitting, key=lambda node: _rank(rooms, node, wanted)), refused


def secondaries(
    rooms: Rooms, wanted: Demand, primary: NodeRecord
) -> tuple[list[NodeRecord], dict[str, list[str]]]:
    """The same of the secondary one; it is in the group of the primary one."""
    wanted = attrs.evolve(wanted, group=primary.group, without=(*wanted.without, primary.uuid))
    refused: dict[str, list[str]] = {}
    fitting = []
    for node in nodes_in_order(rooms.view):
        why = list(_as_secondary(rooms, node, wanted, primary))
        if why:
            refused[node.name] = why
        else:
            fitting.append(node)
    spare = attrs.evolve(wanted, vcpus=0, spec=None)
    return sorted(fitting, key=lambda node: _rank(rooms, node, spare)), refused


def choose(rooms: Rooms, wanted: Demand, name: str) -> Placement:
    """
    The nodes for a machine, primary first, all of one group.

    :raises OpPrereqError: ``insufficient_resources``, with the reasons of every node.
    """
    fitting, refused = primaries(rooms, wanted)
    if wanted.count == 1 and fitting:
        return Placement((fitting[0],), refused)
    for primary in fitting:
        others, why = secondaries(rooms, wanted, primary)
        if others:
            return Placement((primary, others[0]), refused)
        told = "; ".join(f"{other}: {', '.join(w)}" for other, w in why.items() if other != primary.name)
        refused[primary.name] = [f"no other node can be the secondary one ({told or 'there is none'})"]
    raise nowhere(name, refused)


def nowhere(name: str, refused: Mapping[str, list[str]]) -> OpPrereqError:
    """The error when no node can take a machine."""
    told = "; ".join(f"{node}: {', '.join(why)}" for node, why in sorted(refused.items()))
    return prereq(f"Can't find a node for instance {name}: {told or 'no nodes'}", "insufficient_resources")


def take(rooms: Rooms, wanted: Demand, nodes: tuple[str, ...], stays: str = "") -> None:
    """
    From now on the machine has these nodes (uuids), primary first.

    :param stays: the one of them that has its part already.
    """
    for n, node in enumerate(nodes):
        room = rooms.of(node)
        if room is None or node == stays:
            continue
        groups = {name: free - wanted.groups.get(name, 0) for name, free in room.groups.items()}
        rooms.change(node, disk=room.disk - wanted.disk, groups=groups)
        if n == 0:
            rooms.change(
                node,
                memory=room.memory - wanted.memory,
                vcpus=room.vcpus + wanted.vcpus,
                spindles=room.spindles + wanted.spindles,
                tags=room.tags | rooms.exclusion_tags(wanted.tags),
            )
        elif wanted.memory:
            before = room.reserved.get(nodes[0], 0)
            rooms.change(node, reserved={**room.reserved, nodes[0]: before + wanted.memory})


def place(view: View, wanted: Demand, name: str) -> NodeRecord:
    """
    The best primary node for a machine; of a mirrored one only the primary is looked for.

    :raises OpPrereqError: ``insufficient_resources``, with the reasons of every node.
    """
    fitting, refused = primaries(Rooms(view), wanted)
    if not fitting:
        raise nowhere(name, refused)
    return fitting[0]
