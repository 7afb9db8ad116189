"""Where a new machine goes: which nodes could take it, and which of them is best."""

from collections.abc import Iterator

import attrs

from twisted_rapi.errors import prereq
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.view import View


@attrs.frozen(kw_only=True)
class Demand:
    """What a machine needs of its node.  Sizes are MiB; `os` is the definition's name, without variant."""

    hypervisor: str
    memory: int
    disk: int
    template: str
    os: str = ""
    group: str | None = None  # uuid
    without: tuple[str, ...] = ()  # uuids of nodes that have a part of it already


def _refusals(view: View, node: NodeRecord, demand: Demand) -> Iterator[str]:
    if node.uuid in demand.without:
        yield "it is its other node"
    if demand.group is not None and node.group != demand.group:
        yield "it is in another group"
    if view.groups[node.group].alloc_policy == "unallocable":
        yield "its group takes no instances"
    for holds, reason in (
        (node.offline, "it is offline"),
        (node.drained, "it is drained"),
        (not node.vm_capable, "it runs no instances"),
    ):
        if holds:
            yield reason
    report = view.reports.get(node.uuid)
    if report is None:
        if not node.offline:
            yield "it does not answer"
        return
    if demand.hypervisor not in report.hypervisors:
        yield f"it has no hypervisor {demand.hypervisor}"
    if demand.os and all(o.name != demand.os or o.invalid for o in report.oses):
        yield f"it has no OS definition {demand.os}"
    if demand.memory > report.memory_free:
        yield f"it has {report.memory_free} MiB of memory free"
    if demand.template != "diskless" and demand.disk > report.disk_free:
        yield f"it has {report.disk_free} MiB of disk free"


def refusals(view: View, node: NodeRecord, demand: Demand) -> list[str]:
    """Why the node cannot take the machine; empty when it can."""
    return list(_refusals(view, node, demand))


def place(view: View, demand: Demand, name: str) -> NodeRecord:
    """
    The node for a new machine: of those that can take it, in groups that want instances first, the one with
    the largest share of memory left afterwards.

    :raises OpPrereqError: ``insufficient_resources``, with the reasons of every node.
    """
    refused = {node.uuid: refusals(view, node, demand) for node in view.nodes.values()}
    fitting = [view.nodes[uuid] for uuid, reasons in refused.items() if not reasons]
    if not fitting:
        told = "; ".join(f"{view.nodes[u].name}: {', '.join(r)}" for u, r in sorted(refused.items()))
        raise prereq(f"Can't find a node for instance {name}: {told or 'no nodes'}", "insufficient_resources")

    def rank(node: NodeRecord) -> tuple[bool, float, str]:
        report = view.reports[node.uuid]
        left = (report.memory_free - demand.memory) / max(1, report.memory_total)
        return view.groups[node.group].alloc_policy == "last_resort", -left, node.name

    return min(fitting, key=rank)
