"""
A simulated Ceph cluster: what there is in it is noted, nothing else.

Its volumes are those of the simulated template ``rbd``, on the same shelf; the nodes of a trial cluster have
both in common.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import ceph, rbd
from twisted_rapi.model.ceph_address import at_one_of
from twisted_rapi.storage.ceph import check, refused
from twisted_rapi.storage.ceph_interface import ICeph, Seen
from twisted_rapi.storage.file import MIB, InThread
from twisted_rapi.storage.shelf import Shelf

GIB = 1 << 30
OSD_SIZE = 100 * GIB
USUAL_COPIES = (3, 2)
_CLUSTER = "cluster"

State = dict[str, Any]


class CephNotes:
    """
    What is known of the cluster; `ICeph`, at once.

    :param shelf: of the cluster; `images`: of the template ``rbd``.
    :param host: this node, as OSDs are under it.
    """

    def __init__(self, shelf: Shelf, images: Shelf, host: str = "node") -> None:
        self._shelf, self._images, self._host = shelf, images, host
        self._changes: dict[type[ceph.Change], Callable[[State, Any], int | None]] = {
            ceph.SetOption: self._set_option,
            ceph.AddOsd: self._add_osd,
            ceph.RemoveOsd: self._remove_osd,
            ceph.MoveOsd: self._move_osd,
            ceph.AddPool: self._add_pool,
            ceph.RemovePool: self._remove_pool,
            ceph.SetPgs: self._set_pgs,
            ceph.AddVolume: self._add_volume,
            ceph.ResizeVolume: self._resize_volume,
            ceph.RenameVolume: self._rename_volume,
            ceph.CopyVolume: self._copy_volume,
            ceph.RemoveVolume: self._remove_volume,
            ceph.AddSnapshot: self._add_snapshot,
            ceph.RenameSnapshot: self._rename_snapshot,
            ceph.RemoveSnapshot: self._remove_snapshot,
            ceph.RollBack: self._roll_back,
            ceph.BreakLocks: self._break_locks,
        }

    def _state(self) -> State:
        usual = {"pgs": 32, "copies": USUAL_COPIES[0], "least": USUAL_COPIES[1], "id": 1}
        return self._shelf.read(_CLUSTER) or {"options": [], "osds": {}, "pools": {"rbd": usual}, "made": 1}

    def change(self, change: ceph.AnyChange) -> int:
        """See `ICeph.change`."""
        check(change)
        with self._shelf.locked():
            state = deepcopy(self._state())  # what a shelf holds never changes
            answer = self._changes[type(change)](state, change) or 0
            self._shelf.write(_CLUSTER, state)
        return answer

    def drained(self, osd: int) -> bool:
        """See `ICeph.drained`: data goes at once, where there is somewhere to go."""
        osds = self._state()["osds"]
        others = any(one["in"] for name, one in osds.items() if name != str(osd))
        return str(osd) not in osds or (not osds[str(osd)]["in"] and (others or not self._images.names()))

    def look(self, subject: ceph.Subject, pool: str, volume: str) -> tuple[Seen, ...]:
        """See `ICeph.look`."""
        for name in filter(None, (pool, volume)):
            if not rbd.NAME.fullmatch(name):
                raise refused(f"{name!r} is no name in Ceph")
        state = self._state()
        match subject:
            case "status" | "utilization":
                return (self._whole(state, subject),)
            case "options":
                return tuple({"name": name} for name in ceph.OPTIONS if name in state["options"])
            case "osds":
                return tuple(self._osd(int(osd), one) for osd, one in state["osds"].items())
            case "pools":
                return tuple(self._pool(state, name, one) for name, one in state["pools"].items())
            case "volumes":
                return self._volumes(state, pool, volume)
            case "images":
                found = self._volumes(state, pool, volume)
                return tuple(self._volumes(state, one["pool"], one["name"])[0] for one in found)
            case "snapshots":
                return self._snapshots(state, pool, volume)
        return tuple(self._note(state, pool, volume).get("locks", ()))

    # What is said.

    def _sizes(self, state: State) -> tuple[int, int]:
        total = sum(OSD_SIZE for one in state["osds"].values() if one["in"])
        used = sum(_bytes(self._images.read(name) or {"size": 0}) for name in self._images.names())
        return total, min(total, used)

    def _whole(self, state: State, subject: str) -> Seen:
        total, used = self._sizes(state)
        osds = state["osds"].values()
        up, into = sum(one["up"] for one in osds), sum(one["in"] for one in osds)
        if subject == "utilization":
            text = f"total_used {used}\ntotal_avail {total - used}\ntotal_space {total}"
            return {"total": total, "used": used, "free": total - used, "text": text}
        health = "HEALTH_WARN" if state["options"] else "HEALTH_OK"
        text = (
            f"  cluster:\n    health: {health}\n\n  services:\n    osd: {len(osds)} osds: {up} up, {into} in"
        )
        return {"health": health, "text": text, "report": {"health": {"status": health}}}

    def _osd(self, osd: int, one: State) -> Seen:
        size = OSD_SIZE if one["in"] else 0
        return {
            "id": osd,
            "uuid": f"00000000-0000-4000-8000-{osd:012}",
            "up": one["up"],
            "in": one["in"],
            "state": ["exists", *(["up"] if one["up"] else [])],
            "node": one["node"],
            "device": one["device"],
            "class": "ssd",
            "weight": one["weight"],
            "reweight": float(one["in"]),
            "primary_affinity": 1.0,
            "pgs": 0,
            "size": size,
            **dict.fromkeys(("used", "used_data", "used_omap", "used_meta"), 0),
            "free": size,
            "utilization": 0.0,
            "var": 1.0,
            **dict.fromkeys(("read_ops", "read_bytes", "write_ops", "write_bytes"), 0),
        }

    def _pool(self, state: State, name: str, one: State) -> Seen:
        total, used = self._sizes(state)
        stored = sum(volume["size"] for volume in self._volumes(state, name, ""))
        return {
            "id": one["id"],
            "name": name,
            "pgs": one["pgs"],
            "copies": one["copies"],
            "least": one["least"],
            "tier": one.get("tier", ""),
            "applications": ["rbd"],
            "free": (total - used) // one["copies"],
            "used": stored * one["copies"],
            "used_fraction": stored / total if total else 0.0,
            "stored": stored,
            "counts": {"num_objects": 0, "read_ops": 0, "write_ops": 0},
        }

    def _volumes(self, state: State, pool: str, volume: str) -> tuple[Seen, ...]:
        if volume:
            size = _bytes(self._note(state, pool, volume))
            info = {"name": volume, "size": size, "objects": -(-size >> 22), "order": 22, "format": 2}
            return ({"pool": pool, "name": volume, "size": size, "info": info},)
        if pool:
            self._pool_note(state, pool)
        split = [name.partition("/")[::2] for name in self._images.names()]
        return tuple(
            {"pool": at, "name": name, "size": _bytes(self._note(state, at, name))}
            for at, name in split
            if at in state["pools"] and pool in ("", at)
        )

    def _snapshots(self, state: State, pool: str, volume: str) -> tuple[Seen, ...]:
        found = self._volumes(state, pool, volume)
        return tuple(
            {"pool": one["pool"], "volume": one["name"], "name": name, "size": size, "protected": False}
            for one in found
            for name, size in self._note(state, one["pool"], one["name"]).get("snapshots", {}).items()
        )

    # The cluster.

    def _set_option(self, state: State, change: ceph.SetOption) -> None:
        kept = [name for name in state["options"] if name != change.name]
        state["options"] = [*kept, *([change.name] if change.on else [])]

    def _one(self, state: State, osd: int) -> State:
        found: State | None = state["osds"].get(str(osd))
        if found is None:
            raise refused(f"there is no OSD {osd}")
        return found

    def _add_osd(self, state: State, change: ceph.AddOsd) -> int:
        osds = state["osds"]
        place = {"node": self._host, "device": change.device}
        for osd, one in osds.items():
            if {name: one[name] for name in place} == place:
                return int(osd)
        number = next(n for n in range(len(osds) + 1) if str(n) not in osds)
        osds[str(number)] = {**place, "up": True, "in": True, "weight": change.weight or OSD_SIZE / (1 << 40)}
        return number

    def _remove_osd(self, state: State, change: ceph.RemoveOsd) -> None:
        if not self.drained(change.osd):
            raise refused(f"OSD {change.osd} still has data that others have too few copies of")
        state["osds"].pop(str(change.osd), None)

    def _move_osd(self, state: State, change: ceph.MoveOsd) -> None:
        self._one(state, change.osd)["in"] = change.into

    # Pools.

    def _pool_note(self, state: State, pool: str) -> State:
        found: State | None = state["pools"].get(pool)
        if found is None:
            raise StepFailed(f"there is no pool {pool}", "absent")
        return found

    def _add_pool(self, state: State, change: ceph.AddPool) -> None:
        if change.pool not in state["pools"]:
            state["made"] += 1
            state["pools"][change.pool] = {"pgs": change.pgs, "id": state["made"]}
        copies = change.copies or USUAL_COPIES[0]
        least = change.least or min(copies, USUAL_COPIES[1])
        asked = {"copies": copies, "least": least, "tier": change.tier}
        state["pools"][change.pool].update(asked)

    def _remove_pool(self, state: State, change: ceph.RemovePool) -> None:
        state["pools"].pop(change.pool, None)
        for name in self._images.names():
            if name.partition("/")[0] == change.pool:
                self._images.remove(name)

    def _set_pgs(self, state: State, change: ceph.SetPgs) -> None:
        self._pool_note(state, change.pool)["pgs"] = change.pgs

    # Images.

    def _note(self, state: State, pool: str, volume: str) -> State:
        self._pool_note(state, pool)
        found = self._images.read(f"{pool}/{volume}")
        if found is None:
            raise StepFailed(f"there is no volume {pool}/{volume}", "absent")
        return found

    def _add_volume(self, state: State, change: ceph.AddVolume) -> None:
        self._pool_note(state, change.pool)
        name = f"{change.pool}/{change.volume}"
        found = self._images.read(name)
        if found is not None and _bytes(found) != change.size:
            raise refused(f"the volume {name} exists already")
        self._images.write(name, found or _sized(change.size))

    def _resize_volume(self, state: State, change: ceph.ResizeVolume) -> None:
        note = self._note(state, change.pool, change.volume)
        if change.size < _bytes(note):
            raise refused(f"the volume {change.pool}/{change.volume} cannot become smaller")
        self._images.write(f"{change.pool}/{change.volume}", {**note, **_sized(change.size)})

    def _rename_volume(self, state: State, change: ceph.RenameVolume) -> None:
        source, target = f"{change.pool}/{change.volume}", f"{change.pool}/{change.name}"
        there = self._images.read(target)
        if self._images.read(source) is None and there is not None:
            return
        note = self._note(state, change.pool, change.volume)
        if there is not None:
            raise refused(f"the volume {target} exists already")
        self._images.write(target, note)
        self._images.remove(source)

    def _copy_volume(self, state: State, change: ceph.CopyVolume) -> None:
        target = f"{change.pool}/{change.name}"
        if self._images.read(target) is None:
            note = self._note(state, change.pool, change.volume)
            self._images.write(target, _sized(_bytes(note)))

    def _remove_volume(self, state: State, change: ceph.RemoveVolume) -> None:
        self._images.remove(f"{change.pool}/{change.volume}")

    # Snapshots and locks.

    def _snapped(self, state: State, change: Any) -> tuple[str, State, dict[str, int]]:
        note = self._note(state, change.pool, change.volume)
        return f"{change.pool}/{change.volume}", note, dict(note.get("snapshots", {}))

    def _add_snapshot(self, state: State, change: ceph.AddSnapshot) -> None:
        name, note, snapshots = self._snapped(state, change)
        snapshots.setdefault(change.snapshot, _bytes(note))
        self._images.write(name, {**note, "snapshots": snapshots})

    def _rename_snapshot(self, state: State, change: ceph.RenameSnapshot) -> None:
        name, note, snapshots = self._snapped(state, change)
        if change.snapshot not in snapshots and change.name in snapshots:
            return
        if change.snapshot not in snapshots or change.name in snapshots:
            raise refused(f"{name}@{change.snapshot} cannot be called {change.name}")
        snapshots[change.name] = snapshots.pop(change.snapshot)
        self._images.write(name, {**note, "snapshots": snapshots})

    def _remove_snapshot(self, state: State, change: ceph.RemoveSnapshot) -> None:
        name, note, snapshots = self._snapped(state, change)
        snapshots.pop(change.snapshot, None)
        self._images.write(name, {**note, "snapshots": snapshots})

    def _roll_back(self, state: State, change: ceph.RollBack) -> None:
        name, note, snapshots = self._snapped(state, change)
        if change.snapshot not in snapshots:
            raise refused(f"there is no snapshot {name}@{change.snapshot}")
        self._images.write(name, {**note, **_sized(snapshots[change.snapshot])})

    def _break_locks(self, state: State, change: ceph.BreakLocks) -> None:
        name, note, _ = self._snapped(state, change)
        meant, locks = change.addresses, note.get("locks", ())
        left = [] if meant is None else [one for one in locks if not at_one_of(one["address"], meant)]
        self._images.write(name, {**note, "locks": left})


def _sized(size: int) -> State:
    """The simulated template knows whole MiB only."""
    return {"size": -(-size // MIB), "bytes": size}


def _bytes(note: State) -> int:
    exact = note.get("bytes", 0)
    return int(exact) if -(-exact // MIB) == note["size"] and exact else int(note["size"]) * MIB


@implementer(ICeph)
class SimulatedCeph:
    """`ICeph` over `CephNotes`, in a thread."""

    def __init__(self, notes: CephNotes, in_thread: InThread) -> None:
        self._notes, self._in_thread = notes, in_thread

    async def look(self, subject: ceph.Subject, pool: str = "", volume: str = "") -> tuple[Seen, ...]:
        """See `ICeph.look`."""
        found: tuple[Seen, ...] = await self._in_thread(self._notes.look, subject, pool, volume)
        return found

    async def change(self, change: ceph.AnyChange) -> int:
        """See `ICeph.change`."""
        answer: int = await self._in_thread(self._notes.change, change)
        return answer

    async def drained(self, osd: int) -> bool:
        """See `ICeph.drained`."""
        answer: bool = await self._in_thread(self._notes.drained, osd)
        return answer
