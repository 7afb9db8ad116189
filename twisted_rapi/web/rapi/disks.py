"""RAPI resources of the disks of instances."""

from typing import Any

import attrs

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import moving
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.rapi.rows import Submission, write
from twisted_rapi.web.reply import Reply

_INSTANCE = "/2/instances/[instance_name]"

GROW = Submission(
    opcode=moving.InstanceGrowDisk,
    handler="instances_name_disk_grow",
    names={"instance_name": "instance_name"},
)
RECREATE = Submission(
    opcode=moving.InstanceRecreateDisks,
    handler="instances_name_recreate_disks",
    names={"instance_name": "instance_name"},
)
REPLACE = Submission(
    opcode=moving.InstanceReplaceDisks,
    handler="instances_name_replace_disks",
    names={"instance_name": "instance_name"},
)


def indexes(text: str) -> list[int]:
    """
    Indexes of disks as text: ``0,1``; none in empty text.

    :raises BadRequest: one is no number (text as observed).
    """
    found = []
    for part in text.split(",") if text else ():
        digits = part.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
            raise BadRequest(f"Invalid disk index passed: invalid literal for int() with base 10: '{part}'")
        found.append(int(digits))
    return found


async def replace_disks(call: Call) -> Reply:
    """``POST /2/instances/N/replace-disks``: as a body, or as arguments in the older form."""
    body: dict[str, Any] = dict(call.fields())
    if not body:
        given = {name: call.argument(name) for name in ("mode", "disks", "remote_node", "iallocator")}
        body = {name: value for name, value in given.items() if value is not None}
        if call.argument("early_release") is not None:
            body["early_release"] = call.flag("early_release")
    if isinstance(body.get("disks"), str):
        body["disks"] = indexes(body["disks"])
    return await REPLACE(attrs.evolve(call, body=body))


async def grow_disk(call: Call) -> Reply:
    """``POST /2/instances/N/disk/D/grow``."""
    index = int(call.names["disk_index"])
    return await attrs.evolve(GROW, fixed={"disk": index})(call)


ROUTES = (
    Route(f"{_INSTANCE}/replace-disks", {"POST": write(replace_disks)}),
    Route(f"{_INSTANCE}/recreate-disks", {"POST": write(RECREATE)}),
    Route(f"{_INSTANCE}/disk/[disk_index]/grow", {"POST": write(grow_disk)}),
)
