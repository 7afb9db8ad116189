"""
OS definitions as directories (behaviour.md §8).  Everything here reads files and belongs in a thread.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from twisted_rapi.model.seen import OsSeen

API_VERSIONS = (10, 15, 20)
SCRIPTS = ("create", "import", "export", "rename")


class _Invalid(Exception):
    """Why a definition cannot be used."""


def split(os_name: str) -> tuple[str, str]:
    """Name and variant of ``name+variant``; the variant is empty where none is chosen."""
    name, _, variant = os_name.partition("+")
    return name, variant


def discover(search_path: Sequence[Path]) -> tuple[OsSeen, ...]:
    """All definitions, by name; the first directory that has a name wins."""
    found: dict[str, OsSeen] = {}
    for folder in search_path:
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name not in found and _may_be_one(entry):
                found[entry.name] = look_at(entry)
    return tuple(found[name] for name in sorted(found))


def _may_be_one(entry: Path) -> bool:
    try:
        entry.name.encode()  # names that are no text cannot be reported
        return entry.is_dir() and not entry.name.startswith(".")
    except (OSError, UnicodeEncodeError):
        return False


def look_at(folder: Path) -> OsSeen:
    """One definition, with the reason where it cannot be used."""
    try:
        return _valid(folder)
    except (_Invalid, OSError, UnicodeDecodeError) as e:
        return OsSeen(name=folder.name, path=str(folder), invalid=str(e))


def _valid(folder: Path) -> OsSeen:
    if "+" in folder.name:
        raise _Invalid(f"'{folder.name}' cannot be told from an OS with a variant")
    versions = _versions(folder)
    level = max(set(versions) & set(API_VERSIONS), default=0)
    if not level:
        raise _Invalid(
            f"API version mismatch for path '{folder}': found {list(versions)}, expected {API_VERSIONS}"
        )
    trusted = True
    for script in (*SCRIPTS, *(["verify"] if level >= 20 else [])):
        if script == "create" and not (folder / script).exists() and (folder / "create_untrusted").exists():
            script, trusted = "create_untrusted", False  # noqa: PLW2901 -- the other form of the same script
        _check_script(folder / script)
    return OsSeen(
        name=folder.name,
        path=str(folder),
        api_versions=versions,
        variants=_variants(folder) if level >= 15 else (),
        parameters=_parameters(folder) if level >= 20 else (),
        trusted=trusted,
    )


def _lines(file: Path) -> list[str]:
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _versions(folder: Path) -> tuple[int, ...]:
    file = folder / "ganeti_api_version"
    try:
        return tuple(int(line) for line in _lines(file))
    except FileNotFoundError as e:
        raise _Invalid(f"Required file 'ganeti_api_version' not found under path {folder}") from e
    except ValueError as e:
        raise _Invalid(f"API version(s) can't be converted to integer: {e}") from e


def _check_script(script: Path) -> None:
    if not script.is_file():
        raise _Invalid(f"Required file '{script.name}' not found under path {script.parent}")
    if not os.access(script, os.X_OK):
        raise _Invalid(f"File '{script.name}' under path '{script.parent}' is not executable")


def _variants(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(_lines(folder / "variants.list"))
    except FileNotFoundError:
        return ()


def _parameters(folder: Path) -> tuple[tuple[str, str], ...]:
    try:
        lines = _lines(folder / "parameters.list")
    except FileNotFoundError as e:
        raise _Invalid(f"Required file 'parameters.list' not found under path {folder}") from e
    pairs = [line.split(None, 1) for line in lines]
    return tuple((pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs)
