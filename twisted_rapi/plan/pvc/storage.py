"""What the state of the cluster tells of Ceph."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from twisted_rapi.plan.pvc import ceph

_DELTAS = {"HEALTH_WARN": 10, "HEALTH_ERR": 50}
_SILENT = 50  # what a Ceph that says nothing takes from the cluster's health


@attrs.frozen(kw_only=True)
class Storage:
    """
    What is counted.

    :ivar health: as Ceph has it; empty: the cluster has no Ceph, or that says nothing.
    :ivar silent: whether there is a Ceph that says nothing.
    :ivar osds: as looked at; `pools`: how many there are, likewise `volumes` and `snapshots`.
    """

    health: str = ""
    silent: bool = False
    osds: Sequence[Mapping[str, Any]] = ()
    pools: int = 0
    volumes: int = 0
    snapshots: int = 0

    def troubles(self) -> list[dict[str, Any]]:
        """What is wrong, as a message of the cluster's health."""
        if self.silent:
            return [{"id": "CEPH_SILENT", "health_delta": _SILENT, "text": "Ceph does not answer"}]
        delta = _DELTAS.get(self.health, 0)
        text = f"Ceph is in {self.health}"
        return [{"id": f"CEPH_{self.health}", "health_delta": delta, "text": text}] if delta else []

    def counted(self) -> dict[str, Any]:
        """How many there are of everything, OSDs by their state."""
        words = [_words(osd) for osd in self.osds]
        states = Counter(f"{word['up']},{word['in']}" for word in words)
        return {
            "osds": {"total": len(self.osds), **dict(sorted(states.items()))},
            "pools": self.pools,
            "volumes": self.volumes,
            "snapshots": self.snapshots,
        }

    def detail(self) -> list[dict[str, str]]:
        """Each OSD."""
        return [_words(osd) for osd in sorted(self.osds, key=lambda osd: int(osd["id"]))]

    def disk(self) -> dict[str, Any]:
        """KiB of all OSDs, and how full they are on average, in percent."""
        sums = {name: sum(int(osd[key]) // ceph.KIB for osd in self.osds) for name, key in _SIZES.items()}
        share = sum(osd["utilization"] for osd in self.osds) / len(self.osds) if self.osds else 0.0
        return {**sums, "utilization": round(share, 2)}


_SIZES = {"total": "size", "used": "used", "free": "free"}


def _words(osd: Mapping[str, Any]) -> dict[str, str]:
    return {
        "id": str(osd["id"]),
        "up": "up" if osd["up"] else "down",
        "in": "in" if osd["in"] else "out",
    }


def storage(
    status: Sequence[Mapping[str, Any]],
    osds: Sequence[Mapping[str, Any]],
    pools: Sequence[Mapping[str, Any]],
    volumes: Sequence[Mapping[str, Any]],
    snapshots: Sequence[Mapping[str, Any]],
) -> Storage:
    """What was looked at, counted."""
    return Storage(
        health=str(status[0]["health"]) if status else "",
        osds=osds,
        pools=len(ceph.pools(pools)),
        volumes=len(volumes),
        snapshots=len(snapshots),
    )
