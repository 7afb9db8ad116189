"""A real Ceph cluster, by the tools ``ceph``, ``rados`` and ``rbd``."""

from collections.abc import Awaitable, Callable
from typing import Any

from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import ceph
from twisted_rapi.model.ceph_address import at_one_of
from twisted_rapi.storage import ceph_views as views
from twisted_rapi.storage.ceph_interface import ICeph, IOsdDevices, Seen
from twisted_rapi.storage.ceph_tools import ABSENT, CALL, NOT_EMPTY, THERE, ToolFailed, Tools

LONG = 1100.0  # seconds; copying and removing go object by object


def refused(text: str) -> StepFailed:
    """The failure of what cannot be meant."""
    return StepFailed(text, "storage")


@implementer(ICeph)
class Ceph:
    """
    `ICeph` by its tools.

    :param osds: the OSDs of this node; ``None``: none can be made or removed here.
    :param host: this node's name, as its OSDs are under it.
    """

    def __init__(self, tools: Tools, osds: IOsdDevices | None = None, host: str = "") -> None:
        self._tools, self._osds, self._host = tools, osds, host.partition(".")[0]
        self._changes: dict[type[ceph.Change], Callable[[Any], Awaitable[int | None]]] = {
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

    async def look(self, subject: ceph.Subject, pool: str = "", volume: str = "") -> tuple[Seen, ...]:
        """See `ICeph.look`."""
        return await views.look(self._tools, subject, pool, volume)

    async def change(self, change: ceph.AnyChange) -> int:
        """See `ICeph.change`."""
        check(change)
        return await self._changes[type(change)](change) or 0

    async def drained(self, osd: int) -> bool:
        """See `ICeph.drained`; Ceph cannot say it until it has heard of all placement groups."""
        ended = await self._tools.ended("ceph", "osd", "safe-to-destroy", f"osd.{osd}")
        if ended.status in (0, 11, 16):  # EAGAIN, EBUSY
            return ended.status == 0
        raise ToolFailed(f"ceph osd safe-to-destroy: {ended.why()}", ended.status)

    # The cluster.

    async def _ceph(self, *words: str) -> None:
        await self._tools.do("ceph", *words)

    async def _set_option(self, change: ceph.SetOption) -> None:
        await self._ceph("osd", "set" if change.on else "unset", change.name)

    async def _known(self, osd: int) -> bool:
        return osd in await self._tools.ask("ceph", "osd", "ls")

    async def _there(self, osd: int) -> None:
        if not await self._known(osd):
            raise refused(f"there is no OSD {osd}")

    async def _move_osd(self, change: ceph.MoveOsd) -> None:
        await self._there(change.osd)
        await self._ceph("osd", "in" if change.into else "out", str(change.osd))

    def _own(self) -> IOsdDevices:
        if self._osds is None:
            raise refused("this node makes and removes no OSDs")
        return self._osds

    async def _add_osd(self, change: ceph.AddOsd) -> int:
        osd: int = await self._own().make(change.device)
        if change.weight:
            await self._weigh(f"osd.{osd}", str(change.weight))
        return osd

    async def _weigh(self, osd: str, weight: str) -> None:
        """One that has not begun has no place yet; as it begins it goes where it belongs, with its weight."""
        try:
            await self._ceph("osd", "crush", "reweight", osd, weight)
        except ToolFailed as e:
            if e.status != ABSENT:
                raise
            await self._ceph("osd", "crush", "add", osd, weight, "root=default", f"host={self._host}")

    async def _remove_osd(self, change: ceph.RemoveOsd) -> None:
        own, osd = self._own(), change.osd
        if await self._known(osd):
            if not await self.drained(osd):
                raise refused(f"OSD {osd} still has data that others have too few copies of")
            await own.stop(osd)
            await self._ceph("osd", "down", str(osd))  # it may not have come to saying so
            await self._ceph("osd", "purge", str(osd), "--yes-i-really-mean-it")
        await own.free(osd)

    # Pools.

    async def _add_pool(self, change: ceph.AddPool) -> None:
        pool, pgs = change.pool, str(change.pgs)
        rule = (f"replicated_{change.tier}",) if change.tier else ()
        if change.tier:
            words = ("create-replicated", *rule, "default", "host", change.tier)
            await self._ceph("osd", "crush", "rule", *words)
        await self._ceph("osd", "pool", "create", pool, pgs, pgs, "replicated", *rule)
        if change.copies:
            sure = ("--yes-i-really-mean-it",) if change.copies == 1 else ()
            await self._ceph("osd", "pool", "set", pool, "size", str(change.copies), *sure)
        if change.least:
            await self._ceph("osd", "pool", "set", pool, "min_size", str(change.least))
        await self._ceph("osd", "pool", "application", "enable", pool, "rbd")

    async def _remove_pool(self, change: ceph.RemovePool) -> None:
        await self._ceph("osd", "pool", "rm", change.pool, change.pool, "--yes-i-really-really-mean-it")

    async def _set_pgs(self, change: ceph.SetPgs) -> None:
        await self._ceph("osd", "pool", "set", change.pool, "pg_num", str(change.pgs))

    # Images.

    async def _rbd(self, *words: str, well: int = 0, seconds: float = CALL) -> bool:
        """Whether it was done; an exit status of `well` is no failure."""
        try:
            await self._tools.do("rbd", *words, seconds=seconds)
        except ToolFailed as e:
            if not well or e.status != well:
                raise
            return False
        return True

    async def _info(self, pool: str, volume: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._tools.ask("rbd", "info", f"{pool}/{volume}")
        except ToolFailed as e:
            if e.status != ABSENT:
                raise
            return None
        return found

    async def _add_volume(self, change: ceph.AddVolume) -> None:
        spec = f"{change.pool}/{change.volume}"
        if not await self._rbd("create", "--size", f"{change.size}B", spec, well=THERE):
            found = await self._info(change.pool, change.volume)
            if found is None or found["size"] != change.size:
                raise refused(f"the volume {spec} exists already")

    async def _resize_volume(self, change: ceph.ResizeVolume) -> None:
        spec = f"{change.pool}/{change.volume}"
        [found] = await self.look("volumes", change.pool, change.volume)
        if found["size"] != change.size:
            await self._rbd("resize", "--no-progress", "--size", f"{change.size}B", spec)

    async def _rename_volume(self, change: ceph.RenameVolume) -> None:
        source, target = f"{change.pool}/{change.volume}", f"{change.pool}/{change.name}"
        done = await self._rbd("rename", source, target, well=ABSENT)
        if not done and await self._info(change.pool, change.name) is None:
            raise refused(f"there is no volume {source}")

    async def _copy_volume(self, change: ceph.CopyVolume) -> None:
        """It gets its name when it is whole."""
        source, target = f"{change.pool}/{change.volume}", f"{change.pool}/{change.name}"
        if await self._info(change.pool, change.name) is not None:
            return
        part = f"{change.pool}/.{change.name}.part"
        await self._rbd("rm", "--no-progress", part, well=ABSENT, seconds=LONG)
        await self._rbd("copy", "--no-progress", source, part, seconds=LONG)
        await self._rbd("rename", part, target)

    async def _remove_volume(self, change: ceph.RemoveVolume) -> None:
        spec = f"{change.pool}/{change.volume}"
        try:
            await self._rbd("rm", "--no-progress", spec, well=ABSENT, seconds=LONG)
        except ToolFailed as e:
            if e.status != NOT_EMPTY:
                raise
            await self._rbd("snap", "purge", "--no-progress", spec, seconds=LONG)
            await self._rbd("rm", "--no-progress", spec, well=ABSENT, seconds=LONG)

    # Snapshots and locks.

    async def _add_snapshot(self, change: ceph.AddSnapshot) -> None:
        spec = f"{change.pool}/{change.volume}@{change.snapshot}"
        await self._rbd("snap", "create", "--no-progress", spec, well=THERE)

    async def _snapshots(self, change: ceph.RenameSnapshot | ceph.RemoveSnapshot) -> set[str]:
        return {found["name"] for found in await self.look("snapshots", change.pool, change.volume)}

    async def _rename_snapshot(self, change: ceph.RenameSnapshot) -> None:
        volume = f"{change.pool}/{change.volume}"
        source, target = f"{volume}@{change.snapshot}", f"{volume}@{change.name}"
        done = await self._rbd("snap", "rename", source, target, well=ABSENT)
        if not done and change.name not in await self._snapshots(change):
            raise refused(f"there is no snapshot {source}")

    async def _remove_snapshot(self, change: ceph.RemoveSnapshot) -> None:
        spec = f"{change.pool}/{change.volume}@{change.snapshot}"
        if not await self._rbd("snap", "rm", "--no-progress", spec, well=ABSENT, seconds=LONG):
            await self._snapshots(change)  # the volume has to be there

    async def _roll_back(self, change: ceph.RollBack) -> None:
        spec = f"{change.pool}/{change.volume}@{change.snapshot}"
        await self._rbd("snap", "rollback", "--no-progress", spec, seconds=LONG)

    async def _break_locks(self, change: ceph.BreakLocks) -> None:
        spec, meant = f"{change.pool}/{change.volume}", change.addresses
        locks = await self.look("locks", change.pool, change.volume)
        if locks and meant is not None:
            meant = (*meant, *await views.addresses(self._tools, change.host))
        for lock in locks:
            if meant is None or at_one_of(lock["address"], meant):
                await self._rbd("lock", "remove", spec, lock["id"], lock["locker"], well=ABSENT)


def check(change: ceph.AnyChange) -> None:
    """
    Whether names and numbers can be meant.

    :raises StepFailed: not so.
    """
    wrong = ceph.objection(change)
    if wrong:
        raise refused(wrong)
