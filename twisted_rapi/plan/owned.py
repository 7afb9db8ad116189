"""Logical volumes of nodes: which there are, and whose they are."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.node import NodeQueryvols
from twisted_rapi.model.records import DiskRecord, NodeRecord
from twisted_rapi.model.steps import ListVolumes, Outcome
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.stage import Do, Finish, InParallel, Perform, Progress, Stage, steps_of
from twisted_rapi.plan.view import View

FIELDS = ("phys", "vg", "name", "size", "instance", "node")

Place = tuple[str, str]  # a node's uuid, and ``group/name`` there
Owners = Mapping[Place, str]


def owners(view: View) -> Owners:
    """
    The name of the instance each logical volume is a part of; those being made are among them.

    Volumes of detached disks are no instance's, which ``-`` stands for.
    """
    loose = {place: "-" for r in view.detached.values() for place in _places(r.nodes[0], r.disk)}
    instances = view.instances.values()
    return loose | {p: i.name for i in instances for d in i.disks for p in _places(i.primary_node, d)}


def _places(node: str, disk: DiskRecord) -> Iterator[Place]:
    if disk.dev_type == "plain":
        yield node, "/".join(map(str, disk.logical_id))
    for child in disk.children:
        yield from ((each, "/".join(map(str, child.logical_id))) for each in nodes_of(disk))


def listing(nodes: Iterable[NodeRecord]) -> InParallel:
    """Have nodes list their logical volumes."""
    return InParallel(tuple(Do(node.uuid, ListVolumes(instance="", kind="lvm-vg")) for node in nodes))


def plan_query_volumes(op: NodeQueryvols, progress: Progress, view: View) -> Stage:
    """A row of texts for each logical volume, by node and device; nodes that do not answer are warned of."""
    unknown = sorted(set(op.output_fields) - set(FIELDS))
    if unknown:
        raise prereq(f"Unknown output fields selected: {','.join(unknown)}")
    nodes = [view.node(name) for name in op.nodes] or sorted(view.nodes.values(), key=lambda n: n.name)
    work = listing(node for node in nodes if not node.offline)
    if progress.stage == "" and work.works:
        return Perform(work=work, stage="listed", failed="listed", patience=0.0)
    asked = [view.nodes[do.node] for do in steps_of(work)]
    # Outcomes are lost when the master changes: then nobody has answered.
    outcomes = progress.outcomes or (None,) * len(asked)
    log = [
        f" - WARNING: Can't compute volume data on node {node.name}"
        for node, outcome in zip(asked, outcomes, strict=True)
        if outcome is None
    ]
    own = owners(view)
    rows = [
        [str(volume[field]) for field in op.output_fields]
        for node, outcome in zip(asked, outcomes, strict=True)
        for volume in _volumes(node, outcome, own)
    ]
    return Finish(result=rows, log=tuple(log))


def _volumes(node: NodeRecord, outcome: Outcome | None, own: Owners) -> Iterator[Mapping[str, Any]]:
    found = () if outcome is None else outcome.units
    for unit in sorted(found, key=lambda u: (u["device"], u["unit"], u["name"])):
        yield {
            "phys": unit["device"],
            "vg": unit["unit"],
            "name": unit["name"],
            "size": unit["size"],
            "instance": own.get((node.uuid, f"{unit['unit']}/{unit['name']}"), "-"),
            "node": node.name,
        }


def strays(view: View, node: NodeRecord, outcome: Outcome, own: Owners) -> list[str]:
    """
    The volumes of the cluster's volume group that belong to nobody, as ``group/name``.

    Those that a pattern of ``reserved_lvs`` matches whole are somebody else's.
    """
    cluster = view.cluster
    names = (f"{u['unit']}/{u['name']}" for u in outcome.units if u["unit"] == cluster.volume_group_name)
    return sorted(n for n in names if (node.uuid, n) not in own and not _reserved(cluster.reserved_lvs, n))


def _reserved(patterns: Iterable[str], name: str) -> bool:
    for pattern in patterns:
        try:
            if re.fullmatch(pattern, name):
                return True
        except re.error:
            if pattern == name:
                return True
    return False
