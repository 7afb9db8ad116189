"""Writing files that are there whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from argon2 import PasswordHasher

from twisted_rapi.errors import ConfigurationError


def _write(path: Path, content: bytes, mode: int) -> None:
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as out:
            os.fchmod(handle, mode)
            out.write(content)
            out.flush()
            os.fsync(handle)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_private(path: Path, content: bytes) -> None:
    """A file only its owner may read."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """A file anybody may read."""
    _write(path, content, 0o644)


def refuse_existing(paths: Iterable[Path]) -> None:
    """
    Make sure that nothing will be overwritten.

    :raises ConfigurationError: one of these is there.
    """
    for path in paths:
        if os.path.lexists(path):
            raise ConfigurationError(f"{path} is there already; nothing was changed")


class Undo:
    """Removes the files and folders made through it when its block ends, unless they are to be kept."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def __enter__(self) -> "Undo":
        return self

    def __exit__(self, *_: object) -> None:
        for path in reversed(self._paths):
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def keep(self) -> None:
        """Everything is well."""
        self._paths.clear()

    def folder(self, path: Path, mode: int = 0o750) -> Path:
        """Make a folder and those above it, unless they are there."""
        if not path.exists():
            self.folder(path.parent, mode)
            path.mkdir()
            self._paths.append(path)
            path.chmod(mode)
        return path

    def private(self, path: Path, content: bytes) -> None:
        """Write a new file that only its owner may read."""
        self._paths.append(path)
        write_private(path, content)

    def public(self, path: Path, content: bytes) -> None:
        """Write a new file that anybody may read."""
        self._paths.append(path)
        write_public(path, content)

    def other(self, path: Path) -> None:
        """Someone else is about to make it; it was not there before."""
        self._paths.append(path)


def _name_of(line: str) -> str | None:
    fields = line.split(None, 1)
    return fields[0] if fields and not line.lstrip().startswith("#") else None


def set_user(file: Path, name: str, password: str, options: str) -> None:
    """
    Put a user into the users file, its password as an argon2 hash; other lines stay as they are.

    :raises ConfigurationError: no such name or options can be written there.
    """
    if not name or any(c.isspace() or c == ":" for c in name) or name.startswith("#"):
        raise ConfigurationError(f"{name!r} cannot be the name of a user")
    if not password:
        raise ConfigurationError("a password is needed")
    secret = PasswordHasher().hash(password)
    lines = _without(file, name)
    lines.append(f"{name} {{argon2}}{secret} {options}".rstrip())
    write_private(file, ("\n".join(lines) + "\n").encode())


def _without(file: Path, name: str) -> list[str]:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [line for line in text.splitlines() if _name_of(line) != name]


def remove_user(file: Path, name: str) -> None:
    """
    Take a user out of the users file.

    :raises ConfigurationError: there is none of this name.
    """
    if name not in users(file):
        raise ConfigurationError(f"there is no user {name}")
    lines = _without(file, name)
    write_private(file, ("\n".join(lines) + "\n").encode() if lines else b"")


def users(file: Path) -> dict[str, str]:
    """Name and options of each user."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    found = {}
    for line in text.splitlines():
        fields = line.split(None, 2)
        if _name_of(line) is not None and len(fields) > 1:
            found[fields[0]] = fields[2] if len(fields) > 2 else ""
    return found
