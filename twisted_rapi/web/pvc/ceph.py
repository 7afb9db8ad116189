"""PVC's endpoints of a Ceph cluster as a whole, and of its pools."""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.ceph import Subject
from twisted_rapi.plan.pvc import ceph as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.limit import Match, matcher
from twisted_rapi.plan.pvc.status import primary_node
from twisted_rapi.web.pvc.ceph_changes import (
    CEPH,
    CONFIRMED,
    V0_6,
    change,
    check_seed,
    check_sure,
    done,
    needed,
    number,
    value_of,
)
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

NO_POOL = "Pool not found."
_MATCH: dict[Dialect, Match] = {Dialect.SEED: "fuzzy", Dialect.V0_6: "prefix", Dialect.V1_0: "fuzzy"}


def missing_pool(name: str, quote: str = "'") -> str:
    """What is told of a pool that is not there."""
    return f"ERROR: No pool with name {quote}{name}{quote} is present in the cluster."


# The cluster.


def _whole(kind: str, subject: Subject) -> Callable[[PvcCall], Awaitable[Reply]]:
    async def whole(call: PvcCall) -> Reply:
        found = await call.ceph.look(call.api, subject)
        [seen] = found or ({"text": ""},)
        return answer(call.dialect, pvc.whole(kind, primary_node(scene_of(call.api)), seen))

    return whole


def nothing(call: PvcCall) -> Reply:
    """``GET /storage/ceph`` in later dialects."""
    return answer(call.dialect, None)


async def set_option(call: PvcCall) -> Reply:
    """``POST /storage/ceph/cluster-option``, or ``option``."""
    check_seed(call, ("action", "An action"))
    action, option = call.text("action"), call.text("option")
    if action not in ("set", "unset"):
        raise BadRequest("ERROR: Action must be one of: set, unset")
    check_seed(call, ("option", "An option"))
    told = f"{action.capitalize()} OSD property"
    text = f"{told} '{option}'." if call.dialect is Dialect.V1_0 else f"{told} {option} on the cluster."
    return await done(call, change("option", name=option, on=action == "set"), text, f"{action} OSD property")


# Pools.


async def _pools(call: PvcCall) -> list[pvc.Seen]:
    return pvc.pools(await call.ceph.look(call.api, "pools") or ())


async def _shown(call: PvcCall, pools: list[pvc.Seen]) -> list[dict[str, Any]]:
    volumes: tuple[pvc.Seen, ...] = ()
    if call.dialect is Dialect.V1_0 and pools:
        only = str(pools[0]["name"]) if len(pools) == 1 else ""
        volumes = await call.ceph.look(call.api, "volumes", only) or ()
    counts = pvc.volume_counts(volumes)
    return [pvc.pool(pool, counts, call.dialect) for pool in pools]


async def pools(call: PvcCall) -> Reply:
    """``GET /storage/ceph/pool``."""
    wanted = matcher(call.text("limit"), _MATCH[call.dialect])
    found = await _shown(call, [pool for pool in await _pools(call) if wanted(str(pool["name"]))])
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NO_POOL)
    return answer(call.dialect, found)


async def pool(call: PvcCall) -> Reply:
    """``GET /storage/ceph/pool/P``: a list of one, or an object."""
    found = await _shown(call, [pool for pool in await _pools(call) if pool["name"] == call.names["pool"]])
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NO_POOL)
    return answer(call.dialect, found[0] if call.dialect is Dialect.V0_6 else found)


def _pgs(call: PvcCall) -> int:
    given = call.text("pgs")
    if not given and call.dialect is Dialect.SEED:
        return pvc.USUAL_PGS
    found = number(given, "number of placement groups")
    if call.dialect is Dialect.V1_0 and found & (found - 1):
        raise BadRequest(f"ERROR: Invalid PGs number '{given}': must be a non-zero power of 2.")
    return found


def _created(call: PvcCall, name: str, pgs: int) -> str:
    match call.dialect:
        case Dialect.SEED:
            return f"Created new RBD pool '{name}' with '{pgs}' PGs."
        case Dialect.V0_6:
            how = f"replication configuration {call.text('replcfg')}"
            return f'Created new RBD pool "{name}" with "{pgs}" PGs and {how}.'
    return f'Created RBD pool "{name}" with {pgs} PGs'


