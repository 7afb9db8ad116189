"""RAPI resources of nodes."""

from typing import Any

import attrs

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import node as opcodes
from twisted_rapi.plan.fields.node import ROLES, role
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.rapi.reads import found, listing, no_locks, single, tags_of
from twisted_rapi.web.rapi.rows import Submission, flag, read, tags, text, write
from twisted_rapi.web.reply import Reply, success

_NODE = "/2/nodes/[node_name]"


def _node(opcode: type[Opcode], what: str, **more: Any) -> Submission:
    handler = f"nodes_name_{what}"
    return Submission(opcode=opcode, handler=handler, names={"node_name": "node_name"}, **more)


def node_role(call: Call) -> Reply:
    """``GET /2/nodes/N/role``."""
    no_locks(call)
    view = call.api.answers.view()
    return success(ROLES[role(view, found(view, "node", call.names["node_name"]))])


FLAGS_OF_ROLE: dict[str, dict[str, bool]] = {
    "regular": {"master_candidate": False, "offline": False, "drained": False},
    "master-candidate": {"master_candidate": True},
    "drained": {"drained": True},
    "offline": {"offline": True},
}

MODIFY = _node(opcodes.NodeSetParams, "modify")
POWERCYCLE = _node(opcodes.NodePowercycle, "powercycle", query={"force": ("force", flag)})


async def set_role(call: Call) -> Reply:
    """``PUT /2/nodes/N/role``: the body is the role's name."""
    if not isinstance(call.body, str):
        raise BadRequest(f"Body contents: Type is '{type(call.body).__name__}', but 'str' is expected")
    flags = FLAGS_OF_ROLE.get(call.body)
    if flags is None:
        raise BadRequest(f"Can't set '{call.body}' role")
    force, auto = call.flag("force"), call.flag("auto-promote")
    submission = _node(
        opcodes.NodeSetParams, "role", fixed={**flags, "force": force, "auto_promote": auto}, body=False
    )
    return await submission(call)


def _required(call: Call, name: str) -> str:
    value = call.argument(name)
    if value is None:
        raise BadRequest(f"Missing the required '{name}' parameter")
    return value


async def storage(call: Call) -> Reply:
    """``GET /2/nodes/N/storage``: a job that lists units."""
    fields = _required(call, "output_fields").split(",")
    submission = Submission(
        opcode=opcodes.NodeQueryStorage,
        handler="nodes_name_storage",
        query={"storage_type": ("storage_type", text)},
        fixed={"nodes": [call.names["node_name"]], "output_fields": fields},
        body=False,
    )
    return await submission(call)


_UNIT = {"storage_type": ("storage_type", text), "name": ("name", text)}
_CHANGE = _node(opcodes.NodeModifyStorage, "storage_modify", query=_UNIT, body=False)
_REPAIR = _node(opcodes.RepairNodeStorage, "storage_repair", query=_UNIT, body=False)


async def storage_modify(call: Call) -> Reply:
    """``PUT /2/nodes/N/storage/modify``: whether a unit gives space can be changed."""
    _required(call, "name")
    given = call.argument("allocatable") is not None
    changes = {"allocatable": call.flag("allocatable")} if given else {}
    return await attrs.evolve(_CHANGE, fixed={"changes": changes})(call)


async def storage_repair(call: Call) -> Reply:
    """``PUT /2/nodes/N/storage/repair``."""
    _required(call, "name")
    return await _REPAIR(call)


ROUTES = (
    Route("/2/nodes", {"GET": read(listing("node", "nodes", "id"))}),
    Route(_NODE, {"GET": read(single("node", "node_name"))}),
    Route(f"{_NODE}/role", {"GET": read(node_role), "PUT": write(set_role)}),
    Route(f"{_NODE}/modify", {"POST": write(MODIFY)}),
    Route(f"{_NODE}/powercycle", {"POST": write(POWERCYCLE)}),
    Route(f"{_NODE}/storage", {"GET": write(storage)}),
    Route(f"{_NODE}/storage/modify", {"PUT": write(storage_modify)}),
    Route(f"{_NODE}/storage/repair", {"PUT": write(storage_repair)}),
    tags(f"{_NODE}/tags", tags_of("node", "node_name"), "node", "nodes_name_tags", "node_name"),
)
