"""The simulated drivers of a node, by template."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.file import InThread
from twisted_rapi.storage.interface import IMirrorDriver, IVolumeDriver
from twisted_rapi.storage.shelf import FolderShelf, Shelf
from twisted_rapi.storage.simulated import Devices, Volumes
from twisted_rapi.storage.simulated_mirror import Mirrors

SHARED = ("rbd", "ext", "gluster")
"""Templates whose volumes all nodes have in common; so are block devices."""


@implementer(IVolumeDriver)
class SimulatedDriver:
    """
    `IVolumeDriver` over `Volumes`.

    :param in_thread: runs blocking work elsewhere.
    """

    def __init__(self, volumes: Volumes | Mirrors, in_thread: InThread) -> None:
        self.template = volumes.template
        self._volumes = volumes
        self._in_thread = in_thread

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._in_thread(work, *args)
        except OSError as e:
            raise StepFailed(f"{e.filename or self.template}: {e.strerror or e}", "storage") from e
        except ValueError as e:
            raise StepFailed(f"the notes of simulated volumes cannot be read: {e}", "storage") from e

    async def create(self, disk: DiskSpec, fresh: bool = False) -> str:
        """See `IVolumeDriver.create`."""
        path: str = await self._run(self._volumes.create, disk, fresh)
        return path

    async def delete(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.delete`."""
        await self._run(self._volumes.delete, disk)

    async def grow(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.grow`."""
        await self._run(self._volumes.grow, disk)

    async def activate(self, disk: DiskSpec, ignore_size: bool = False) -> str:
        """See `IVolumeDriver.activate`."""
        path: str = await self._run(self._volumes.activate, disk, ignore_size)
        return path

    async def deactivate(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.deactivate`."""
        await self._run(self._volumes.deactivate, disk)

    async def move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """See `IVolumeDriver.move`."""
        await self._run(self._volumes.move, disk, to)

    async def inspect(self, disk: DiskSpec) -> dict[str, Any] | None:
        """See `IVolumeDriver.inspect`."""
        found: dict[str, Any] | None = await self._run(self._volumes.inspect, disk)
        return found

    async def space(self) -> tuple[int, int]:
        """See `IVolumeDriver.space`."""
        found: tuple[int, int] = await self._run(self._volumes.space)
        return found


@implementer(IMirrorDriver)
class SimulatedMirrorDriver(SimulatedDriver):
    """`IMirrorDriver` over `Mirrors`."""

    def __init__(self, mirrors: Mirrors, in_thread: InThread) -> None:
        super().__init__(mirrors, in_thread)
        self._mirrors = mirrors

    async def attach(
        self, disk: DiskSpec, primary: bool, ignore_size: bool = False, force: bool = False
    ) -> str:
        """See `IMirrorDriver.attach`."""
        path: str = await self._run(self._mirrors.attach, disk, primary, ignore_size, force)
        return path

    async def renew(self, disk: DiskSpec, token: str) -> None:
        """See `IMirrorDriver.renew`."""
        await self._run(self._mirrors.renew, disk, token)

    async def adopt(self, disk: DiskSpec) -> None:
        """See `IMirrorDriver.adopt`."""
        await self._run(self._mirrors.adopt, disk)

    async def release(self, disk: DiskSpec) -> None:
        """See `IMirrorDriver.release`."""
        await self._run(self._mirrors.release, disk)

    async def remaining(self, disk: DiskSpec) -> float:
        """See `IMirrorDriver.remaining`."""
        found: float = await self._run(self._mirrors.remaining, disk)
        return found


def cores(
    local: Shelf, mirrored: Shelf, shared: Mapping[str, Shelf], total: int, now: Callable[[], float]
) -> dict[str, Volumes | Mirrors]:
    """
    What keeps the disks of a simulated node, by template.

    :param local: of this node's volume groups; `mirrored`: of the sides of all nodes; `shared`: by template.
    :param total: MiB of the volume groups together, and of each shared storage.
    """
    plain = Volumes("plain", local, total)
    found: dict[str, Volumes | Mirrors] = {"plain": plain, "drbd": Mirrors(plain, mirrored, now)}
    found |= {template: Volumes(template, shared[template], total) for template in SHARED}
    return found | {"blockdev": Devices(shared["blockdev"])}


def simulated_drivers(
    local: Path,
    shared: Path,
    total: int,
    now: Callable[[], float],
    in_thread: InThread,
    volumes: Mapping[str, int],
    devices: Mapping[str, int],
) -> dict[str, IVolumeDriver]:
    """
    The simulated drivers of a node.

    :param local: the folder of this node's volumes; `shared`: of what all nodes have in common.
    :param volumes: sizes of volumes of the node that are there from the beginning, by ``group/name``.
    :param devices: sizes of the block devices all nodes have, by path.
    """
    own = FolderShelf(local)
    folders = {template: FolderShelf(shared / template) for template in (*SHARED, "blockdev", "drbd")}
    if not local.exists():
        for name, size in volumes.items():
            own.write(name, {"size": size})
    for path, size in devices.items():
        folders["blockdev"].write(f"manual/{path}", {"size": size})
    made = cores(own, folders["drbd"], folders, total, now)
    return {
        template: SimulatedMirrorDriver(core, in_thread)
        if isinstance(core, Mirrors)
        else SimulatedDriver(core, in_thread)
        for template, core in made.items()
    }
