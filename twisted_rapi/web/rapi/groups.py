"""RAPI resources of node groups."""

from typing import Any

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import group as opcodes
from twisted_rapi.web.call import Route
from twisted_rapi.web.rapi.reads import listing, single, tags_of
from twisted_rapi.web.rapi.rows import Submission, flag, read, tags, write

_GROUP = "/2/groups/[group_name]"
_CUSTOM = {f"custom_{name}": name for name in ("ndparams", "ipolicy", "diskparams")}


def _group(opcode: type[Opcode], what: str = "", **more: Any) -> Submission:
    handler = f"groups_name_{what}" if what else "groups_name"
    return Submission(opcode=opcode, handler=handler, names={"group_name": "group_name"}, **more)


ADD = Submission(opcode=opcodes.GroupAdd, handler="groups", renames={"name": "group_name"}, dry_run=True)
REMOVE = _group(opcodes.GroupRemove, body=False, dry_run=True)
MODIFY = _group(opcodes.GroupSetParams, "modify", renames=_CUSTOM)
RENAME = _group(opcodes.GroupRename, "rename", dry_run=True)
ASSIGN = _group(opcodes.GroupAssignNodes, "assign_nodes", query={"force": ("force", flag)}, dry_run=True)

ROUTES = (
    Route(
        "/2/groups",
        {"GET": read(listing("group", "groups", "name")), "POST": write(ADD)},
    ),
    Route(
        _GROUP,
        {
            "GET": read(single("group", "group_name")),
            "DELETE": write(REMOVE),
        },
    ),
    Route(f"{_GROUP}/modify", {"PUT": write(MODIFY)}),
    Route(f"{_GROUP}/rename", {"PUT": write(RENAME)}),
    Route(f"{_GROUP}/assign-nodes", {"PUT": write(ASSIGN)}),
    tags(f"{_GROUP}/tags", tags_of("group", "group_name"), "nodegroup", "groups_name_tags", "group_name"),
)
