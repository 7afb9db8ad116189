"""What a Ceph cluster says of itself, by its tools."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, FirstError, gatherResults

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import ceph, rbd
from twisted_rapi.model.ceph_address import machine_of
from twisted_rapi.storage.ceph_interface import Seen
from twisted_rapi.storage.ceph_tools import ABSENT, ToolFailed, Tools

KIB = 1024
AT_ONCE = 4  # images that are opened at the same time
_INVALID = 22  # EINVAL: a command that this Ceph does not have
_COLUMNS = 9  # of what it says of OSDs


async def look(tools: Tools, subject: ceph.Subject, pool: str, volume: str) -> tuple[Seen, ...]:
    """See `twisted_rapi.storage.ceph_interface.ICeph.look`."""
    for name in filter(None, (pool, volume)):
        if not rbd.NAME.fullmatch(name):
            raise StepFailed(f"{name!r} is no name in Ceph", "storage")
    if volume and not pool:
        raise StepFailed(f"the volume {volume} of which pool?", "storage")
    if subject in _IMAGES:
        return await _IMAGES[subject](tools, pool, volume)
    return await _CLUSTER[subject](tools)


# The cluster.


async def _status(tools: Tools) -> tuple[Seen, ...]:
    report = await tools.ask("ceph", "status")
    text = (await tools.do("ceph", "status")).decode(errors="replace").rstrip()
    return ({"health": report["health"]["status"], "text": text, "report": report},)


async def _utilization(tools: Tools) -> tuple[Seen, ...]:
    found = await tools.ask("rados", "df")
    text = (await tools.do("rados", "df")).decode(errors="replace").rstrip()
    sizes = {"total": "total_space", "used": "total_used", "free": "total_avail"}
    return ({**{name: found[key] * KIB for name, key in sizes.items()}, "text": text},)


async def _options(tools: Tools) -> tuple[Seen, ...]:
    flags = (await tools.ask("ceph", "osd", "dump"))["flags"].split(",")
    named = {"pause" if flag in ("pauserd", "pausewr") else flag for flag in flags}
    return tuple({"name": name} for name in ceph.OPTIONS if name in named)


async def _osds(tools: Tools) -> tuple[Seen, ...]:
    dump = await tools.ask("ceph", "osd", "dump")
    found = await tools.ask("ceph", "osd", "df", "tree")
    tree = [*found["nodes"], *found["stray"]]
    usage = {one["id"]: one for one in tree}
    nodes = {osd: one["name"] for one in tree if one["type"] == "host" for osd in one["children"]}
    metadata = {one["id"]: one for one in await tools.ask("ceph", "osd", "metadata")}
    rates = await _rates(tools)
    return tuple(
        _osd(one, usage.get(one["osd"], {}), nodes.get(one["osd"], ""))
        | {"device": _device(metadata.get(one["osd"], {}))}
        | (rates.get(one["osd"]) or dict.fromkeys(_RATES, 0))
        for one in dump["osds"]
    )


_RATES = {"write_ops": 1000, "write_bytes": 1024, "read_ops": 1000, "read_bytes": 1024}
"""The columns of ``ceph osd status`` that follow host, used and free, and what their ``k`` is."""

_RATE = re.compile(r"(\d+(?:\.\d+)?)([kMGTPE]?)")


async def _rates(tools: Tools) -> dict[int, Seen]:
    """By OSD; none where the manager lacks the module that knows them.  It tells people only."""
    try:
        told = await tools.do("ceph", "osd", "status")
    except ToolFailed as e:
        if e.status != _INVALID:
            raise
        return {}
    rows = [line.split() for line in told.decode(errors="replace").splitlines()]
    return {
        int(row[0]): {name: _rate(word, k) for (name, k), word in zip(_RATES.items(), row[4:8], strict=True)}
        for row in rows
        if len(row) == _COLUMNS and row[0].isdecimal()
    }


def _rate(word: str, k: int) -> int:
    match = _RATE.fullmatch(word)
    return 0 if match is None else round(float(match[1]) * k ** " kMGTPE".index(match[2] or " "))


def _device(metadata: dict[str, Any]) -> str:
    name = str(metadata.get("devices", "")).partition(",")[0]
    return f"/dev/{name}" if name else ""


def _osd(dump: dict[str, Any], usage: dict[str, Any], node: str) -> Seen:
    return {
        "id": dump["osd"],
        "uuid": dump["uuid"],
        "up": bool(dump["up"]),
        "in": bool(dump["in"]),
        "state": list(dump["state"]),
        "node": node,
        "class": usage.get("device_class", ""),
        "weight": usage.get("crush_weight", 0.0),
        "reweight": usage.get("reweight", 0.0),
        "primary_affinity": dump["primary_affinity"],
        "pgs": usage.get("pgs", 0),
        "size": usage.get("kb", 0) * KIB,
        "used": usage.get("kb_used", 0) * KIB,
        **{f"used_{what}": usage.get(f"kb_used_{what}", 0) * KIB for what in ("data", "omap", "meta")},
        "free": usage.get("kb_avail", 0) * KIB,
        "utilization": usage.get("utilization", 0.0),
        "var": usage.get("var", 0.0),
    }


async def addresses(tools: Tools, host: str) -> tuple[str, ...]:
    """The IP addresses of the OSDs that Ceph has under a node, whose clients have them, too."""
    if not host:
        return ()
    tree = (await tools.ask("ceph", "osd", "tree"))["nodes"]
    osds = {osd for one in tree if (one["type"], one["name"]) == ("host", host) for osd in one["children"]}
    dump = await tools.ask("ceph", "osd", "dump")
    return tuple({machine_of(one["public_addr"]) for one in dump["osds"] if one["osd"] in osds})


async def _pools(tools: Tools) -> tuple[Seen, ...]:
    pools = await tools.ask("ceph", "osd", "pool", "ls", "detail")
    usage = {one["name"]: one["stats"] for one in (await tools.ask("ceph", "df"))["pools"]}
    counts = {one["name"]: one for one in (await tools.ask("rados", "df"))["pools"]}
    rules = await tools.ask("ceph", "osd", "crush", "rule", "dump")
    tiers = {rule["rule_id"]: _tier(rule) for rule in rules}
    return tuple(
        _pool(one, usage.get(one["pool_name"], {}), counts.get(one["pool_name"], {}))
        | {"tier": tiers.get(one["crush_rule"], "")}
        for one in pools
    )


def _tier(rule: dict[str, Any]) -> str:
    """The class of devices a rule takes: it stands behind the name of what it takes them of."""
    taken = (str(step.get("item_name", "")) for step in rule["steps"] if step["op"] == "take")
    return next((name.partition("~")[2] for name in taken), "")


def _pool(detail: dict[str, Any], usage: dict[str, Any], counts: dict[str, Any]) -> Seen:
    return {
        "id": detail["pool_id"],
        "name": detail["pool_name"],
        "pgs": detail["pg_num_target"],
        "copies": detail["size"],
        "least": detail["min_size"],
        "applications": sorted(detail.get("application_metadata", ())),
        "free": usage.get("max_avail", 0),
        "used": usage.get("bytes_used", 0),
        "used_fraction": usage.get("percent_used", 0.0),
        "stored": usage.get("stored", 0),
        "counts": {name: value for name, value in counts.items() if name not in ("name", "id")},
    }


_CLUSTER: dict[str, Callable[[Tools], Awaitable[tuple[Seen, ...]]]] = {
    "status": _status,
    "utilization": _utilization,
    "options": _options,
    "osds": _osds,
    "pools": _pools,
}


# Images.


async def _image_pools(tools: Tools, pool: str) -> list[str]:
    """The pool; without one all that are for images."""
    if pool:
        return [pool]
    found = await tools.ask("ceph", "osd", "pool", "ls", "detail")
    return [one["pool_name"] for one in found if "rbd" in one.get("application_metadata", ())]


async def _lines(tools: Tools, pool: str) -> list[tuple[str, dict[str, Any]]]:
    """A line of each image and each snapshot, with its pool; a pool that goes meanwhile has none."""
    found = []
    for one in await _image_pools(tools, pool):
        try:
            found += [(one, line) for line in await _listed(tools, one)]
        except StepFailed as e:
            if pool or e.kind != "absent":
                raise
    return found


async def _listed(tools: Tools, pool: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await _of(f"pool {pool}", tools.ask("rbd", "ls", "-l", pool))
    return found


async def _of(what: str, asked: Awaitable[Any]) -> Any:
    """The answer of a tool about something, which may not be there."""
    try:
        return await asked
    except ToolFailed as e:
        if e.status == ABSENT:
            raise StepFailed(f"there is no {what}", "absent") from e
        raise


async def _image(tools: Tools, pool: str, volume: str) -> Seen:
    info = await _of(f"volume {pool}/{volume}", tools.ask("rbd", "info", f"{pool}/{volume}"))
    return {"pool": pool, "name": volume, "size": info["size"], "info": info}


async def _volumes(tools: Tools, pool: str, volume: str) -> tuple[Seen, ...]:
    if volume:
        return (await _image(tools, pool, volume),)
    lines = await _lines(tools, pool)
    return tuple(
        {"pool": at, "name": line["image"], "size": line["size"]}
        for at, line in lines
        if not line.get("snapshot")
    )


async def _images(tools: Tools, pool: str, volume: str) -> tuple[Seen, ...]:
    """Each is opened; what is removed meanwhile was not there."""
    if volume:
        return (await _image(tools, pool, volume),)
    turn = DeferredSemaphore(AT_ONCE)

    async def look(at: str, name: str) -> Seen | None:
        try:
            return await _image(tools, at, name)
        except StepFailed as e:
            if e.kind != "absent":
                raise
            return None

    def begin(at: str, name: str) -> Deferred[Seen | None]:
        return Deferred.fromCoroutine(look(at, name))

    asked = [turn.run(begin, one["pool"], one["name"]) for one in await _volumes(tools, pool, "")]
    try:
        found = await gatherResults(asked, consumeErrors=True)
    except FirstError as e:
        e.subFailure.raiseException()
    return tuple(one for one in found if one is not None)


async def _snapshots(tools: Tools, pool: str, volume: str) -> tuple[Seen, ...]:
    if volume:
        asked = tools.ask("rbd", "snap", "ls", f"{pool}/{volume}")
        found = await _of(f"volume {pool}/{volume}", asked)
        return tuple(_snapshot(pool, volume, one["name"], one) for one in found)
    lines = await _lines(tools, pool)
    return tuple(
        _snapshot(at, one["image"], one["snapshot"], one) for at, one in lines if one.get("snapshot")
    )


def _snapshot(pool: str, volume: str, name: str, line: dict[str, Any]) -> Seen:
    protected = str(line.get("protected", "")).lower() in ("true", "yes")
    return {"pool": pool, "volume": volume, "name": name, "size": line["size"], "protected": protected}


async def _locks(tools: Tools, pool: str, volume: str) -> tuple[Seen, ...]:
    if not volume:
        raise StepFailed("the locks of which volume?", "storage")
    asked = tools.ask("rbd", "lock", "list", f"{pool}/{volume}")
    found = await _of(f"volume {pool}/{volume}", asked)
    return tuple({name: str(one[name]) for name in ("id", "locker", "address")} for one in found)


_IMAGES: dict[str, Callable[[Tools, str, str], Awaitable[tuple[Seen, ...]]]] = {
    "volumes": _volumes,
    "images": _images,
    "snapshots": _snapshots,
    "locks": _locks,
}
