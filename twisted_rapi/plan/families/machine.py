"""Plans and locks of the opcodes about machines as PVC's API knows them."""

from collections.abc import Iterator, Mapping

from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model.opcodes import Opcode, machine
from twisted_rapi.plan.locking import LockFunction, PlanFunction, of_instance
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.machine_draft import understood
from twisted_rapi.plan.machine_life import plan_define, plan_replace, plan_undefine
from twisted_rapi.plan.machines import plan_set
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    machine.MachineDefine: plan_define,
    machine.MachineModify: plan_replace,
    machine.MachineUndefine: plan_undefine,
    machine.MachineSetParams: plan_set,
}


def _define(op: machine.MachineDefine, view: View) -> Iterator[Lock]:
    try:
        _, found = understood(op.xml)
    except OpPrereqError:
        return  # its plan says why
    yield Lock("instance", found.name)
    given = None if op.node_name is None else view.find("node", op.node_name)
    yield from (Lock("node", uuid, shared=True) for uuid in (view.nodes if given is None else [given]))


LOCKS: Mapping[type[Opcode], LockFunction] = {
    machine.MachineDefine: _define,
    machine.MachineModify: lambda op, view: of_instance(view, op.instance_name, nodes=True),
    machine.MachineUndefine: lambda op, view: of_instance(view, op.instance_name, True, True),
    machine.MachineSetParams: lambda op, view: of_instance(view, op.instance_name),
}
