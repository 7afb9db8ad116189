"""PVC's endpoints that show machines."""

from collections.abc import Callable
from typing import Any

from twisted_rapi.errors import NotFound
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.pvc import machine as pvc
from twisted_rapi.plan.pvc import node as nodes
from twisted_rapi.plan.pvc.dialect import NEWEST, Dialect
from twisted_rapi.plan.pvc.limit import Unanswerable, matcher
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.nodes import LIMIT
from twisted_rapi.web.pvc.replies import SERVER, answer, ready_list
from twisted_rapi.web.pvc.scenes import busy_scene_of
from twisted_rapi.web.reply import Reply

NONE = "VM not found."
MANY = 20  # machines that are looked at before others may be served

Wanted = Callable[[Scene, InstanceRecord], bool]


def _filters(call: PvcCall, scene: Scene) -> list[Wanted]:
    """
    What the values ask for besides the limit.

    :raises Unanswerable: one cannot be meant.
    """
    node, state, tag = call.text("node"), call.text("state"), call.text("tag")
    found: list[Wanted] = []
    if node:
        record = nodes.by_name(scene, node)
        if record is None:
            raise Unanswerable(f'Specified node "{node}" is invalid.')
        uuid = record.uuid
        found.append(lambda _, instance: instance.primary_node == uuid)
    if state:
        if state not in pvc.STATES[call.dialect]:
            raise Unanswerable(f'VM state "{state}" is not valid.')
        found.append(lambda scene, instance: pvc.state(scene, instance, call.dialect) == state)
    if tag:
        found.append(lambda _, instance: tag in instance.tags)
    return found


def _wanted(call: PvcCall, scene: Scene) -> Wanted:
    """Whether a machine is asked for: filters are alternatives, but all count in the newest form."""
    matches, filters = matcher(call.text("limit"), "fuzzy"), _filters(call, scene)
    newest, negate = call.dialect is Dialect.V1_0, call.flag("negate")
    by_uuid = not newest or pvc.uuid_of(call.text("limit")) is not None
    combine = all if newest else any

    def wanted(scene: Scene, instance: InstanceRecord) -> bool:
        if not (matches(instance.name) or (by_uuid and matches(instance.uuid))):
            return False
        return not filters or combine(each(scene, instance) is not negate for each in filters)

    return wanted


async def listing(call: PvcCall) -> Reply:
    """``GET /vm``; those that come while others are looked at are left out."""
    slices = call.api.answers.slices()
    scene = busy_scene_of(call.api)
    wanted = _wanted(call, scene)
    uuids, found = [instance.uuid for instance in scene.machines()], []
    for n, uuid in enumerate(uuids):
        if (n % MANY == 0 or call.definitions.busy) and await slices.pause():
            scene = busy_scene_of(call.api)
        instance = scene.view.instances.get(uuid)
        if instance is not None and wanted(scene, instance):
            found.append(call.definitions.text(scene, instance, call.dialect))
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return ready_list(call.dialect, found)


def machine_shown(call: PvcCall) -> tuple[Scene, InstanceRecord]:
    """
    The machine that is to be shown.

    :raises NotFound: there is none.
    """
    scene = busy_scene_of(call.api)
    instance = pvc.find(scene, call.names["vm"])
    if instance is None:
        raise NotFound(NONE)
    return scene, instance


def single(call: PvcCall) -> Reply:
    """``GET /vm/V``: a list of one, or an object."""
    scene, instance = machine_shown(call)
    found = pvc.info(scene, instance, call.definitions.of(scene.view, instance), call.dialect)
    return answer(call.dialect, found if call.dialect is Dialect.V0_6 else [found])


def _part(get: Callable[[Scene, InstanceRecord, Dialect], dict[str, Any]]) -> Callable[[PvcCall], Reply]:
    def part(call: PvcCall) -> Reply:
        scene, instance = machine_shown(call)
        return answer(call.dialect, {"name": call.names["vm"], **get(scene, instance, call.dialect)})

    return part


def dump(call: PvcCall) -> Reply:
    """``GET /vm/V/dump``: the definition itself."""
    scene, instance = machine_shown(call)
    xml = call.definitions.of(scene.view, instance).xml
    return Reply(f"{xml}\n".encode(), 200, b"application/xml; charset=utf-8", (SERVER,))


_VM = "/vm/<vm>"

ENDPOINTS = (
    Endpoint(
        path="/vm",
        method="GET",
        handler=listing,
        doc="List the machines with all about them.",
        values=(
            LIMIT,
            Value(name="node", doc="Only those on this node"),
            Value(name="state", doc="Only those in this state"),
            Value(name="tag", doc="Only those with this tag", dialects=NEWEST),
            Value(name="negate", doc="All but those", kind="flag", dialects=NEWEST),
        ),
        kept=True,
        busy=True,
    ),
    Endpoint(path=_VM, method="GET", handler=single, doc="Show one machine.", kept=True, busy=True),
    Endpoint(
        path=f"{_VM}/state",
        method="GET",
        handler=_part(lambda scene, instance, dialect: {"state": pvc.state(scene, instance, dialect)}),
        doc="Show the state of a machine.",
        kept=True,
        busy=True,
    ),
    Endpoint(
        path=f"{_VM}/node",
        method="GET",
        handler=_part(lambda scene, instance, _: dict(pvc.place(scene, instance))),
        doc="Show where a machine runs, and ran before.",
        kept=True,
    ),
    Endpoint(
        path=f"{_VM}/tags",
        method="GET",
        handler=_part(lambda scene, instance, _: {"tags": pvc.tags(scene, instance)}),
        doc="Show the tags of a machine.",
        dialects=NEWEST,
        kept=True,
    ),
    Endpoint(
        path=f"{_VM}/dump",
        method="GET",
        handler=dump,
        doc="Show the definition, as XML.",
        kept=True,
        media_type="application/xml",
    ),
)
