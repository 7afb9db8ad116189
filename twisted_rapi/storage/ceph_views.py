"""What a Ceph cluster says of itself, by its tools."""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import ceph, rbd
from twisted_rapi.model.ceph_address import machine_of
from twisted_rapi.storage.ceph_interface import Seen
from twisted_rapi.storage.ceph_tools import Tools

KIB = 1024


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
    return tuple(_osd(one, usage.get(one["osd"], {}), nodes.get(one["osd"], "")) for one in dump["osds"])


def _osd(dump: dict[str, Any], usage: dict[str, Any], node: str) -> Seen:
    return {
        "id": dump["osd"],
        "uuid": dump["uuid"],
        "up": bool(dump["up"]),
        "in": bool(dump["in"]),
        "node": node,
        "class": usage.get("device_class", ""),
        "weight": usage.get("crush_weight", 0.0),
        "reweight": usage.get("reweight", 0.0),
        "primary_affinity": dump["primary_affinity"],
        "pgs": usage.get("pgs", 0),
        "size": usage.get("kb", 0) * KIB,
        "used": usage.get("kb_used", 0) * KIB,
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
    return tuple(
        _pool(one, usage.get(one["pool_name"], {}), counts.get(one["pool_name"], {})) for one in pools
    )


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
    """A line of each image and each snapshot, with its pool."""
    pools = await _image_pools(tools, pool)
    return [(one, line) for one in pools for line in await tools.ask("rbd", "ls", "-l", one)]


async def _volumes(tools: Tools, pool: str, volume: str) -> tuple[Seen, ...]:
    if volume:
        info = await tools.ask("rbd", "info", f"{pool}/{volume}")
        return ({"pool": pool, "name": volume, "size": info["size"], "info": info},)
    lines = await _lines(tools, pool)
    return tuple(
        {"pool": at, "name": line["image"], "size": line["size"]}
        for at, line in lines
        if not line.get("snapshot")
    )


async def _snapshots(tools: Tools, pool: str, volume: str) -> tuple[Seen, ...]:
    if volume:
        found = await tools.ask("rbd", "snap", "ls", f"{pool}/{volume}")
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
    found = await tools.ask("rbd", "lock", "list", f"{pool}/{volume}")
    return tuple({name: str(one[name]) for name in ("id", "locker", "address")} for one in found)


_IMAGES: dict[str, Callable[[Tools, str, str], Awaitable[tuple[Seen, ...]]]] = {
    "volumes": _volumes,
    "snapshots": _snapshots,
    "locks": _locks,
}
