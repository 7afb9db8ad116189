"""Storage units of a node: the folders and volume groups its disks are kept in."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from zope.interface import Interface, implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.storage.file import space, taken
from twisted_rapi.storage.shelf import Shelf

Unit = dict[str, Any]
InThread = Callable[..., Awaitable[Any]]


class IStorageUnits(Interface):
    """
    The units of some kinds of storage (constants.json ``storage_types``) on this node.

    Every method may raise `StepFailed` of kind ``storage``.
    """

    async def listed(kind: str) -> tuple[Unit, ...]:
        """``{name, size, used, free, allocatable}`` of each unit; sizes are MiB."""

    async def volumes(kind: str) -> tuple[Unit, ...]:
        """
        ``{unit, name, size, device}`` of each volume on the units of this kind.

        The size is in MiB, the device that of the unit the volume begins on.  Fails for what has none.
        """

    async def change(kind: str, name: str, allocatable: bool) -> None:
        """Say whether the unit gives space to new volumes; fails for a unit that is not there."""

    async def repair(kind: str, name: str) -> None:
        """Take out of the unit what is missing of it; fails for a unit that is not there."""


class Groups:
    """
    Simulated volume groups, of one physical volume each, as values on a shelf.

    :param names: the groups.
    :param space: total and free MiB, which all have in common.
    :param sizes: MiB of the volumes in them, by ``group/name``.
    """

    def __init__(
        self,
        shelf: Shelf,
        names: Iterable[str],
        space: Callable[[], tuple[int, int]],
        sizes: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._shelf, self._names, self._space, self._sizes = shelf, tuple(names), space, sizes

    def _device(self, number: int) -> str:
        return f"/dev/sim{number}"

    def listed(self, kind: str) -> tuple[Unit, ...]:
        """See `IStorageUnits.listed`."""
        total, free = self._space()
        sizes = {"size": total, "used": total - free, "free": free}
        if kind == "lvm-vg":
            return tuple({"name": name, **sizes, "allocatable": True} for name in self._names)
        if kind == "lvm-pv":
            devices = map(self._device, range(len(self._names)))
            return tuple({"name": d, **sizes, "allocatable": self._gives(d)} for d in devices)
        raise StepFailed(f"this node has no storage of type {kind}", "storage")

    def volumes(self, kind: str) -> tuple[Unit, ...]:
        """See `IStorageUnits.volumes`; each group has its own device."""
        if kind != "lvm-vg":
            raise StepFailed(f"storage of type {kind} has no volumes", "storage")
        devices = {name: self._device(n) for n, name in enumerate(self._names)}
        split = ((*name.split("/", 1), size) for name, size in sorted(self._sizes().items()))
        return tuple(
            {"unit": group, "name": name, "size": size, "device": devices[group]}
            for group, name, size in split
            if group in devices
        )

    def _gives(self, device: str) -> bool:
        return bool((self._shelf.read(f"unit {device}") or {"allocatable": True})["allocatable"])

    def change(self, kind: str, name: str, allocatable: bool) -> None:
        """See `IStorageUnits.change`."""
        if kind != "lvm-pv":
            raise StepFailed(f"storage of type {kind} cannot be changed", "storage")
        self._there(kind, name)
        self._shelf.write(f"unit {name}", {"allocatable": allocatable})

    def repair(self, kind: str, name: str) -> None:
        """See `IStorageUnits.repair`; nothing is ever missing."""
        if kind != "lvm-vg":
            raise StepFailed(f"storage of type {kind} cannot be repaired", "storage")
        self._there(kind, name)

    def _there(self, kind: str, name: str) -> None:
        if name not in {unit["name"] for unit in self.listed(kind)}:
            raise StepFailed(f"there is no {kind} {name}", "storage")


@implementer(IStorageUnits)
class SimulatedUnits:
    """`IStorageUnits` of a simulated node: `Groups`, in a thread."""

    def __init__(self, groups: Groups, in_thread: InThread) -> None:
        self._groups, self._in_thread = groups, in_thread

    async def listed(self, kind: str) -> tuple[Unit, ...]:
        """See `IStorageUnits.listed`."""
        found: tuple[Unit, ...] = await self._in_thread(self._groups.listed, kind)
        return found

    async def volumes(self, kind: str) -> tuple[Unit, ...]:
        """See `IStorageUnits.volumes`."""
        found: tuple[Unit, ...] = await self._in_thread(self._groups.volumes, kind)
        return found

    async def change(self, kind: str, name: str, allocatable: bool) -> None:
        """See `IStorageUnits.change`."""
        await self._in_thread(self._groups.change, kind, name, allocatable)

    async def repair(self, kind: str, name: str) -> None:
        """See `IStorageUnits.repair`."""
        await self._in_thread(self._groups.repair, kind, name)


@implementer(IStorageUnits)
class FolderUnits:
    """
    `IStorageUnits` of a kind that is kept as files below one folder.

    :param simulated: MiB to tell of instead of what the file system has.
    """

    def __init__(self, folder: Path, in_thread: InThread, simulated: int | None = None) -> None:
        self._folder, self._in_thread, self._simulated = folder, in_thread, simulated

    async def listed(self, kind: str) -> tuple[Unit, ...]:
        """See `IStorageUnits.listed`."""
        try:
            unit: Unit = await self._in_thread(_measured, self._folder, self._simulated)
        except OSError as e:
            raise StepFailed(f"{self._folder}: {e.strerror or e}", "storage") from e
        return (unit,)

    async def volumes(self, kind: str) -> tuple[Unit, ...]:
        """A folder has files, no volumes."""
        raise StepFailed(f"storage of type {kind} has no volumes", "storage")

    async def change(self, kind: str, name: str, allocatable: bool) -> None:
        """A folder has nothing that could be changed."""
        raise StepFailed(f"storage of type {kind} cannot be changed", "storage")

    async def repair(self, kind: str, name: str) -> None:
        """A folder has nothing that could be repaired."""
        raise StepFailed(f"storage of type {kind} cannot be repaired", "storage")


def _measured(folder: Path, simulated: int | None) -> Unit:
    total, free = space(folder, simulated)
    return {"name": str(folder), "size": total, "used": taken(folder), "free": free, "allocatable": True}
