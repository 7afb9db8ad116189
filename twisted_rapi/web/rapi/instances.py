"""RAPI resources of instances."""

from collections.abc import Mapping
from typing import Any

import attrs

from twisted_rapi.errors import BadRequest, ServiceUnavailable
from twisted_rapi.model.opcodes import Opcode, decode, instance
from twisted_rapi.plan.console import console_of
from twisted_rapi.web.call import Call, Route, type_name
from twisted_rapi.web.rapi.reads import found, listing, single, tags_of
from twisted_rapi.web.rapi.rows import QueryValue, Submission, flag, live, read, tags, text_or, trail, write
from twisted_rapi.web.reply import Reply, success

_INSTANCE = "/2/instances/[instance_name]"


def _instance(
    opcode: type[Opcode], what: str, query: Mapping[str, tuple[str, QueryValue]] | None = None, **more: Any
) -> Submission:
    handler = f"instances_name_{what}" if what else "instances_name"
    return Submission(
        opcode=opcode, handler=handler, names={"instance_name": "instance_name"}, query=query or {}, **more
    )


STARTUP = _instance(
    instance.InstanceStartup,
    "startup",
    {"force": ("force", flag), "no_remember": ("no_remember", flag)},
    body=frozenset({"depends"}),
    dry_run=True,
)
SHUTDOWN = _instance(
    instance.InstanceShutdown, "shutdown", {"no_remember": ("no_remember", flag)}, dry_run=True
)
REMOVE = _instance(instance.InstanceRemove, "", fixed={"ignore_failures": False}, dry_run=True)
RENAME = _instance(instance.InstanceRename, "rename")
MODIFY = _instance(
    instance.InstanceSetParams,
    "modify",
    renames={"custom_beparams": "beparams", "custom_hvparams": "hvparams"},
)
ACTIVATE = _instance(
    instance.InstanceActivateDisks, "activate_disks", {"ignore_size": ("ignore_size", flag)}, body=False
)
DEACTIVATE = _instance(
    instance.InstanceDeactivateDisks, "deactivate_disks", {"force": ("force", flag)}, body=False
)
REBOOT = _instance(
    instance.InstanceReboot,
    "reboot",
    {"type": ("reboot_type", text_or("hard")), "ignore_secondaries": ("ignore_secondaries", flag)},
    dry_run=True,
)


async def instance_info(call: Call) -> Reply:
    """``GET /2/instances/N/info``."""
    op = instance.InstanceQueryData(
        instances=[call.names["instance_name"]],
        static=call.flag("static"),
        use_locking=not call.flag("static"),
        reason=trail(call, "instances_name_info"),
    )
    return success(await call.api.cluster.submit([op], call.request_id, reading=True))


CREATE_RENAMES = {"os": "os_type", "name": "instance_name"}


async def create(call: Call) -> Reply:
    """``POST /2/instances``; data of version 1, the only one that is left."""
    if call.body is None:
        raise BadRequest("Body contents: Type is 'NoneType', but 'dict' is expected")
    body = call.fields()
    version = body.pop("__version__", 0)
    if isinstance(version, bool) or not isinstance(version, (int, float)) or version != 1:
        if version == 0 and not isinstance(version, bool):
            raise BadRequest("Instance creation request version 0 is no longer supported")
        raise BadRequest(f"Unsupported request data version {version}")
    _list_devices(body)
    submission = Submission(
        opcode=instance.InstanceCreate, handler="instances", renames=CREATE_RENAMES, dry_run=True
    )
    return await submission(attrs.evolve(call, body=body))


def _list_devices(body: dict[str, Any]) -> None:
    """USB devices may be separated by blanks, as older releases had it."""
    hvparams = body.get("hvparams")
    if isinstance(hvparams, dict) and isinstance(hvparams.get("usb_devices"), str):
        body["hvparams"] = {**hvparams, "usb_devices": ",".join(hvparams["usb_devices"].split())}


async def reinstall(call: Call) -> Reply:
    """``POST /2/instances/N/reinstall``: as a body, or as arguments in the older form."""
    if call.body is not None and not isinstance(call.body, dict):
        raise BadRequest("Invalid body contents, not a dictionary")
    body = call.body or {}
    if body and call.arguments():
        raise BadRequest("Can't combine query and body parameters")
    if not body:
        body = {"start": not call.flag("nostartup"), "os": call.argument("os")}
    return success(await call.api.cluster.submit(_reinstallation(call, body), call.request_id))


_REINSTALL = ("os", "osparams", "osparams_private", "osparams_secret")


def _reinstallation(call: Call, body: dict[str, Any]) -> list[Opcode]:
    """Stop, install, start; other keys of the body are ignored (resources.json)."""
    start = body.get("start", True)
    if not isinstance(start, bool):
        raise BadRequest(f"'start' parameter: Type is '{type_name(start)}', but 'bool' is expected")
    common = {"instance_name": call.names["instance_name"]}
    values = {
        ("os_type" if key == "os" else key): body[key] for key in _REINSTALL if body.get(key) is not None
    }
    ops: list[Opcode] = [
        decode(instance.InstanceShutdown, common),
        decode(instance.InstanceReinstall, {**common, **values}),
    ]
    return [*ops, decode(instance.InstanceStartup, common)] if start else ops


def console(call: Call) -> Reply:
    """``GET /2/instances/N/console`` (behaviour.md §4)."""
    view = call.api.answers.view()
    record = found(view, "instance", call.names["instance_name"])
    way = console_of(view, record)
    if way is None:
        raise ServiceUnavailable("Instance console unavailable")
    return success(way)


ROUTES = (
    Route(
        "/2/instances",
        {"GET": read(listing("instance", "instances", "id")), "POST": write(create)},
    ),
    Route(
        _INSTANCE,
        {"GET": read(single("instance", "instance_name")), "DELETE": write(REMOVE)},
    ),
    Route(f"{_INSTANCE}/info", {"GET": live(instance_info)}),
    Route(f"{_INSTANCE}/startup", {"PUT": write(STARTUP)}),
    Route(f"{_INSTANCE}/shutdown", {"PUT": write(SHUTDOWN)}),
    Route(f"{_INSTANCE}/reboot", {"POST": write(REBOOT)}),
    Route(f"{_INSTANCE}/reinstall", {"POST": write(reinstall)}),
    Route(f"{_INSTANCE}/rename", {"PUT": write(RENAME)}),
    Route(f"{_INSTANCE}/modify", {"PUT": write(MODIFY)}),
    Route(f"{_INSTANCE}/console", {"GET": read(console, "reader")}),
    Route(f"{_INSTANCE}/activate-disks", {"PUT": write(ACTIVATE)}),
    Route(f"{_INSTANCE}/deactivate-disks", {"PUT": write(DEACTIVATE)}),
    tags(
        f"{_INSTANCE}/tags",
        tags_of("instance", "instance_name"),
        "instance",
        "instances_name_tags",
        "instance_name",
    ),
)