async def add_pool(call: PvcCall) -> Reply:
    """``POST /storage/ceph/pool``, and in later dialects ``POST /storage/ceph/pool/P``."""
    check_seed(call, ("pool", "A pool name"))
    name, pgs, tier = value_of(call, "pool"), _pgs(call), call.text("tier")
    try:
        copies = pvc.replication(call.text("replcfg")) if call.text("replcfg") else {}
    except ValueError as e:
        raise BadRequest(f"ERROR: {e}") from e
    more = {"tier": tier} if tier not in ("", "default") else {}
    op = change("pool.add", pool=name, pgs=pgs, **copies, **more)
    there = {"already_exists": f"ERROR: A pool with name '{name}' is present in the cluster already."}
    return await done(call, op, _created(call, name, pgs), "create new pool", there, as_is=True)


async def set_pgs(call: PvcCall) -> Reply:
    """``PUT /storage/ceph/pool/P``."""
    name, pgs = call.names["pool"], _pgs(call)
    text = f"Set PGs count to {pgs} for RBD pool '{name}'."
    told = {"unknown_entity": missing_pool(name)}
    return await done(call, change("pool.pgs", pool=name, pgs=pgs), text, "set PGs count", told)


async def remove_pool(call: PvcCall) -> Reply:
    """``DELETE /storage/ceph/pool/P``, with all volumes that are no disks of machines."""
    check_sure(call)
    name = call.names["pool"]
    text = f"Removed RBD pool '{name}' and all volumes."
    told = {"unknown_entity": missing_pool(name)}
    return await done(call, change("pool.remove", pool=name), text, "remove pool", told)


_OPTION = (
    *needed(
        "action", "Whether it is to be set", "A valid action must be specified.", choices=("set", "unset")
    ),
    *needed("option", "A flag of the cluster, such as noout", "A valid option must be specified."),
)
_PGS = needed("pgs", "How many placement groups it has", "A placement group count must be specified.")
_REPLCFG = "How many copies there are, and are needed to write: copies=3,mincopies=2"
_HOW = (
    *_PGS,
    Value(name="replcfg", doc=_REPLCFG, dialects=V0_6, required=True),
    Value(
        name="replcfg",
        doc=_REPLCFG,
        dialects=NEWEST,
        required=True,
        text="A valid replication configuration must be specified.",
    ),
    Value(
        name="tier",
        doc="The class of devices it is on",
        dialects=NEWEST,
        choices=pvc.TIERS,
        text="A valid tier must be specified",
    ),
)
LIMIT = Value(name="limit", doc="A regular expression that names match")
_POOL = f"{CEPH}/pool"

ENDPOINTS = (
    *(
        Endpoint(path=path, method="GET", handler=handler, doc=doc, dialects=dialects)
        for path, handler, doc, dialects in (
            (CEPH, _whole("status", "status"), "Show how Ceph is.", SEED),
            (CEPH, nothing, "Show nothing.", LATER),
            (f"{CEPH}/status", _whole("status", "status"), "Show how Ceph is.", SEED | LATER),
            (f"{CEPH}/df", _whole("utilization", "utilization"), "Show how full Ceph is.", SEED),
            (f"{CEPH}/utilization", _whole("utilization", "utilization"), "Show how full Ceph is.", LATER),
        )
    ),
    *(
        Endpoint(
            path=f"{CEPH}/{name}",
            method="POST",
            handler=set_option,
            doc="Set a flag of the cluster, or take it away.",
            values=_OPTION,
            dialects=dialects,
        )
        for name, dialects in (("cluster-option", SEED), ("option", LATER))
    ),
    Endpoint(path=_POOL, method="GET", handler=pools, doc="List the pools of volumes.", values=(LIMIT,)),
    Endpoint(
        path=_POOL,
        method="POST",
        handler=add_pool,
        doc="Make a pool.",
        values=(*needed("pool", "What it is called", "A pool name must be specified."), *_HOW),
    ),
    Endpoint(path=f"{_POOL}/<pool>", method="GET", handler=pool, doc="Show one pool."),
    Endpoint(
        path=f"{_POOL}/<pool>",
        method="POST",
        handler=add_pool,
        doc="Make a pool of this name.",
        values=_HOW,
        dialects=LATER,
    ),
    Endpoint(
        path=f"{_POOL}/<pool>",
        method="PUT",
        handler=set_pgs,
        doc="Change how many placement groups a pool has.",
        values=_PGS,
        dialects=NEWEST,
    ),
    Endpoint(
        path=f"{_POOL}/<pool>",
        method="DELETE",
        handler=remove_pool,
        doc="Remove a pool with all volumes.",
        values=CONFIRMED,
    ),
)
