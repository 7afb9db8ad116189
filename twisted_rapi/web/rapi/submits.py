"""
RAPI resources that submit jobs: mostly rows of a table.

A row says which opcode, which of its parameters come from the URI and the query, and whether the body's keys
are parameters too (resources.json).
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import Opcode, cluster, decode, instance
from twisted_rapi.web.call import Call
from twisted_rapi.web.reply import Reply, success

QueryValue = Callable[[Call, str], Any]


def flag(call: Call, name: str) -> Any:
    """A yes-or-no argument; ``None`` when it is absent."""
    return None if call.argument(name) is None else call.flag(name)


def text(call: Call, name: str) -> Any:
    """An argument as it is."""
    return call.argument(name)


@attrs.frozen(kw_only=True)
class Submission:
    """
    How a request becomes an opcode.

    :ivar handler: its name in the reason trail.
    :ivar names: parameter -> name in the URI.
    :ivar query: argument -> parameter and how it is read: the older form; a body may give them too.
    :ivar body: whether the body's keys are parameters.
    :ivar renames: older key of the body -> parameter.
    """

    opcode: type[Opcode]
    handler: str
    names: Mapping[str, str] = attrs.field(factory=dict)
    query: Mapping[str, tuple[str, QueryValue]] = attrs.field(factory=dict)
    fixed: Mapping[str, Any] = attrs.field(factory=dict)
    body: bool = True
    renames: Mapping[str, str] = attrs.field(factory=dict)

    async def __call__(self, call: Call) -> Reply:
        """Submit the job and answer its id."""
        return success(await call.api.cluster.submit([self.opcode_of(call)], call.request_id))

    def opcode_of(self, call: Call) -> Opcode:
        """
        The opcode a request means.

        :raises BadRequest: it means none.
        """
        values = renamed(call.fields(), self.renames) if self.body else {}
        static = {name: call.names[key] for name, key in self.names.items()} | dict(self.fixed)
        static["reason"] = trail(call, self.handler)
        clash = sorted(set(values) & set(static))
        if clash:
            listed = ", ".join(f"'{name}'" for name in clash)
            raise BadRequest(f"Can't overwrite static parameters {{{listed}}}")
        for argument, (name, read) in self.query.items():
            value = read(call, argument)
            if value is not None:
                values[name] = value
        dry_run = flag(call, "dry-run")
        if dry_run is not None:
            values["dry_run"] = dry_run
        return decode(self.opcode, {**values, **static})


def renamed(values: dict[str, Any], renames: Mapping[str, str]) -> dict[str, Any]:
    """
    The body with older keys under their new names.

    :raises BadRequest: a key is given under both.
    """
    for old, new in renames.items():
        if old in values:
            if new in values:
                raise BadRequest(f"Parameter '{old}' was renamed to '{new}', but both are specified")
            values[new] = values.pop(old)
    return values


def trail(call: Call, handler: str) -> list[list[Any]]:
    """The reason trail of a request (behaviour.md §3.8)."""
    ns = int(call.api.now() * 1e9)
    given = call.argument("reason")
    user = [] if given is None else [["gnt:user", given, ns]]
    return [*user, [f"gnt:library:rlib2:{handler}", "", ns]]


def _instance(
    opcode: type[Opcode], what: str, query: Mapping[str, tuple[str, QueryValue]] | None = None, **more: Any
) -> Submission:
    handler = f"instances_name_{what}" if what else "instances_name"
    return Submission(
        opcode=opcode, handler=handler, names={"instance_name": "instance_name"}, query=query or {}, **more
    )


STARTUP = _instance(
    instance.InstanceStartup, "startup", {"force": ("force", flag), "no_remember": ("no_remember", flag)}
)
SHUTDOWN = _instance(instance.InstanceShutdown, "shutdown", {"no_remember": ("no_remember", flag)})
REMOVE = _instance(instance.InstanceRemove, "")
RENAME = _instance(instance.InstanceRename, "rename")
MODIFY = _instance(
    instance.InstanceSetParams,
    "modify",
    renames={"custom_beparams": "beparams", "custom_hvparams": "hvparams"},
)
ACTIVATE = _instance(instance.InstanceActivateDisks, "activate_disks", {"ignore_size": ("ignore_size", flag)})
DEACTIVATE = _instance(instance.InstanceDeactivateDisks, "deactivate_disks", {"force": ("force", flag)})
_REBOOT = _instance(
    instance.InstanceReboot,
    "reboot",
    {"ignore_secondaries": ("ignore_secondaries", flag), "type": ("reboot_type", text)},
)


async def reboot(call: Call) -> Reply:
    """``POST /2/instances/N/reboot``; hard unless told otherwise."""
    if call.argument("type") is None and "reboot_type" not in call.fields():
        call = attrs.evolve(call, body={**call.fields(), "reboot_type": "hard"})
    return await _REBOOT(call)


async def instance_info(call: Call) -> Reply:
    """``GET /2/instances/N/info``."""
    op = instance.InstanceQueryData(
        instances=[call.names["instance_name"]],
        static=call.flag("static"),
        use_locking=not call.flag("static"),
        reason=trail(call, "instances_name_info"),
    )
    return success(await call.api.cluster.submit([op], call.request_id))


CREATE_RENAMES = {"os": "os_type", "name": "instance_name"}


async def create(call: Call) -> Reply:
    """``POST /2/instances``; data of version 1, the only one that is left."""
    body = call.fields()
    version = body.pop("__version__", 0)
    if isinstance(version, bool) or not isinstance(version, (int, float)) or version != 1:
        if version == 0 and not isinstance(version, bool):
            raise BadRequest("Instance creation request version 0 is no longer supported")
        raise BadRequest(f"Unsupported request data version {version}")
    submission = Submission(opcode=instance.InstanceCreate, handler="instances", renames=CREATE_RENAMES)
    return await submission(attrs.evolve(call, body=body))


async def reinstall(call: Call) -> Reply:
    """``POST /2/instances/N/reinstall``: as a body, or as arguments in the older form."""
    body = call.fields()
    if body and call.arguments():
        raise BadRequest("Can't combine query and body parameters")
    if not body:
        body = {"start": not call.flag("nostartup")}
        if call.argument("os") is not None:
            body["os"] = call.argument("os")
    return success(await call.api.cluster.submit(_reinstallation(call, body), call.request_id))


def _reinstallation(call: Call, body: dict[str, Any]) -> list[Opcode]:
    unknown = sorted(set(body) - {"os", "start", "osparams", "osparams_private", "osparams_secret"})
    if unknown:
        raise BadRequest(f"Unknown parameter '{unknown[0]}'")
    start = body.pop("start", True)
    if not isinstance(start, bool):
        raise BadRequest("Invalid value for the 'start' parameter")
    name = call.names["instance_name"]
    common = {"instance_name": name, "reason": trail(call, "instances_name_reinstall")}
    values = {("os_type" if key == "os" else key): value for key, value in body.items()}
    ops: list[Opcode] = [
        decode(instance.InstanceShutdown, common),
        decode(instance.InstanceReinstall, {**common, **values}),
    ]
    return [*ops, decode(instance.InstanceStartup, common)] if start else ops


@attrs.frozen
class TagChange:
    """
    ``PUT`` and ``DELETE`` of tags of one kind of object.

    Tags are arguments of the query, or a JSON list as the documents promise (docs/compatibility.rst); a list
    that only says the arguments again, as Ganeti's own client sends, adds nothing.
    """

    opcode: type[cluster.TagsSet] | type[cluster.TagsDel]
    kind: str
    handler: str
    name: str = ""  # in the URI

    async def __call__(self, call: Call) -> Reply:
        """Submit the job and answer its id."""
        given = call.arguments().get("tag", [])
        if isinstance(call.body, list):
            if not all(isinstance(tag, str) for tag in call.body):
                raise BadRequest("Tags must be a list of text")
            given = [*given, *(tag for tag in call.body if tag not in given)]
        elif call.body not in (None, {}):
            raise BadRequest("Tags must be a list of text")
        if not given:
            raise BadRequest("Invalid usage: at least one 'tag' is needed")
        values: dict[str, Any] = {"kind": self.kind, "tags": given, "reason": trail(call, self.handler)}
        values["name"] = call.names[self.name] if self.name else None
        dry_run = flag(call, "dry-run")
        op = decode(self.opcode, values if dry_run is None else {**values, "dry_run": dry_run})
        return success(await call.api.cluster.submit([op], call.request_id))
