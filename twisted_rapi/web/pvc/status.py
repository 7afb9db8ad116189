"""PVC's endpoints about the whole cluster."""

import attrs

from twisted_rapi import __version__
from twisted_rapi.errors import BadRequest, Conflict
from twisted_rapi.plan.pvc import status as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, Dialect
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import busy_scene_of, scene_of
from twisted_rapi.web.rapi.watchdog import LONGEST
from twisted_rapi.web.reply import Reply


async def status(call: PvcCall) -> Reply:
    """``GET /status``; Ceph is waited for a little."""
    storage = await call.counts.get(call.api)
    scene = attrs.evolve(busy_scene_of(call.api), storage=storage)
    return answer(call.dialect, pvc.status(scene, call.dialect, __version__))


def primary_node(call: PvcCall) -> Reply:
    """``GET /status/primary_node``."""
    return answer(call.dialect, {"primary_node": pvc.primary_node(scene_of(call.api))})


async def set_maintenance(call: PvcCall) -> Reply:
    """``POST /status``: the watchdog starts nothing, and no node is fenced."""
    wanted = call.text("state") == "true"
    try:
        await call.api.cluster.watchdog.pause(LONGEST if wanted else 0.0)
    except Conflict as e:
        raise BadRequest("The cluster was changed at the same time; please ask again") from e
    return call.told(f"Successfully set cluster in {'maintenance' if wanted else 'normal'} mode")


def tasks(call: PvcCall) -> Reply:
    """``GET /provisioner/status``: clients ask it before they hand the mastership on."""
    return answer(call.dialect, [])


ENDPOINTS = (
    Endpoint(
        path="/provisioner/status",
        method="GET",
        handler=tasks,
        doc="List the tasks of the provisioner: there is none, and so are its tasks.",
        dialects=LATER,
    ),
    Endpoint(
        path="/status",
        method="GET",
        handler=status,
        doc="Show the state of the cluster.",
        dialects=LATER,
    ),
    Endpoint(
        path="/status",
        method="POST",
        handler=set_maintenance,
        doc="Have nothing done by itself for 30 days, or again.",
        values=tuple(
            Value(
                name="state",
                doc="Whether the cluster is in maintenance",
                required=True,
                dialects=frozenset({dialect}),
                choices=("true", "false"),
                text=text,
            )
            for dialect, text in ((Dialect.V0_6, ""), (Dialect.V1_0, "A valid state must be specified."))
        ),
        dialects=LATER,
    ),
    Endpoint(
        path="/status/primary_node",
        method="GET",
        handler=primary_node,
        doc="Show which node is master.",
        dialects=NEWEST,
        open=True,
        kept=True,
    ),
)
