"""Disks as raw sparse files, for the templates ``file`` and ``sharedfile``."""

import contextlib
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.interface import IVolumeDriver

MIB = 1024 * 1024
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW

InThread = Callable[..., Awaitable[Any]]
"""Runs a function with arguments where it may block."""


@implementer(IVolumeDriver)
class FileDriver:
    """
    Files below one directory.

    ``logical_id`` is ``(driver, path)``; the driver is always ``loop``, as files are given to the hypervisor.

    :param base: the directory; made when the first volume is.
    :param in_thread: runs blocking work elsewhere.
    :param total: MiB to tell of instead of what the file system has, on a simulated node.
    """

    def __init__(self, template: str, base: Path, in_thread: InThread, total: int | None = None) -> None:
        self.template = template
        self._base = base
        self._in_thread = in_thread
        self._total = total

    async def create(self, disk: DiskSpec, fresh: bool = False) -> str:
        """See `IVolumeDriver.create`."""
        path: str = await self._run(self._create, disk, fresh)
        return path

    async def delete(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.delete`."""
        await self._run(self._delete, disk)

    async def grow(self, disk: DiskSpec) -> None:
        """See `IVolumeDriver.grow`."""
        await self._run(self._grow, disk)

    async def activate(self, disk: DiskSpec, ignore_size: bool = False) -> str:
        """See `IVolumeDriver.activate`."""
        path: str = await self._run(self._activate, disk, ignore_size)
        return path

    async def deactivate(self, disk: DiskSpec) -> None:
        """Nothing has to be done for a file, wherever it is."""

    async def move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """See `IVolumeDriver.move`."""
        await self._run(self._move, disk, to)

    async def inspect(self, disk: DiskSpec) -> dict[str, Any] | None:
        """See `IVolumeDriver.inspect`; ``allocated`` is what the file really takes."""
        found: dict[str, Any] | None = await self._run(self._inspect, disk)
        return found

    async def space(self) -> tuple[int, int]:
        """See `IVolumeDriver.space`."""
        found: tuple[int, int] = await self._run(self._space)
        return found

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._in_thread(work, *args)
        except OverflowError as e:
            raise StepFailed("the disk is larger than a file can be", "storage") from e
        except OSError as e:
            raise StepFailed(f"{e.filename or self._base}: {e.strerror or e}", "storage") from e

    # In a thread.

    def _path(self, logical_id: tuple[Any, ...]) -> Path:
        if len(logical_id) != 2 or not isinstance(logical_id[1], str) or "\x00" in logical_id[1]:
            raise StepFailed(f"{logical_id!r} is no address of a file", "storage")
        path = Path(logical_id[1])
        # The folder's links are followed, so that none leads outside; the file itself must be no link.
        folder = Path(os.path.realpath(path.parent))
        if (
            not folder.is_relative_to(os.path.realpath(self._base))
            or path.name.startswith(".")
            or not path.name
        ):
            raise StepFailed(f"{path} is not below {self._base}", "storage")
        if (folder / path.name).is_symlink():
            raise StepFailed(f"{path} is a link", "storage")
        return folder / path.name

    def _create(self, disk: DiskSpec, fresh: bool) -> str:
        path = self._path(disk.logical_id)
        if path.exists() and not fresh:
            self._check_size(path, disk)
            return str(path)
        self._make_folder(path.parent)
        part = path.with_name(f".{path.name}.part")
        try:
            handle = os.open(part, _OPEN | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.ftruncate(handle, disk.size * MIB)
                os.fsync(handle)
            finally:
                os.close(handle)
            part.replace(path)
            _sync_folder(path.parent)
        except (OSError, OverflowError):
            part.unlink(missing_ok=True)
            self._drop_folder(path.parent)
            raise
        return str(path)

    def _make_folder(self, folder: Path) -> None:
        """Make it, and have it outlive a crash as what is in it will."""
        missing = []
        at = folder
        while not at.exists():
            missing.append(at)
            at = at.parent
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for made in missing:
            _sync_folder(made.parent)

    def _drop_folder(self, folder: Path) -> None:
        while folder != Path(os.path.realpath(self._base)):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _check_size(self, path: Path, disk: DiskSpec) -> None:
        size = path.stat().st_size
        if size != disk.size * MIB:
            raise StepFailed(f"{path} has {size / MIB:g} MiB instead of {disk.size}", "storage")

    def _delete(self, disk: DiskSpec) -> None:
        path = self._path(disk.logical_id)
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.part").unlink(missing_ok=True)
        if path.parent.exists():
            _sync_folder(path.parent)
            self._drop_folder(path.parent)

    def _grow(self, disk: DiskSpec) -> None:
        path = self._path(disk.logical_id)
        handle = os.open(path, _OPEN)
        try:
            if os.fstat(handle).st_size < disk.size * MIB:
                os.ftruncate(handle, disk.size * MIB)
                os.fsync(handle)
        finally:
            os.close(handle)

    def _activate(self, disk: DiskSpec, ignore_size: bool) -> str:
        path = self._path(disk.logical_id)
        if not path.is_file():
            raise StepFailed(f"{path} does not exist", "storage")
        if not ignore_size:
            self._check_size(path, disk)
        return str(path)

    def _move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        source, target = self._path(disk.logical_id), self._path(to)
        if source == target:
            return
        if not source.exists():
            if target.exists():
                return
            raise StepFailed(f"{source} does not exist", "storage")
        if target.exists():
            raise StepFailed(f"{target} exists already", "storage")
        self._make_folder(target.parent)
        source.rename(target)
        _sync_folder(target.parent)
        _sync_folder(source.parent)
        self._drop_folder(source.parent)

    def _inspect(self, disk: DiskSpec) -> dict[str, Any] | None:
        path = self._path(disk.logical_id)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise StepFailed(f"{path} is no file", "storage")
            return {
                "path": str(path),
                "size": found.st_size // MIB,
                "allocated": found.st_blocks * 512 // MIB,
            }
        return None

    def _space(self) -> tuple[int, int]:
        return space(self._base, self._total)


def space(folder: Path, total: int | None = None) -> tuple[int, int]:
    """
    The size of a folder's file system and what is free of it, in MiB.

    :param total: a simulated size, of which only the files below the folder take: what else its disk holds
        has no part in it.
    :raises OSError: it cannot be read.
    """
    if total is not None:
        return total, max(0, total - taken(folder))
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize // MIB, found.f_bavail * found.f_frsize // MIB


def taken(folder: Path) -> int:
    """What the files below a folder take, in MiB; nothing when there is none."""
    used = 0
    for path, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                used += os.lstat(os.path.join(path, file)).st_blocks * 512
    return used // MIB


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
