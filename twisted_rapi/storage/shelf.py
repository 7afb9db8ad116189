"""Where simulated volumes are noted: small values by name, in files that outlive the agent."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

_END = ".json"


class Shelf(Protocol):
    """Small JSON objects by name."""

    def read(self, name: str) -> dict[str, Any] | None:
        """The value of this name, if there is one."""

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Keep a value; it is there whole or not at all."""

    def remove(self, name: str) -> None:
        """Forget a value; none is well."""

    def names(self) -> list[str]:
        """All names."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps all others who share the shelf out for the while."""


class FolderShelf:
    """
    `Shelf` of one file a value in a folder, which is made when it is needed first.

    Agents on one machine may share it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _file(self, name: str) -> Path:
        return self.folder / (quote(name, safe="") + _END)

    def read(self, name: str) -> dict[str, Any] | None:
        """See `Shelf.read`."""
        try:
            found: dict[str, Any] = json.loads(self._file(name).read_bytes())
        except FileNotFoundError:
            return None
        return found

    def write(self, name: str, value: dict[str, Any]) -> None:
        """See `Shelf.write`."""
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = self._file(name)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        part.write_text(json.dumps(value), encoding="utf-8")
        part.replace(file)

    def remove(self, name: str) -> None:
        """See `Shelf.remove`."""
        self._file(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """See `Shelf.names`."""
        if not self.folder.is_dir():
            return []
        found = [f.name for f in self.folder.iterdir() if f.name.endswith(_END)]
        return sorted(unquote(name.removesuffix(_END)) for name in found)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See `Shelf.locked`."""
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
