"""Volumes that are numbers in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.interface import IVolumeDriver


@attrs.define(eq=False)
class MemoryShelf:
    """`twisted_rapi.storage.shelf.Shelf` in memory."""

    values: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    def read(self, name: str) -> dict[str, Any] | None:
        """See `Shelf.read`."""
        found = self.values.get(name)
        return None if found is None else dict(found)

    def write(self, name: str, value: dict[str, Any]) -> None:
        """See `Shelf.write`."""
        self.values[name] = dict(value)

    def remove(self, name: str) -> None:
        """See `Shelf.remove`."""
        self.values.pop(name, None)

    def names(self) -> list[str]:
        """See `Shelf.names`."""
        return sorted(self.values)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else is there."""
        yield


@implementer(IVolumeDriver)
class MemoryVolumes:
    """
    `IVolumeDriver` without storage; every call answers at once.

    :param total: MiB there are; what does not fit fails as a full disk does.
    :ivar sizes: MiB of each volume by its path, the address's last part.
    """

    def __init__(self, template: str = "file", base_dir: str = "/volumes", total: int = 1 << 20) -> None:
        self.template = template
        self.base_dir = base_dir
        self.total = total
        self.sizes: dict[str, int] = {}

    def _path(self, logical_id: tuple[Any, ...]) -> str:
        match tuple(logical_id):
            case (str(), str(path)) if path.startswith(f"{self.base_dir}/") and ".." not in path.split("/"):
                return path
        raise StepFailed(f"{logical_id!r} is not an address below {self.base_dir}", "storage")

    def _existing(self, logical_id: tuple[Any, ...]) -> str:
        path = self._path(logical_id)
        if path not in self.sizes:
            raise StepFailed(f"{path} does not exist", "storage")
        return path

    def _check_size(self, path: str, size: int) -> None:
        if self.sizes[path] != size:
            raise StepFailed(f"{path} has {self.sizes[path]} MiB, not {size}", "storage")

    def _set(self, path: str, size: int) -> None:
        if sum(self.sizes.values()) - self.sizes.get(path, 0) + size > self.total:
            raise StepFailed(f"cannot make {path}: no space left", "storage")
        self.sizes[path] = size

    async def create(self, disk: DiskSpec, fresh: bool = False) -> str:
        """Note its size."""
        path = self._path(disk.logical_id)
        if path in self.sizes and not fresh:
            self._check_size(path, disk.size)
        else:
            self._set(path, disk.size)
        return path

    async def delete(self, disk: DiskSpec) -> None:
        """Forget it."""
        self.sizes.pop(self._path(disk.logical_id), None)

    async def grow(self, disk: DiskSpec) -> None:
        """Note the larger size."""
        path = self._existing(disk.logical_id)
        self._set(path, max(disk.size, self.sizes[path]))

    async def activate(self, disk: DiskSpec, ignore_size: bool = False) -> str:
        """Check that it is there."""
        path = self._existing(disk.logical_id)
        if not ignore_size:
            self._check_size(path, disk.size)
        return path

    async def deactivate(self, disk: DiskSpec) -> None:
        """Nothing is in use."""

    async def move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """Note it under another path."""
        old, new = self._path(disk.logical_id), self._path(to)
        if old == new or (new in self.sizes and old not in self.sizes):
            self._existing(to)
            return
        self._existing(disk.logical_id)
        if new in self.sizes:
            raise StepFailed(f"{new} exists already", "storage")
        self.sizes[new] = self.sizes.pop(old)

    async def inspect(self, disk: DiskSpec) -> dict[str, Any] | None:
        """All of it counts as allocated."""
        path = self._path(disk.logical_id)
        if path not in self.sizes:
            return None
        return {"path": path, "size": self.sizes[path], "allocated": self.sizes[path]}

    async def space(self) -> tuple[int, int]:
        """What volumes leave of `total`."""
        return self.total, self.total - sum(self.sizes.values())
