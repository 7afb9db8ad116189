"""Who may follow a master that gives its term up."""

from collections.abc import Collection, Mapping

from twisted_rapi.model.records import NodeRecord


def may_be_master(node: NodeRecord) -> bool:
    """Whether a node is one of those that may be master now."""
    return node.master_candidate and not node.offline and not node.drained


def refusal(target: str, nodes: Mapping[str, NodeRecord], present: Collection[str], master: str) -> str:
    """
    Why the mastership cannot be handed to a node; "" when it can.

    :param target: uuid of the node; "" for any but the master.
    :param present: uuids of the nodes whose daemon is there to take over.
    """
    if not target:
        found = successor(nodes, present, master)
        return "" if found else "there is no other master candidate whose daemon is there to take over"
    node = nodes.get(target)
    if node is None:
        return "there is no such node"
    if target == master:
        return f"{node.name} is the master already"
    if not may_be_master(node):
        return f"{node.name} is no master candidate, or it is offline or drained"
    if target not in present:
        return f"the daemon of {node.name} is not there to take over"
    return ""


def successor(nodes: Mapping[str, NodeRecord], present: Collection[str], master: str) -> str:
    """The uuid of the node that follows when any may, the first by name; "" when there is none."""
    able = [
        node for uuid, node in nodes.items() if uuid in present and uuid != master and may_be_master(node)
    ]
    return min(able, key=lambda node: node.name).uuid if able else ""
