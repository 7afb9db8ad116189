"""Writing files that are there whole or not at all."""

import os
from pathlib import Path

from argon2 import PasswordHasher

from twisted_rapi.errors import ConfigurationError


def _write(path: Path, content: bytes, mode: int) -> None:
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(handle, mode)
        with os.fdopen(handle, "wb", closefd=False) as out:
            out.write(content)
        os.fsync(handle)
    finally:
        os.close(handle)
    part.replace(path)


def write_private(path: Path, content: bytes) -> None:
    """A file only its owner may read."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """A file anybody may read."""
    _write(path, content, 0o644)


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
