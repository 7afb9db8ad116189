"""
How a node is chosen for a machine (behaviour.md of PVC §6).

Which nodes can take it is judged as for any move; a selector says which of them is best.  Where several are
equally good the first by name is taken, so that the same cluster always gives the same answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.moving import InstanceMigrate
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan import relocation
from twisted_rapi.plan.disks import MIRRORED
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.rooms import Rooms
from twisted_rapi.plan.view import View

USUAL = "mem"
"""The selector of a machine that has none of its own."""


@attrs.frozen(kw_only=True)
class Figures:
    """
    What is compared of a node; sizes are MiB.

    :ivar free: what neither runs nor is about to; `allocated`: what machines have that run or are about to.
    :ivar provisioned: what all its machines have when they run; `vcpus`: of those that do.
    :ivar vms: how many these are.
    """

    name: str
    total: int
    free: int
    allocated: int
    provisioned: int
    vcpus: int
    load: float
    vms: int


Measure = Callable[[Figures], float]

_MEMORY: Mapping[Dialect, Measure] = {
    Dialect.SEED: lambda f: f.allocated,
    Dialect.V0_6: lambda f: f.allocated - f.total,
    Dialect.V1_0: lambda f: -f.free,
}
"""What ``mem`` means: least allocated, then most not allocated, then most free."""

_MEASURES: Mapping[str, Measure] = {
    "memprov": lambda f: f.provisioned - f.total,
    "vcpus": lambda f: f.vcpus,
    "load": lambda f: f.load,
    "vms": lambda f: f.vms,
}

SELECTORS = (USUAL, *_MEASURES)


def measure(selector: str, dialect: Dialect = Dialect.V1_0) -> Measure:
    """
    What makes a node better by being less.

    :param selector: one of `SELECTORS`; "" for the usual one.
    """
    return _MEASURES.get(selector, _MEMORY[dialect])


def in_order(nodes: Iterable[Figures], selector: str, dialect: Dialect = Dialect.V1_0) -> list[Figures]:
    """The nodes, best first."""
    of = measure(selector, dialect)
    return sorted(nodes, key=lambda each: (of(each), each.name))


def figures(rooms: Rooms, node: NodeRecord) -> Figures:
    """
    What is compared of a node that answers.

    A machine that is wanted up counts though its node has not reported it yet.
    """
    view = rooms.view
    report, here = view.reports[node.uuid], list(view.instances_on(node.uuid))
    seen = [domain for domain in report.domains.values() if domain.running]
    names = {domain.name for domain in seen}
    coming = [i for i in here if i.admin_state == "up" and i.name not in names]
    backends = {i.uuid: params.beparams(view.cluster, i) for i in here}
    claims = rooms.claims(report, here)
    return Figures(
        name=node.name,
        total=report.memory_total,
        free=report.memory_free - claims,
        allocated=sum(domain.memory for domain in seen) + claims,
        provisioned=sum(each["maxmem"] for each in backends.values()),
        vcpus=sum(domain.vcpus for domain in seen) + sum(backends[i.uuid]["vcpus"] for i in coming),
        load=report.load,
        vms=len(seen) + len(coming),
    )


def movable(instance: InstanceRecord) -> bool:
    """Whether its disks are, or can be, where it goes."""
    return instance.disk_template in relocation.MOVABLE


def why_not(view: View, instance: InstanceRecord, node: NodeRecord) -> str:
    """Why a machine cannot be moved to a node, its memory aside; "" when it can."""
    mirrored = instance.disk_template in MIRRORED
    if mirrored and node.uuid not in instance.secondary_nodes:
        return f"its {instance.disk_template} disks are not on node '{node.name}'"
    asked = InstanceMigrate(instance_name=instance.name, ignore_ipolicy=True)
    try:
        relocation.check_target(asked, view, instance, node)
    except OpPrereqError as e:
        return e.text
    return ""


def candidates(rooms: Rooms, instance: InstanceRecord) -> Iterator[NodeRecord]:
    """The nodes that are ready and can take a machine within its limits, other than the one it is on."""
    view = rooms.view
    limit = view.machine(instance.uuid).node_limit
    domain = view.domain(instance)
    needed = params.beparams(view.cluster, instance)["maxmem"] if instance.admin_state == "up" else 0
    if domain is not None and domain.running:
        needed = max(needed, domain.memory)
    for node in view.nodes.values() if movable(instance) else ():
        if node.uuid == instance.primary_node or node.uuid in view.domain_states:
            continue
        if limit and node.name not in limit:
            continue
        room = rooms.of(node.uuid)
        if room is not None and room.memory >= needed and not why_not(view, instance, node):
            yield node


def targets(
    view: View, instance: InstanceRecord, selector: str = "", dialect: Dialect = Dialect.V1_0
) -> list[NodeRecord]:
    """
    Where a machine can go, best first.

    :param selector: "" for its own.
    """
    rooms = Rooms(view)
    own = selector or view.machine(instance.uuid).node_selector
    found = {node.name: node for node in candidates(rooms, instance)}
    best = in_order((figures(rooms, node) for node in found.values()), own, dialect)
    return [found[each.name] for each in best]
