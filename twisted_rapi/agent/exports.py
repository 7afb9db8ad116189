"""Exports of instances on this node: a folder each, with a configuration and a dump of each disk (§6)."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed

CONFIG = "config.ini"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_MOST = 1024 * 1024  # bytes of a configuration


class Exports:
    """
    The folder with exports.

    One that is being made is called ``.NAME.new``; it gets its name when it is whole, and the one before it
    is ``.NAME.old`` meanwhile.  No instance can be called so.
    """

    def __init__(self, folder: Path, in_thread: InThread) -> None:
        self._folder, self._in_thread = folder, in_thread

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._in_thread(work, *args)
        except OSError as e:
            raise StepFailed(f"{e.filename or self._folder}: {e.strerror or e}", "storage") from e

    async def names(self) -> tuple[str, ...]:
        """The exports there are, whole ones only."""
        found: tuple[str, ...] = await self._run(self._names)
        return found

    async def begin(self, name: str) -> None:
        """Make an empty folder for a new export; an older one of this name stays until `finish`."""
        await self._run(self._begin, name)

    async def finish(self, name: str, config: str) -> None:
        """The new export is whole: it takes its name, and the older one is gone.  Done already is well."""
        await self._run(self._finish, name, config)

    async def remove(self, name: str) -> None:
        """Remove an export, half made ones too; one that is not there is well."""
        await self._run(self._remove, name)

    async def abandon(self, name: str) -> None:
        """Remove what was half made only."""
        await self._run(self._abandon, name)

    async def config(self, path: str) -> str:
        """
        The configuration of the export in a folder.

        :raises StepFailed: there is none, or the folder is no export of this node.
        """
        text: str = await self._run(self._config, path)
        return text

    def new_dump(self, name: str, file: str) -> str:
        """Where a dump of the new export is written."""
        return str(self._new(name) / _checked(file))

    def dump(self, path: str, file: str) -> str:
        """
        Where a dump of the export in a folder is.

        :raises StepFailed: the folder is no export of this node.
        """
        return str(self._inside(path) / _checked(file))

    # In a thread.

    def _new(self, name: str) -> Path:
        return self._folder / f".{_checked(name)}.new"

    def _old(self, name: str) -> Path:
        return self._folder / f".{_checked(name)}.old"

    def _put_back(self, name: str) -> None:
        """An older export that was put aside for one that never came is there again."""
        if self._old(name).is_dir() and not (self._folder / name).exists():
            self._old(name).rename(self._folder / name)

    def _inside(self, path: str) -> Path:
        """A path below the folder, or a name in it."""
        found = self._folder / path
        if found.parent != self._folder or not _NAME.fullmatch(found.name):
            raise StepFailed(f"{path} is not below {self._folder}", "storage")
        return found

    def _names(self) -> tuple[str, ...]:
        if not self._folder.is_dir():
            return ()
        whole = [f for f in self._folder.iterdir() if not f.name.startswith(".") and (f / CONFIG).is_file()]
        return tuple(sorted(f.name for f in whole))

    def _begin(self, name: str) -> None:
        self._put_back(name)
        shutil.rmtree(self._new(name), ignore_errors=True)
        self._new(name).mkdir(mode=0o700, parents=True)

    def _finish(self, name: str, config: str) -> None:
        new, whole = self._new(name), self._folder / name
        if not new.is_dir():
            if (whole / CONFIG).is_file() and (whole / CONFIG).read_text(encoding="utf-8") == config:
                return
            raise StepFailed(f"{new} is not there", "storage")
        with (new / CONFIG).open("w", encoding="utf-8") as f:
            f.write(config)
            f.flush()
            os.fsync(f.fileno())
        old = self._old(name)
        if whole.exists():
            _remove_tree(old)
            whole.rename(old)
        new.rename(whole)
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        shutil.rmtree(old, ignore_errors=True)

    def _remove(self, name: str) -> None:
        self._abandon(name)
        _remove_tree(self._folder / name)
        _remove_tree(self._old(name))

    def _abandon(self, name: str) -> None:
        self._put_back(name)
        _remove_tree(self._new(name))

    def _config(self, path: str) -> str:
        file = self._inside(path) / CONFIG
        if not file.is_file():
            raise StepFailed(f"there is no export in {file.parent}", "storage")
        if file.stat().st_size > _MOST:
            raise StepFailed(f"{file} is too large", "storage")
        return file.read_text(encoding="utf-8", errors="replace")


def _remove_tree(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise StepFailed(f"{name!r} cannot name an export or a file of one", "storage")
    return name
