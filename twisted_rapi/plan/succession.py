"""Who may follow a master that gives its term up."""

from collections.abc import Mapping

from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import NodeRecord


def may_be_master(node: NodeRecord) -> bool:
    """Whether a node is one of those that may be master now."""
    return node.master_candidate and not node.offline and not node.drained


def refusal(
    target: str, nodes: Mapping[str, NodeRecord], present: Mapping[str, CandidateRecord], master: str
) -> str:
    """
    Why the mastership cannot be handed to a node; "" when it can.

    :param target: uuid of the node; "" for any but the master.
    :param present: the daemons that are there to take over, by their nodes' uuids.
    """
    if not target:
        if successor(nodes, present, master):
            return ""
        others = sorted(_able(nodes, present, master), key=lambda node: node.name)
        why = "; ".join(f"{node.name}: {present[node.uuid].hindered}" for node in others)
        if why:
            return f"no other master candidate could have the cluster's address ({why})"
        return "there is no other master candidate whose daemon is there to take over"
    node = nodes.get(target)
    if node is None:
        return "there is no such node"
    if target == master:
        return f"{node.name} is the master already"
    if not may_be_master(node):
        return f"{node.name} is no master candidate, or it is offline or drained"
    if target not in present:
        return f"the daemon of {node.name} is not there to take over"
    if present[target].hindered:
        return f"{node.name} could not have the cluster's address: {present[target].hindered}"
    return ""


def successor(nodes: Mapping[str, NodeRecord], present: Mapping[str, CandidateRecord], master: str) -> str:
    """The uuid of the node that follows when any may, the first by name; "" when there is none."""
    able = [node for node in _able(nodes, present, master) if not present[node.uuid].hindered]
    return min(able, key=lambda node: node.name).uuid if able else ""


def _able(
    nodes: Mapping[str, NodeRecord], present: Mapping[str, CandidateRecord], master: str
) -> list[NodeRecord]:
    """The other nodes that may be master and whose daemon is there, wherever the address is."""
    return [
        node for uuid, node in nodes.items() if uuid in present and uuid != master and may_be_master(node)
    ]
