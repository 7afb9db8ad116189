"""The URIs of RAPI 2 (resources.json): all families put together."""

from twisted_rapi.web.call import Route
from twisted_rapi.web.rapi import (
    allocation,
    cluster,
    detached,
    disks,
    events,
    fates,
    filters,
    groups,
    instances,
    jobs,
    master,
    moves,
    networks,
    nodes,
    queries,
    watchdog,
)
from twisted_rapi.web.rapi.described import described

_FAMILIES: tuple[Route, ...] = (
    *allocation.ROUTES,
    *cluster.ROUTES,
    *instances.ROUTES,
    *disks.ROUTES,
    *detached.ROUTES,
    *nodes.ROUTES,
    *groups.ROUTES,
    *networks.ROUTES,
    *moves.ROUTES,
    *jobs.ROUTES,
    *master.ROUTES,
    *events.ROUTES,
    *watchdog.ROUTES,
    *fates.ROUTES,
    *filters.ROUTES,
    *queries.ROUTES,
)

ROUTES = described(_FAMILIES)
