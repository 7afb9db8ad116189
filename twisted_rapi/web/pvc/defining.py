"""PVC's endpoints that make, replace and forget machines, and change what is kept of them."""

from collections.abc import Sequence
from typing import Any

from twisted_rapi.errors import BadRequest, OpPrereqError
from twisted_rapi.model.machine_xml import Found
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.instance import InstanceRename
from twisted_rapi.model.opcodes.machine import (
    MachineDefine,
    MachineModify,
    MachineSetParams,
    MachineUndefine,
)
from twisted_rapi.model.records import FINAL, JobRecord
from twisted_rapi.model.safe_xml import LONGEST
from twisted_rapi.plan.machine_draft import MALFORMED, understood
from twisted_rapi.plan.pvc import machine as pvc
from twisted_rapi.plan.pvc import node as nodes
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.power import opcodes
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.jobs import WAIT, failure, goes_on, submitted, told
from twisted_rapi.web.pvc.machines import machine_shown
from twisted_rapi.web.pvc.power import machine_of
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import busy_scene_of
from twisted_rapi.web.reply import Reply

NO_XML = "A Libvirt XML document must be specified"


# What is given.


def _xml(call: PvcCall) -> tuple[str, Found]:
    """
    The definition, and what it says.

    :raises BadRequest: there is none, or it cannot be read, with line and reason.
    """
    text = call.text("xml")
    if not text:
        raise BadRequest(f"ERROR: {NO_XML}.")
    if len(text) > LONGEST:
        raise BadRequest(f"ERROR: A definition has at most {LONGEST} characters.")
    try:
        _, found = understood(text)
    except OpPrereqError as e:
        if call.dialect is Dialect.SEED:
            raise BadRequest(f"ERROR: Failed to parse XML data: {e.text.removeprefix(MALFORMED)}") from e
        raise BadRequest(f"Error: {e.text}") from e
    return text, found


def _node(scene: Scene, name: str) -> str:
    if nodes.by_name(scene, name) is None:
        raise BadRequest(f"ERROR: Specified node '{name}' is invalid.")
    return name


def _words(call: PvcCall, name: str) -> list[str] | None:
    """A list of names; ``None`` when it was not given."""
    if name not in call.values:
        return None
    return [word.strip() for word in call.text(name).split(",") if word.strip()]


def _downtime(call: PvcCall) -> int | None:
    text = call.text("migration_max_downtime")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 3_600_000 or len(text) > 9:
        raise BadRequest("ERROR: A migration's downtime is a number of milliseconds from 1 to 3600000.")
    return int(text)


def _settings(call: PvcCall, scene: Scene) -> dict[str, Any]:
    """
    What a request gives of what is kept of a machine.

    :raises BadRequest: it cannot be meant.
    """
    limit = _words(call, "limit")
    selector, method = call.text("selector"), call.text("migration_method")
    given: dict[str, Any] = {
        "node_limit": None if limit is None else [_node(scene, name) for name in limit],
        "node_selector": ("" if selector == "none" else selector) if selector else None,
        "node_autostart": call.flag("autostart") if "autostart" in call.values else None,
        "profile": call.text("profile") if "profile" in call.values else None,
        "migration_method": ("" if method == "none" else method) if method else None,
        "migration_max_downtime": _downtime(call),
    }
    if given["profile"] is not None and len(given["profile"]) > 1024:
        raise BadRequest("ERROR: A profile's name has at most 1024 characters.")
    return {name: value for name, value in given.items() if value is not None}


# Jobs.


async def _done(call: PvcCall, job: int) -> bool:
    """
    Whether the first opcode of a job has ended well; no: it takes very long.

    :raises BadRequest: it has failed, with the reason.
    """
    found: JobRecord | None = await call.api.cluster.wait(
        job, lambda record: record.ops[0].status not in FINAL, WAIT
    )
    if found is not None and found.ops[0].status in ("error", "canceled"):
        raise BadRequest(f"ERROR: {failure(found)}")
    return found is not None and found.ops[0].status in FINAL


async def define(call: PvcCall) -> Reply:
    """``POST /vm``, ``POST /vm/V``: a machine that is not started."""
    text, found = _xml(call)
    scene = busy_scene_of(call.api)
    if call.names.get("vm", found.name) not in (found.name, found.uuid):
        raise BadRequest(f"ERROR: The definition is of VM '{found.name}', not '{call.names['vm']}'.")
    node = _node(scene, call.text("node")) if call.text("node") else None
    given = _settings(call, scene)
    tags: dict[str, Any] = {
        "tags": _words(call, "user_tags") or [],
        "protected_tags": _words(call, "protected_tags"),
    }
    view = scene.view
    if found.uuid in view.instances or found.name in view.names["instance"]:
        raise BadRequest(
            f"ERROR: Specified VM '{found.name}' or UUID '{found.uuid}' matches an existing VM on the cluster"
        )
    job = await submitted(call, [MachineDefine(xml=text, node_name=node, **tags, **given)], "vm")
    text = f"Added new VM with Name '{found.name}' and UUID '{found.uuid}' to database."
    return await told(call, job, text)


async def modify(call: PvcCall) -> Reply:
    """``PUT /vm/V``: answered once the definition is kept; a restart goes on after that."""
    _, instance = machine_of(call)
    text, _ = _xml(call)
    restart = call.flag("restart") and instance.admin_state == "up"
    more: Sequence[Opcode] = opcodes(instance, "restart", False) if restart else ()
    job = await submitted(call, [MachineModify(instance_name=instance.name, xml=text), *more], "vm")
    if not await _done(call, job):
        return goes_on(call, job)
    done = f"Successfully modified configuration of VM '{call.names['vm']}'."
    return call.told(done if call.dialect is Dialect.V1_0 else "")


