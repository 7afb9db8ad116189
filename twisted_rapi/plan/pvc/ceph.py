"""Ceph in PVC's terms: what nodes see of it (`twisted_rapi.storage.ceph_interface.ICeph.look`), as shown."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted_rapi.model.sizes import human_size, parse_size
from twisted_rapi.plan.ceph_nodes import of_host
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.view import View

Seen = Mapping[str, Any]
KIB = 1024
TIERS = ("hdd", "ssd", "nvme", "default")
USUAL_PGS = 128  # of a pool whose client does not say; only the oldest dialect lets it
SAFE = 0.8  # how much of a pool may be taken
_UNITS = ("", "k", "M", "G", "T", "P", "E")
_WIDTH = 4


def short(number: int, k: int) -> str:
    """A number in four characters and a unit, cut off, as Ceph's own listings have it: ``10.4G``."""
    unit = 0
    while len(str(number // k**unit)) > _WIDTH and unit < len(_UNITS) - 1:
        unit += 1
    if unit == 0:
        return str(number)
    return f"{number / k**unit:f}"[:_WIDTH].rstrip(".") + _UNITS[unit]


def whole(kind: str, primary: str, seen: Seen) -> dict[str, Any]:
    """The text of the cluster's state or of how full it is."""
    return {"type": kind, "primary_node": primary, "ceph_data": seen["text"]}


# OSDs.


def _host(view: View, osd: Seen) -> str:
    node = of_host(view, osd["node"]) if osd["node"] else None
    return osd["node"] if node is None else node.name


def _osd_stats(osd: Seen, host: str, dialect: Dialect) -> dict[str, Any]:
    more = {
        "kb_used": osd["used"] // KIB,
        **{f"kb_used_{what}": osd[f"used_{what}"] // KIB for what in ("data", "omap", "meta")},
        "kb_avail": osd["free"] // KIB,
        "class": osd["class"],
    }
    return {
        **(more if dialect is Dialect.V1_0 else {}),
        "uuid": osd["uuid"],
        "up": int(osd["up"]),
        "in": int(osd["in"]),
        "primary_affinity": osd["primary_affinity"],
        "utilization": osd["utilization"],
        "var": osd["var"],
        "pgs": osd["pgs"],
        "kb": osd["size"] // KIB,
        "weight": osd["weight"],
        "reweight": osd["reweight"],
        "node": host,
        "used": short(osd["used"], KIB),
        "avail": short(osd["free"], KIB),
        "wr_ops": short(osd["write_ops"], 1000),
        "wr_data": short(osd["write_bytes"], KIB),
        "rd_ops": short(osd["read_ops"], 1000),
        "rd_data": short(osd["read_bytes"], KIB),
        "state": ",".join(osd["state"]),
    }


def osd(view: View, seen: Seen, dialect: Dialect) -> dict[str, Any]:
    """An OSD; its node is called as the cluster does."""
    host = _host(view, seen)
    stats = _osd_stats(seen, host, dialect)
    if dialect is not Dialect.V1_0:
        return {"id": str(seen["id"]), "stats": stats}
    return {
        "id": str(seen["id"]),
        "fsid": seen["uuid"],
        "node": host,
        "device": seen["device"],
        "is_split": False,
        "db_device": "",
        "stats": stats,
    }


def osd_state(seen: Seen, given: str) -> dict[str, Any]:
    """Whether it takes part, and whether it runs."""
    return {"id": given, "in": int(seen["in"]), "up": int(seen["up"])}


# Pools.

_SIZES: Mapping[Dialect, tuple[str, ...]] = {
    Dialect.SEED: ("size_bytes", "num_objects"),
    Dialect.V0_6: ("free_bytes", "used_bytes", "used_percent", "num_objects"),
    Dialect.V1_0: ("free_bytes", "used_bytes", "used_percent", "num_objects", "stored_bytes"),
}
_COUNTS = (
    *("num_object_clones", "num_object_copies", "num_objects_missing_on_primary", "num_objects_unfound"),
    *("num_objects_degraded", "read_ops", "read_bytes", "write_ops", "write_bytes"),
)


def pools(seen: Iterable[Seen]) -> list[Seen]:
    """Those that are for volumes, by name."""
    return sorted((one for one in seen if "rbd" in one["applications"]), key=lambda one: str(one["name"]))


def volume_counts(seen: Iterable[Seen]) -> Mapping[str, int]:
    """How many volumes each pool has."""
    return Counter(one["pool"] for one in seen)


def pool(seen: Seen, volumes: Mapping[str, int], dialect: Dialect) -> dict[str, Any]:
    """A pool."""
    known = {
        "free_bytes": seen["free"],
        "used_bytes": seen["used"],
        "used_percent": seen["used_fraction"],
        "stored_bytes": seen["stored"],
    }
    counts = seen["counts"]
    stats = {name: known.get(name, counts.get(name, 0)) for name in (*_SIZES[dialect], *_COUNTS)}
    stats = {"id": seen["id"], **stats}
    if dialect is not Dialect.V1_0:
        return {"name": seen["name"], "stats": stats}
    return {
        "name": seen["name"],
        "volume_count": volumes.get(seen["name"], 0),
        "tier": seen["tier"] or "default",
        "pgs": str(seen["pgs"]),
        "stats": stats,
    }


def replication(text: str) -> dict[str, int]:
    """
    What ``copies=3,mincopies=2`` asks for.

    :raises ValueError: it asks for nothing that can be.
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        key = {"copies": "copies", "mincopies": "least"}.get(name)
        if key is None or key in found or not (number.isascii() and number.isdecimal()) or len(number) > 3:
            raise ValueError(f"'{text[:60]}' is no replication configuration, such as copies=3,mincopies=2")
        found[key] = int(number)
    return found


def no_room(seen: Seen, size: int, anyway: bool) -> str:
    """Why a pool is not to have a volume of this size; empty: it may."""
    if size >= seen["free"]:
        return (
            f"Requested volume size '{human_size(size)}' is greater than the available free space in the"
            f" pool ('{human_size(seen['free'])}')"
        )
    safe = int((seen["used"] + seen["free"]) * SAFE) - seen["used"]
    if size >= safe and not anyway:
        return (
            f"Requested volume size '{human_size(size)}' would fill the pool to more than 80 %, for which"
            f" '{human_size(max(0, safe))}' are left; ask with force to have it anyway"
        )
    return ""


# Volumes.


def volume(seen: Seen) -> dict[str, Any]:
    """A volume, with all that Ceph says of it."""
    stats = {**seen["info"], "size": human_size(int(seen["size"]))}
    return {"name": seen["name"], "pool": seen["pool"], "stats": stats}


def snapshot(seen: Seen, dialect: Dialect) -> Any:
    """A snapshot; a text in the oldest dialect."""
    if dialect is Dialect.SEED:
        return full_name(seen)
    found: dict[str, Any] = {name: seen[name] for name in ("pool", "volume")}
    found["snapshot"] = seen["name"]
    if dialect is Dialect.V1_0:
        found["stats"] = {"size": human_size(int(seen["size"])), "protected": seen["protected"]}
    return found


def full_name(seen: Seen) -> str:
    """``pool/volume``, or ``pool/volume@snapshot``, which patterns of the oldest dialect are for."""
    if "volume" in seen:
        return f"{seen['pool']}/{seen['volume']}@{seen['name']}"
    return f"{seen['pool']}/{seen['name']}"


def wanted(seen: Sequence[Seen], dialect: Dialect, matches: Callable[[str], bool]) -> list[Seen]:
    """The volumes or snapshots that a pattern is for, in order of their names."""
    named = full_name if dialect is Dialect.SEED else lambda one: str(one["name"])
    return sorted((one for one in seen if matches(named(one))), key=full_name)


def size(text: str) -> int:
    """
    The bytes of a size, in any documented form.

    :raises ValueError: it is none; 0 is none either.
    """
    found = parse_size(text)
    if not found:
        raise ValueError("a volume of 0 bytes")
    return found
