"""Plans and locks of the opcodes about machines as PVC's API knows them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model.machine_xml import Found
from twisted_rapi.model.opcodes import Opcode, machine
from twisted_rapi.plan.locking import LockFunction, PlanFunction, of_instance, volume_lock
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
    yield from _places(found)


def _modify(op: machine.MachineModify, view: View) -> Iterator[Lock]:
    yield from of_instance(view, op.instance_name, nodes=True)
    with suppress(OpPrereqError):
        yield from _places(understood(op.xml)[1])


def _places(found: Found) -> Iterator[Lock]:
    """What disks are made of has one that is about to have it, or to remove it, at a time."""
    for place in sorted({(disk.kind, disk.place) for disk in found.disks if disk.kind}):
        yield volume_lock(*place)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    machine.MachineDefine: _define,
    machine.MachineModify: _modify,
    machine.MachineUndefine: lambda op, view: of_instance(view, op.instance_name, True, True),
    machine.MachineSetParams: lambda op, view: of_instance(view, op.instance_name),
}
