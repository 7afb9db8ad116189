"""Plans and locks of the opcodes that move instances and their data."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, backup, moving
from twisted_rapi.plan.backups import plan_export_remove, plan_prepare
from twisted_rapi.plan.export import plan_export
from twisted_rapi.plan.failover import plan_failover
from twisted_rapi.plan.locking import LockFunction, PlanFunction, of_instance
from twisted_rapi.plan.locks import Lock
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
}


def _relocation(op: moving.InstanceMigrate | moving.InstanceFailover, view: View) -> Iterator[Lock]:
    yield from of_instance(view, op.instance_name, nodes=True, resources=True)
    uuid = view.find("instance", op.instance_name)
    if uuid is None or view.instances[uuid].disk_template not in SHARED:
        return
    given = None if op.target_node is None else view.find("node", op.target_node)
    for node in view.nodes if given is None else [given]:
        yield Lock("node", node)
        yield Lock("node-res", node)


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
    backup.BackupRemove: lambda _op, view: (Lock("node", node) for node in view.nodes),
}
