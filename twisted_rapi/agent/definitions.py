"""
What definitions by scripts have in common, of OSes and of providers of external storage: directories with
scripts and lists.  Everything here reads files and belongs in a thread.
"""

import os
from collections.abc import Sequence
from pathlib import Path


class Invalid(Exception):
    """Why a definition cannot be used."""


def folders(search_path: Sequence[Path]) -> list[Path]:
    """The folders that may be definitions, by name; the first directory that has a name wins."""
    found: dict[str, Path] = {}
    for folder in search_path:
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name not in found and _may_be_one(entry):
                found[entry.name] = entry
    return [found[name] for name in sorted(found)]


def _may_be_one(entry: Path) -> bool:
    try:
        entry.name.encode()  # names that are no text cannot be reported
        return entry.is_dir() and not entry.name.startswith(".")
    except (OSError, UnicodeEncodeError):
        return False


def lines_of(file: Path) -> list[str]:
    """The lines of a list, without those that are empty or comments."""
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def check_script(script: Path) -> None:
    """
    Whether a script can be run.

    :raises Invalid: it cannot.
    """
    if not script.is_file():
        raise Invalid(f"Required file '{script.name}' not found under path {script.parent}")
    if not os.access(script, os.X_OK):
        raise Invalid(f"File '{script.name}' under path '{script.parent}' is not executable")


def parameters_of(folder: Path) -> tuple[tuple[str, str], ...]:
    """
    Names and descriptions of the parameters a definition takes.

    :raises Invalid: it does not say.
    """
    try:
        lines = lines_of(folder / "parameters.list")
    except FileNotFoundError as e:
        raise Invalid(f"Required file 'parameters.list' not found under path {folder}") from e
    pairs = [line.split(None, 1) for line in lines]
    return tuple((pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs)