async def undefine(call: PvcCall) -> Reply:
    """``DELETE /vm/V``: stopped at once, and forgotten; its disks go where that is asked for."""
    _, instance = machine_of(call)
    delete, name = call.flag("delete_disks"), call.names["vm"]
    # By its UUID: once it is gone its name may be another's, or short for one.
    op = MachineUndefine(instance_name=instance.uuid, delete_disks=delete)
    its = "its " if call.dialect is Dialect.V1_0 else ""
    removed = f"Removed VM '{name}' and {its}disks from the cluster."
    job = await submitted(call, [op], "vm")
    return await told(call, job, removed if delete else f"Undefined VM '{name}' from the cluster.")


async def rename(call: PvcCall) -> Reply:
    """``POST /vm/V/rename``."""
    scene, instance = machine_of(call)
    name, new = call.names["vm"], call.text("new_name")
    if instance.admin_state == "up" or pvc.state(scene, instance, call.dialect) not in ("stop", "disable"):
        raise BadRequest(f"ERROR: VM '{name}' is not in stopped state; VMs cannot be renamed while running.")
    op = InstanceRename(instance_name=instance.name, new_name=new, ip_check=False, name_check=False)
    job = await submitted(call, [op], "vm_rename")
    return await told(call, job, f"Successfully renamed VM '{name}' to '{new}'.")


# What is kept beside.


def meta(call: PvcCall) -> Reply:
    """``GET /vm/V/meta``."""
    scene, instance = machine_shown(call)
    return answer(call.dialect, {"name": call.names["vm"], **pvc.meta(scene, instance, call.dialect)})


async def set_meta(call: PvcCall) -> Reply:
    """``POST /vm/V/meta``: what is not given stays as it is."""
    scene, instance = machine_of(call)
    given = _settings(call, scene)
    text = f"Successfully modified PVC metadata of VM '{call.names['vm']}'."
    if not given:
        return call.told(text)
    op = MachineSetParams(instance_name=instance.name, **given)
    return await told(call, await submitted(call, [op], "vm_meta"), text)


# The table.

_XML = (
    Value(name="xml", doc="libvirt's domain XML", dialects=SEED),
    Value(name="xml", doc="libvirt's domain XML", required=True, dialects=LATER, text=NO_XML),
)


def _selector(dialects: frozenset[Dialect], *more: str) -> Value:
    return Value(
        name="selector",
        doc="How its node is chosen, where it has to be",
        choices=("mem", "vcpus", "load", "vms", *more),
        dialects=dialects,
        text="A valid selector must be specified",
    )


_SETTINGS = (
    _selector(frozenset({Dialect.SEED, Dialect.V0_6})),
    _selector(NEWEST, "memprov", "none"),
    Value(name="limit", doc="Names of the only nodes it may run on", kind="list", dialects=LATER, empty=True),
    Value(
        name="autostart",
        doc="Whether it is started when its node is made ready again",
        kind="flag",
        dialects=LATER,
        text="A valid autostart must be specified",
    ),
    Value(
        name="migration_method",
        doc="How it is migrated",
        choices=("live", "shutdown", "none"),
        dialects=NEWEST,
        text="A valid migration_method must be specified",
    ),
    Value(
        name="migration_max_downtime",
        doc="Milliseconds it may stand still while it is migrated",
        dialects=NEWEST,
    ),
)
_PROFILE = Value(name="profile", doc="What it was made from", dialects=LATER, empty=True)
_VALUES = (
    *_XML,
    Value(name="node", doc="The node it is to be on; the best one without"),
    *_SETTINGS,
    Value(name="user_tags", doc="Tags", kind="list", dialects=NEWEST),
    Value(name="protected_tags", doc="Tags that are not to be removed", kind="list", dialects=NEWEST),
)
_VM = "/vm/<vm>"

ENDPOINTS = (
    Endpoint(
        path="/vm",
        method="POST",
        handler=define,
        doc="Make a machine from libvirt's XML; its disks have to be there already, and it is not started.",
        values=_VALUES,
    ),
    Endpoint(
        path=_VM,
        method="POST",
        handler=define,
        doc="Make a machine of this name from libvirt's XML.",
        values=_VALUES,
    ),
    Endpoint(
        path=_VM,
        method="PUT",
        handler=modify,
        doc="Replace a machine's definition; it counts from its next start on.",
        values=(*_XML, Value(name="restart", doc="Restart it if it runs", kind="flag")),
    ),
    Endpoint(
        path=_VM,
        method="DELETE",
        handler=undefine,
        doc="Stop a machine at once and forget it.",
        values=(Value(name="delete_disks", doc="Remove its disks, with what is on them", kind="flag"),),
    ),
    Endpoint(
        path=f"{_VM}/rename",
        method="POST",
        handler=rename,
        doc="Give a machine that is stopped another name.",
        values=(Value(name="new_name", doc="The name", required=True, text="A new name must be specified"),),
        dialects=NEWEST,
    ),
    Endpoint(
        path=f"{_VM}/meta",
        method="GET",
        handler=meta,
        doc="Show what is kept of a machine beside its definition.",
        dialects=LATER,
        kept=True,
    ),
    Endpoint(
        path=f"{_VM}/meta",
        method="POST",
        handler=set_meta,
        doc="Change what is kept of a machine beside its definition.",
        values=(*_SETTINGS, _PROFILE),
        dialects=LATER,
    ),
)
