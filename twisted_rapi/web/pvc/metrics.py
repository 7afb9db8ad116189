"""PVC's endpoints for Prometheus."""

from collections.abc import Awaitable, Callable, Iterable

import attrs

from twisted_rapi import __version__
from twisted_rapi.plan.pvc import metrics as pvc
from twisted_rapi.plan.pvc.dialect import NEWEST
from twisted_rapi.plan.pvc.status import status
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall
from twisted_rapi.web.pvc.replies import SERVER
from twisted_rapi.web.pvc.scenes import busy_scene_of
from twisted_rapi.web.reply import Reply


def _shown(healths: bool, resources: bool) -> Callable[[PvcCall], Awaitable[Reply]]:
    async def shown(call: PvcCall) -> Reply:
        storage = await call.counts.get(call.api)
        scene = attrs.evolve(busy_scene_of(call.api), storage=storage)
        families: Iterable[pvc.Family] = ()
        if healths:
            families = pvc.health(scene, status(scene, call.dialect, __version__))
        if resources:
            families = [*families, *pvc.resources(scene)]
        return Reply(pvc.text_of(families).encode(), 200, b"text/plain; charset=utf-8", (SERVER,))

    return shown


ENDPOINTS = tuple(
    Endpoint(path=path, method="GET", handler=handler, doc=doc, dialects=NEWEST, media_type="text/plain")
    for path, handler, doc in (
        ("/metrics", _shown(True, True), "Show all metrics, for Prometheus."),
        ("/metrics/health", _shown(True, False), "Show how the cluster is, for Prometheus."),
        ("/metrics/resource", _shown(False, True), "Show what nodes have and machines use, for Prometheus."),
    )
)
