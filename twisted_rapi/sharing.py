"""
The files that all candidates have alike, as one machine has them.

The users, the digests of tokens of PVC's API, how nodes are switched off, and the passwords that are needed
for that, as far as they are below the same folder.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from twisted_rapi.admin.files import write_private
from twisted_rapi.config import Config

TOKENS, FENCING = "pvc-tokens", "fencing.toml"
_BESIDE = "password/"
_BELOW = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
_OURS = (".toml", ".pem", ".key", ".distributed")


def noted(file: Path) -> Path:
    """Where it is noted when what is in a distributed file was asked for."""
    return file.with_name(f"{file.name}.distributed")


def take_over(file: Path, at: float, text: str) -> bool:
    """
    Make the file what was asked for at this time, unless it has been before; whether it had to be.

    A link stays one; blocks.

    :raises OSError: the file cannot be written.
    """
    note = noted(file)
    try:
        last = float(note.read_text(encoding="ascii"))
    except (OSError, ValueError):
        last = 0.0
    if at <= last:
        return False
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file.resolve(), text.encode())
    write_private(note, f"{at!r}\n".encode())
    return True


def passwords(fencing: str) -> Iterator[str]:
    """
    The files with passwords that ``fencing.toml`` names, relative to its folder.

    Without those that are elsewhere, or are named as files of ours are.
    """
    try:
        told = tomllib.loads(fencing)
    except tomllib.TOMLDecodeError:
        return
    nodes = told.get("nodes")
    for way in nodes.values() if isinstance(nodes, dict) else ():
        name = way.get("password_file") if isinstance(way, dict) else None
        if isinstance(name, str) and _BELOW.fullmatch(name) and not name.endswith(_OURS):
            yield name


@attrs.frozen
class SharedFiles:
    """
    Where they are; all that this does blocks.

    :ivar users: is always there; the others need not be.
    """

    users: Path
    tokens: Path
    fencing: Path

    @classmethod
    def of(cls, config: Config) -> "SharedFiles":
        """Those of a candidate."""
        return cls(Path(config.api.users), Path(config.pvc.tokens), Path(config.death.fencing))

    @classmethod
    def below(cls, folder: Path) -> "SharedFiles":
        """As a new candidate has them."""
        return cls(folder / "users", folder / TOKENS, folder / FENCING)

    def read_users(self) -> str:
        """
        The text of the users file.

        :raises OSError, UnicodeDecodeError: it cannot be read.
        """
        return self.users.read_text(encoding="utf-8")

    def read_others(self) -> dict[str, str]:
        """
        The texts of the others by name, without those that are not there.

        :raises OSError, UnicodeDecodeError: one cannot be read.
        """
        found = {name: text for name in (TOKENS, FENCING) if (text := _read(self._at(name))) is not None}
        for name in passwords(found.get(FENCING, "")):
            if (text := _read(self._at(_BESIDE + name))) is not None:
                found[_BESIDE + name] = text
        return found

    def take(self, at: float, users: str, others: Mapping[str, str]) -> bool:
        """
        Have what was asked for at this time, unless it has been had before; whether anything was.

        :raises OSError: a file cannot be written.
        """
        taken = [take_over(file, at, text) for file, text in self.places(others)]
        return any([*taken, take_over(self.users, at, users)])

    def places(self, others: Mapping[str, str]) -> list[tuple[Path, str]]:
        """Where the others go; what no candidate of this release shares goes nowhere."""
        known = {TOKENS, FENCING, *(_BESIDE + name for name in passwords(others.get(FENCING, "")))}
        return [(self._at(name), text) for name, text in others.items() if name in known]

    def _at(self, name: str) -> Path:
        known = {TOKENS: self.tokens, FENCING: self.fencing}
        return known.get(name) or self.fencing.parent / name.removeprefix(_BESIDE)


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
