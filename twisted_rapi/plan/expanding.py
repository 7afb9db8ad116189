"""Short names in an opcode become full ones, with the uuid beside them, when its turn has come."""

from typing import Any, TypeVar

from msgspec.structs import replace

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.group import GroupEvacuate
from twisted_rapi.model.opcodes.instance import InstanceCreate, InstanceReinstall, InstanceSetParams
from twisted_rapi.model.opcodes.moving import InstanceChangeGroup, InstanceMigrate
from twisted_rapi.model.opcodes.node import NodeEvacuate
from twisted_rapi.plan.migrate import mode_of
from twisted_rapi.plan.relocation import MOVABLE
from twisted_rapi.plan.view import View

AnyOpcode = TypeVar("AnyOpcode", bound=Opcode)

_SINGLE = (
    ("instance_name", "instance_uuid", "instance"),
    ("node_name", "node_uuid", "node"),
    ("pnode", "pnode_uuid", "node"),
    ("snode", "snode_uuid", "node"),
    ("remote_node", "remote_node_uuid", "node"),
    ("target_node", "target_node_uuid", "node"),
    ("src_node", "src_node_uuid", "node"),
)
_OS_PARAMS = ("osparams", "osparams_private", "osparams_secret")
_SEVERAL = (("nodes", "node_uuids", "node"), ("on_nodes", "on_node_uuids", "node"))
_ALLOCATED = (InstanceCreate, NodeEvacuate, InstanceChangeGroup, GroupEvacuate)
_PLACES = ("pnode", "remote_node")
"""Who names one of these asks no allocator."""


def expanded(op: AnyOpcode, view: View) -> AnyOpcode:
    """
    The opcode with full names and uuids of what it names (as observed in stored jobs).

    What is not known stays as it was given: its plan says what is wrong.
    """
    fields = set(op.__struct_fields__)
    values: dict[str, Any] = (
        _defaults(op, view) if isinstance(op, InstanceCreate) and op.mode == "create" else {}
    )
    for name, uuid, kind in _SINGLE:
        given = getattr(op, name, None)
        if {name, uuid} <= fields and isinstance(given, str):
            found = _found(view, kind, given)
            if found is not None:
                values |= {name: found[0], uuid: found[1]}
                if isinstance(op, InstanceReinstall):
                    values |= {name: getattr(op, name) or {} for name in _OS_PARAMS}
    if isinstance(op, InstanceSetParams):
        values |= {name: [_newer(edit) for edit in getattr(op, name)] for name in ("disks", "nics")}
    values |= _allocator(op, view)
    for name, uuid, kind in _SEVERAL:
        given = getattr(op, name, None)
        if {name, uuid} <= fields and given:
            every = [_found(view, kind, one) for one in given]
            if None not in every:
                values |= {name: [one[0] for one in every if one], uuid: [one[1] for one in every if one]}
    if isinstance(op, InstanceMigrate):
        values |= _migration(op, view)
    return replace(op, **values) if values else op


def _migration(op: InstanceMigrate, view: View) -> dict[str, Any]:
    """The mode a guest goes in; as observed, only of one that can."""
    uuid = view.find("instance", op.instance_name)
    if uuid is None or (op.live is not None and op.mode is not None):
        return {}
    instance = view.instances[uuid]
    if instance.disk_template not in MOVABLE or op.cleanup:
        return {}
    return {"mode": mode_of(op, view, instance), "live": None}


def _newer(edit: list[Any]) -> list[Any]:
    """An edit in the newer form; what is no edit is left for the plan to refuse."""
    if len(edit) != 2 or isinstance(edit[0], bool):
        return edit
    return ["modify", *edit] if isinstance(edit[0], int) else [edit[0], -1, edit[1]]


def _allocator(op: Opcode, view: View) -> dict[str, Any]:
    """Who is asked for nodes where nobody is named."""
    if not isinstance(op, _ALLOCATED) or op.iallocator is not None:
        return {}
    placed = any(getattr(op, name, None) for name in _PLACES)
    return {} if placed else {"iallocator": view.cluster.default_iallocator or None}


def _defaults(op: InstanceCreate, view: View) -> dict[str, Any]:
    """What a creation that does not say is made with."""
    template = op.disk_template or (view.cluster.enabled_disk_templates or (None,))[0]
    values: dict[str, Any] = {
        "disk_template": template,
        "hypervisor": op.hypervisor or view.cluster.default_hypervisor,
    }
    if template in ("file", "sharedfile") and op.file_driver is None:
        values["file_driver"] = "loop"
    if op.os_type is not None:
        values |= {"osparams_private": op.osparams_private or {}, "osparams_secret": op.osparams_secret or {}}
    return values


def _found(view: View, kind: str, name: str) -> tuple[str, str] | None:
    uuid = view.find(kind, name)
    if uuid is None:
        return None
    if kind == "node":
        return view.nodes[uuid].name, uuid
    instance = view.instances[uuid]
    return None if instance.pending is not None else (instance.name, uuid)
