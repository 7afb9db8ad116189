"""
Nodes for an allocator to choose from, whose locks a job takes because they are free (opportunistic locking).

Which they are is settled when the job asks for its locks: from then on they are the nodes it has locked.
"""

from collections.abc import Iterable
from typing import Protocol

from twisted_rapi.errors import prereq
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.view import View


class Opportunistic(Protocol):
    """What opcodes that ask allocators for new instances have in common."""

    @property
    def opportunistic_locking(self) -> bool:
        """Whether nodes that others have locked are left out instead of being waited for."""


def to_lock(op: Opportunistic, view: View, shared: bool = False) -> Iterable[str]:
    """The uuids of the nodes that are locked for the choice: all, or those that are free."""
    if not op.opportunistic_locking:
        return view.nodes
    had = view.locks.granted(view.owner)
    if had:
        return _nodes(had)
    return [node for node in view.nodes if all(view.locks.free(lock) for lock in of_node(node, shared))]


def of_node(node: str, shared: bool = False) -> tuple[Lock, Lock]:
    """The locks of a node (a uuid) that instances are made on."""
    return Lock("node", node, shared), Lock("node-res", node, shared)


def _nodes(locks: Iterable[Lock]) -> list[str]:
    return sorted(lock.name for lock in locks if lock.level == "node")


def offered(op: Opportunistic, view: View) -> tuple[str, ...] | None:
    """
    The uuids of the nodes an allocator may choose; ``None``: all.

    :raises OpPrereqError: ``temp_insufficient_resources``: others have locked all nodes.
    """
    if not op.opportunistic_locking:
        return None
    found = _nodes(view.locks.granted(view.owner))
    if not found:
        raise prereq("All nodes are locked by other jobs just now", "temp_insufficient_resources")
    return tuple(found)
