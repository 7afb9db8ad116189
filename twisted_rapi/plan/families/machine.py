"""Plans and locks of the opcodes about machines as PVC's API knows them."""

from collections.abc import Mapping

from twisted_rapi.model.opcodes import Opcode, machine
from twisted_rapi.plan.locking import LockFunction, PlanFunction, of_instance
from twisted_rapi.plan.machines import plan_set

PLANS: Mapping[type[Opcode], PlanFunction] = {
    machine.MachineSetParams: plan_set,
}

LOCKS: Mapping[type[Opcode], LockFunction] = {
    machine.MachineSetParams: lambda op, view: of_instance(view, op.instance_name),
}
