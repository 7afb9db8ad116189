"""
Instances that only keep their place (``forthcoming``) until they are made (``commit``).

A forthcoming instance has a record, with its nodes, names, addresses and disks, and nothing on any node.
"""

from collections.abc import Collection, Mapping
from typing import Any

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.instance import (
    InstanceCreate,
    InstanceQueryData,
    InstanceRemove,
    InstanceSetParams,
)
from twisted_rapi.model.records import InstanceRecord, Params
from twisted_rapi.plan.devices import POOL
from twisted_rapi.plan.locking import PlanFunction
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.stage import Change, DryRun, Finish, Progress, Stage
from twisted_rapi.plan.view import View

_UNREAL = (InstanceCreate, InstanceQueryData, InstanceRemove)
_GENERATED = (None, "auto", "generate")


def reserving(make: PlanFunction) -> PlanFunction:
    """What plans creations, where `make` plans those of instances that are made at once."""

    def plan(op: InstanceCreate, progress: Progress, view: View) -> Stage:
        if op.forthcoming and op.commit:
            raise prereq("An instance is either forthcoming or committed, not both")
        if (op.forthcoming or op.commit) and op.mode != "create":
            raise prereq(f"Mode '{op.mode}' makes an instance at once: it cannot be forthcoming")
        if op.commit:
            return _commit(op, progress, view, make)
        stage = make(op, progress, view)
        return _reserved(stage, view) if op.forthcoming else stage

    return plan


def _reserved(stage: Stage, view: View) -> Stage:
    """Where disks would be made next, the record alone is the end of it (log as observed)."""
    match stage:
        case DryRun():
            return attrs.evolve(stage, then=_reserved(stage.then, view))
        case Change(puts=(InstanceRecord() as made,)):
            record = replace(made, forthcoming=True, pending=None)
            log = (
                *stage.log,
                "Instance is forthcoming, not creating disks",
                f"adding instance {record.name} to cluster config",
                "adding disks to cluster config",
                "Instance is forthcoming; not creating the actual instance",
            )
            nodes = [view.nodes[n].name for n in (record.primary_node, *record.secondary_nodes)]
            return Finish(result=nodes, puts=(record,), names=stage.names, log=log, filled=stage.filled)
    return stage


# Committing.


def _commit(op: InstanceCreate, progress: Progress, view: View, make: PlanFunction) -> Stage:
    if "before" not in progress.kept:
        old = view.instance(op.instance_name)
        if not old.forthcoming:
            raise prereq(
                f"Instance '{old.name}' is not forthcoming: nothing is to be committed", "wrong_state"
            )
        return _in_place(make(_as_reserved(op, view, old), progress, _without(view, old)), old)
    old = msgspec.convert(progress.kept["before"], InstanceRecord)
    stage = make(op, progress, view)
    match stage:
        case Change(puts=(InstanceRecord(forthcoming=False) as made,)):
            return attrs.evolve(stage, free=(*stage.free, *_missing(old, made)))
        case Finish(error=error, deletes=(InstanceRecord() as made, *_)) if error is not None:
            free = _missing(made, old)
            return attrs.evolve(stage, puts=(*stage.puts, old), deletes=(), free=free)
    return stage


def _missing(one: InstanceRecord, other: InstanceRecord) -> tuple[str, ...]:
    """What the one has to itself and the other has not."""
    has = reservations(other)
    return tuple(key for key in reservations(one) if key not in has)


def _in_place(stage: Stage, old: InstanceRecord) -> Stage:
    """The record takes the place of the one there is, which stays forthcoming until all is made."""
    match stage:
        case DryRun():
            return attrs.evolve(stage, then=_in_place(stage.then, old))
        case Change(puts=(InstanceRecord() as made,)):
            record = replace(
                made,
                uuid=old.uuid,
                ctime=old.ctime,
                serial_no=old.serial_no + 1,
                forthcoming=True,
                pending=None,
            )
            kept = {**stage.kept, "uuid": old.uuid, "before": msgspec.to_builtins(old)}
            # What only the old one has stays reserved until the new one is whole.
            names = dict.fromkeys(_missing(record, old), old.uuid)
            return attrs.evolve(stage, puts=(record,), kept=kept, names=names)
    return stage


def _as_reserved(op: InstanceCreate, view: View, old: InstanceRecord) -> InstanceCreate:
    """The opcode, with what is reserved in place of what it leaves open."""
    values: Params = {
        "instance_name": old.name,
        "disk_template": op.disk_template or old.disk_template,
        "hypervisor": op.hypervisor or old.hypervisor,
        "os_type": op.os_type or old.os or None,
        "nics": [_nic(view, given, old, n) for n, given in enumerate(op.nics)],
    }
    if op.pnode is None and op.iallocator is None:
        pairs = zip(("pnode", "snode"), (old.primary_node, *old.secondary_nodes), strict=False)
        values |= {key: view.nodes[uuid].name for key, uuid in pairs}
    return replace(op, **values)


def _nic(view: View, given: Mapping[Any, Any], old: InstanceRecord, index: int) -> dict[str, Any]:
    """A NIC keeps the addresses that were chosen for the one in its place."""
    values = dict(given)
    if index >= len(old.nics):
        return values
    reserved = old.nics[index]
    if values.get("mac") in _GENERATED:
        values["mac"] = reserved.mac
    name = values.get("network")
    if values.get("ip") == POOL and name is not None and view.find("network", name) == reserved.network:
        values["ip"] = reserved.ip
    return values


def _without(view: View, old: InstanceRecord) -> View:
    """The cluster as if the instance were not there."""

    def others(table: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
        return {node: [uuid for uuid in uuids if uuid != old.uuid] for node, uuids in table.items()}

    names = {name: uuid for name, uuid in view.names["instance"].items() if uuid != old.uuid}
    return attrs.evolve(
        view,
        instances={uuid: found for uuid, found in view.instances.items() if uuid != old.uuid},
        names={**view.names, "instance": names},
        primaries=others(view.primaries),
        secondaries=others(view.secondaries),
    )


# What cannot be done with them.


def refusing(opcode: type[Opcode], plan: PlanFunction) -> PlanFunction:
    """The plan of an opcode; where it needs a real instance it is refused for one that is forthcoming."""
    if "instance_name" not in opcode.__struct_fields__ or issubclass(opcode, _UNREAL):
        return plan

    def guarded(op: Any, progress: Progress, view: View) -> Stage:
        if progress.stage == "":
            _check_real(op, view)
        return plan(op, progress, view)

    return guarded


def _check_real(op: Any, view: View) -> None:
    uuid = view.find("instance", op.instance_name)
    found = None if uuid is None else view.instances[uuid]
    if found is None or not found.forthcoming:
        return
    if isinstance(op, InstanceSetParams) and not (op.disks or op.disk_template or op.runtime_mem):
        return
    raise prereq(
        f"Instance '{found.name}' is forthcoming: it can be committed, removed or given other parameters",
        "wrong_state",
    )
