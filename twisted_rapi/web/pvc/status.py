"""PVC's endpoints about the whole cluster."""

from twisted_rapi import __version__
from twisted_rapi.plan.pvc import status as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import busy_scene_of, scene_of
from twisted_rapi.web.reply import Reply


def status(call: PvcCall) -> Reply:
    """``GET /status``."""
    return answer(call.dialect, pvc.status(busy_scene_of(call.api), call.dialect, __version__))


def primary_node(call: PvcCall) -> Reply:
    """``GET /status/primary_node``."""
    return answer(call.dialect, {"primary_node": pvc.primary_node(scene_of(call.api))})


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
        path="/status/primary_node",
        method="GET",
        handler=primary_node,
        doc="Show which node is master.",
        dialects=NEWEST,
        open=True,
        kept=True,
    ),
)
