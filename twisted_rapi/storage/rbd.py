"""
Images of a Ceph cluster, for the template ``rbd``.

Note [Access].  With the disk parameter ``access`` of ``userspace`` a guest reaches its image by librbd, and
its path is the text of `twisted_rapi.model.rbd`; nothing is there on the node.  With ``kernelspace``, which
is what disks have that say nothing, its kernel maps it as ``/dev/rbd/POOL/IMAGE`` while it is active.
"""

import os
from typing import Any

from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import rbd
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.ceph_tools import ABSENT, CALL, NOT_EMPTY, THERE, ToolFailed, Tools
from twisted_rapi.storage.file import MIB, InThread
from twisted_rapi.storage.interface import IVolumeDriver

REMOVAL = 280.0  # seconds; each object is removed by itself
_FAST = "fast-diff"  # the feature without which what an image takes is found out by reading all of it


@implementer(IVolumeDriver)
class RbdDriver:
    """
    Images, by the tool ``rbd``; ``logical_id`` is ``(pool, image)``.

    Of the disk parameters ``user-id`` is who the tool and the guest are, else the one of `tools`; for
    ``access`` see Note [Access].

    :param in_thread: runs blocking work elsewhere.
    """

    template = "rbd"

    def __init__(self, tools: Tools, in_thread: InThread) -> None:
        self._tools, self._in_thread = tools, in_thread

    # Addresses.

    def _spec(self, logical_id: tuple[Any, ...]) -> str:
        match tuple(logical_id):
            case (str(pool), str(name)) if rbd.NAME.fullmatch(pool) and rbd.NAME.fullmatch(name):
                return f"{pool}/{name}"
        raise StepFailed(f"{logical_id!r} is no address of an rbd volume", "storage")

    def _user(self, disk: DiskSpec) -> str:
        user = str(disk.params.get("user-id") or self._tools.user)
        if user and not rbd.NAME.fullmatch(user):
            raise StepFailed(f"{user!r} is no user of Ceph", "storage")
        return user

    def _mapped(self, disk: DiskSpec) -> bool:
        return bool(disk.params.get("access", "kernelspace") != "userspace")

    def _path(self, disk: DiskSpec) -> str:
        spec, user = self._spec(disk.logical_id), self._user(disk)
        if self._mapped(disk):
            return f"/dev/rbd/{spec}"
        pool, _, name = spec.partition("/")
        return rbd.uri(rbd.RbdImage(pool=pool, name=name, user=user, conf=self._tools.conf))

    # What the tool says.

    async def _info(self, disk: DiskSpec, spec: str = "") -> dict[str, Any] | None:
        """What is known of an image; ``None`` when it, or its pool, is not there."""
        asked = spec or self._spec(disk.logical_id)
        try:
            found: dict[str, Any] = await self._tools.ask("rbd", "info", asked, user=self._user(disk))
        except ToolFailed as e:
            if e.status == ABSENT:
                return None
            raise
        return found

    async def _there(self, disk: DiskSpec) -> dict[str, Any]:
        found = await self._info(disk)
        if found is None:
            raise StepFailed(f"the image {self._spec(disk.logical_id)} does not exist", "storage")
        return found

    def _check_size(self, disk: DiskSpec, found: dict[str, Any]) -> None:
        if found["size"] != disk.size * MIB:
            spec, size = self._spec(disk.logical_id), found["size"] / MIB
            raise StepFailed(f"the image {spec} has {size:g} MiB instead of {disk.size}", "storage")

    async def _do(self, disk: DiskSpec, *words: str, seconds: float = CALL) -> bytes:
        return await self._tools.do("rbd", *words, user=self._user(disk), seconds=seconds)

    # The interface.

    async def create(self, disk: DiskSpec, fresh: bool = False) -> str:
        """See `IVolumeDriver.create`."""
        spec, path = self._spec(disk.logical_id), self._path(disk)
        if fresh:
            await self.delete(disk)
        try:
            await self._do(disk, "create", "--size", f"{disk.size}M", spec)
        except ToolFailed as e:
            if e.status != THERE or fresh:
                raise
            self._check_size(disk, await self._there(disk))
        return path

    async def delete(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.delete`; its snapshots go with it."""
        spec = self._spec(disk.logical_id)
        await self.deactivate(disk)
        try:
            await self._remove(disk, spec)
        except ToolFailed as e:
            if e.status != ABSENT:
                raise

    async def _remove(self, disk: DiskSpec, spec: str) -> None:
        try:
            await self._do(disk, "rm", "--no-progress", spec, seconds=REMOVAL)
        except ToolFailed as e:
            if e.status != NOT_EMPTY:
                raise
            await self._do(disk, "snap", "purge", "--no-progress", spec, seconds=REMOVAL / 2)
            await self._do(disk, "rm", "--no-progress", spec, seconds=REMOVAL / 2)

    async def grow(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.grow`."""
        found = await self._there(disk)
        if found["size"] < disk.size * MIB:
            spec = self._spec(disk.logical_id)
            await self._do(disk, "resize", "--no-progress", "--size", f"{disk.size}M", spec)

    async def activate(self, disk: DiskSpec, ignore_size: bool = False) -> str:
        """See `IVolumeDriver.activate`."""
        path, found = self._path(disk), await self._there(disk)
        if not ignore_size:
            self._check_size(disk, found)
        if self._mapped(disk) and not await self._device(disk):
            await self._do(disk, "device", "map", self._spec(disk.logical_id))
        return path

    async def deactivate(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.deactivate`."""
        self._spec(disk.logical_id)
        if self._mapped(disk) and (device := await self._device(disk)):
            await self._do(disk, "device", "unmap", device)

    async def _device(self, disk: DiskSpec) -> str:
        """The device the image is mapped as here; empty when it is not."""
        pool, _, name = self._spec(disk.logical_id).partition("/")
        found = await self._tools.ask("rbd", "device", "list", user=self._user(disk))
        return next(
            (
                str(one["device"])
                for one in found
                if (one["pool"], one["name"], one["snap"], one.get("namespace", "")) == (pool, name, "-", "")
            ),
            "",
        )

    async def move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """See `IVolumeDriver.move`; an image stays in its pool."""
        source, target = self._spec(disk.logical_id), self._spec(to)
        if source == target:
            return
        if source.partition("/")[0] != target.partition("/")[0]:
            raise StepFailed(f"{source} cannot be moved to another pool ({target})", "storage")
        try:
            await self._do(disk, "rename", source, target)
        except ToolFailed as e:
            if e.status == THERE:
                raise StepFailed(f"the image {target} exists already", "storage") from e
            if e.status != ABSENT:
                raise
            if await self._info(disk, target) is None:
                raise StepFailed(f"the image {source} does not exist", "storage") from e

    async def inspect(self, disk: DiskSpec) -> dict[str, Any] | None:
        """See `IVolumeDriver.inspect`; where an image does not note what it takes, all of it counts."""
        found = await self._info(disk)
        if found is None:
            return None
        seen = {"path": self._path(disk), "size": found["size"] // MIB, "allocated": found["size"] // MIB}
        if _FAST in found.get("features", ()):
            usage = await self._tools.ask("rbd", "du", self._spec(disk.logical_id), user=self._user(disk))
            # Its snapshots have lines of their own.
            seen["allocated"] = sum(one["used_size"] for one in usage["images"]) // MIB
        if self._mapped(disk):
            seen |= await self._in_thread(_numbers, seen["path"])
        return seen

    async def space(self) -> tuple[int, int]:
        """See `IVolumeDriver.space`: of the whole of Ceph, copies counted each."""
        stats = (await self._tools.ask("ceph", "df"))["stats"]
        return stats["total_bytes"] // MIB, stats["total_avail_bytes"] // MIB


def _numbers(path: str) -> dict[str, int]:
    """Those of a device; none when it is not there."""
    try:
        found = os.stat(path).st_rdev
    except OSError:
        return {}
    return {"major": os.major(found), "minor": os.minor(found)}
