"""Which plan and which locks belong to an opcode: all families put together."""

from collections.abc import Iterable, Mapping

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.plan.families import (
    allocation,
    ceph,
    clusters,
    disks,
    groups,
    instances,
    machine,
    moves,
    networks,
    nodes,
    queries,
    verification,
)
from twisted_rapi.plan.forthcoming import refusing
from twisted_rapi.plan.locking import LockFunction, PlanFunction
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.view import View

_FAMILIES = (
    instances,
    machine,
    disks,
    moves,
    clusters,
    groups,
    networks,
    nodes,
    queries,
    allocation,
    verification,
    ceph,
)

PLANS: Mapping[type[Opcode], PlanFunction] = {
    opcode: refusing(opcode, plan) for family in _FAMILIES for opcode, plan in family.PLANS.items()
}

LOCKS: Mapping[type[Opcode], LockFunction] = {
    opcode: locks for family in _FAMILIES for opcode, locks in family.LOCKS.items()
}


def _none(op: Opcode, view: View) -> Iterable[Lock]:
    return ()


def locks_for(op: Opcode, view: View) -> frozenset[Lock]:
    """
    The locks an opcode needs (locks_hooks.tsv), as of this view.

    All take the cluster's lock shared.  Where one asks for a lock both ways, the exclusive one counts.
    """
    wanted = {*LOCKS.get(type(op), _none)(op, view), Lock("cluster", "BGL", shared=True)}
    return frozenset(lock for lock in wanted if not lock.shared or Lock(lock.level, lock.name) not in wanted)
