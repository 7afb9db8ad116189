"""Plans and locks of the opcodes that move instances and their data."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, moving
from twisted_rapi.plan.failover import plan_failover
from twisted_rapi.plan.locking import LockFunction, PlanFunction, of_instance
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.migrate import plan_migrate
from twisted_rapi.plan.relocation import SHARED
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    moving.InstanceMigrate: plan_migrate,
    moving.InstanceFailover: plan_failover,
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


LOCKS: Mapping[type[Opcode], LockFunction] = {
    moving.InstanceMigrate: _relocation,
    moving.InstanceFailover: _relocation,
}
