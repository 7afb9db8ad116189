"""The pool of master candidates: how many there should be, and who becomes one (behaviour.md §10)."""

from collections.abc import Collection

from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.view import View


def _possible(node: NodeRecord) -> bool:
    return node.master_capable and not node.offline and not node.drained


def pool_size(view: View, without: Collection[str] = ()) -> tuple[int, int]:
    """
    How many candidates there are, and how many there should be: as many as the cluster wants, if so many
    nodes can be.

    :param without: uuids of nodes that do not count at all.
    """
    nodes = [node for node in view.nodes.values() if node.uuid not in without]
    possible = sum(1 for node in nodes if _possible(node))
    return sum(1 for n in nodes if n.master_candidate), min(possible, view.cluster.candidate_pool_size)


def may_go(view: View, node: NodeRecord) -> bool:
    """Whether there are enough other candidates without this one."""
    now, wanted = pool_size(view, {node.uuid})
    return now >= wanted


def needed(view: View, node: NodeRecord) -> bool:
    """Whether this node has to become a candidate when it can be one."""
    now, wanted = pool_size(view, {node.uuid})
    return now < min(wanted + 1, view.cluster.candidate_pool_size)


def filling(view: View, size: int) -> list[NodeRecord]:
    """The nodes, by name, that have to become candidates when the cluster wants so many."""
    able = [node for node in sorted(view.nodes.values(), key=lambda n: n.name) if _possible(node)]
    now = sum(1 for node in view.nodes.values() if node.master_candidate)
    more = [node for node in able if not node.master_candidate]
    return more[: max(0, min(len(able), size) - now)]


def promoted(view: View, without: NodeRecord) -> list[NodeRecord]:
    """The nodes, by name, that have to become candidates when one is none any more."""
    now, wanted = pool_size(view, {without.uuid})
    others = [
        node
        for node in sorted(view.nodes.values(), key=lambda n: n.name)
        if _possible(node) and not node.master_candidate and node.uuid != without.uuid
    ]
    return others[: max(0, wanted - now)]
