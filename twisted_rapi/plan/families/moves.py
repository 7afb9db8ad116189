"""Plans and locks of the opcodes that move instances and their data."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, backup, domain, moving
from twisted_rapi.plan.backups import plan_export_remove, plan_prepare
from twisted_rapi.plan.export import plan_export
from twisted_rapi.plan.failover import plan_failover
from twisted_rapi.plan.flushing import (
    plan_end_domain_state,
    plan_leave,
    plan_return,
    plan_set_domain_state,
)
from twisted_rapi.plan.locking import LockFunction, PlanFunction, of_instance
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.machine_moves import plan_machine_migrate
from twisted_rapi.plan.migrate import plan_migrate
from twisted_rapi.plan.move import plan_move
from twisted_rapi.plan.relocation import SHARED
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    moving.InstanceMigrate: plan_migrate,
    moving.InstanceFailover: plan_failover,
    moving.InstanceMove: plan_move,
    backup.BackupPrepare: plan_prepare,
    backup.BackupExport: plan_export,
    backup.BackupRemove: plan_export_remove,
    domain.MachineMigrate: plan_machine_migrate,
    domain.MachineLeave: plan_leave,
    domain.MachineReturn: plan_return,
    domain.NodeSetDomainState: plan_set_domain_state,
    domain.NodeEndDomainState: plan_end_domain_state,
}


_Relocation = moving.InstanceMigrate | moving.InstanceFailover | domain.MachineMigrate


def _relocation(op: _Relocation, view: View) -> Iterator[Lock]:
    yield from _relocated(op.instance_name, op.target_node, view)


def _relocated(name: str, target: str | None, view: View) -> Iterator[Lock]:
    """Wherever it may go; of a mirrored one that are its nodes."""
    yield from of_instance(view, name, nodes=True, resources=True)
    uuid = view.find("instance", name)
    if uuid is None or view.instances[uuid].disk_template not in SHARED:
        return
    given = None if target is None else view.find("node", target)
    for node in view.nodes if given is None else [given]:
        yield Lock("node", node)
        yield Lock("node-res", node)


def _domain_state(op: domain.NodeSetDomainState | domain.NodeEndDomainState, view: View) -> Iterator[Lock]:
    """What is wanted of a node may change while machines are on their way; nothing ends before they are."""
    node = view.find("node", op.node_name) or op.node_name
    yield Lock("cluster", f"domains/{node}")
    if isinstance(op, domain.NodeEndDomainState):
        yield Lock("node", node)


def _move(op: moving.InstanceMove, view: View) -> Iterator[Lock]:
    yield from of_instance(view, op.instance_name, nodes=True, resources=True)
    target = view.find("node", op.target_node)
    if target is not None:
        yield Lock("node", target)
        yield Lock("node-res", target)


def _prepare(op: backup.BackupPrepare, view: View) -> Iterator[Lock]:
    yield from of_instance(view, op.instance_name)
    if op.mode == "remote" and not view.cluster.domain_secret:
        yield Lock("cluster", "tags")  # the cluster's record changes


def _export(op: backup.BackupExport, view: View) -> Iterator[Lock]:
    yield from of_instance(view, op.instance_name)
    # Older exports are looked for on all of them.
    if op.mode == "local":
        yield from (Lock("node", node) for node in view.nodes)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    moving.InstanceMigrate: _relocation,
    moving.InstanceFailover: _relocation,
    moving.InstanceMove: _move,
    backup.BackupPrepare: _prepare,
    backup.BackupExport: _export,
    domain.MachineMigrate: _relocation,
    domain.MachineLeave: lambda op, view: _relocated(op.instance_name, None, view),
    domain.MachineReturn: lambda op, view: _relocated(op.instance_name, op.node_name, view),
    domain.NodeSetDomainState: _domain_state,
    domain.NodeEndDomainState: _domain_state,
    backup.BackupRemove: lambda _op, view: (Lock("node", node) for node in view.nodes),
}
