"""
OS definitions as directories (behaviour.md §8).  Everything here reads files and belongs in a thread.
"""

from collections.abc import Sequence
from pathlib import Path

from twisted_rapi.agent.definitions import Invalid, check_script, folders, lines_of, parameters_of
from twisted_rapi.model.seen import OsSeen

API_VERSIONS = (10, 15, 20)
SCRIPTS = ("create", "import", "export", "rename")


def split(os_name: str) -> tuple[str, str]:
    """Name and variant of ``name+variant``; the variant is empty where none is chosen."""
    name, _, variant = os_name.partition("+")
    return name, variant


def discover(search_path: Sequence[Path]) -> tuple[OsSeen, ...]:
    """All definitions, by name; the first directory that has a name wins."""
    return tuple(look_at(folder) for folder in folders(search_path))


def look_at(folder: Path) -> OsSeen:
    """One definition, with the reason where it cannot be used."""
    try:
        return _valid(folder)
    except (Invalid, OSError, UnicodeDecodeError) as e:
        return OsSeen(name=folder.name, path=str(folder), invalid=str(e))


def _valid(folder: Path) -> OsSeen:
    if "+" in folder.name:
        raise Invalid(f"'{folder.name}' cannot be told from an OS with a variant")
    versions = _versions(folder)
    level = max(set(versions) & set(API_VERSIONS), default=0)
    if not level:
        raise Invalid(
            f"API version mismatch for path '{folder}': found {list(versions)}, expected {API_VERSIONS}"
        )
    trusted = True
    for script in (*SCRIPTS, *(["verify"] if level >= 20 else [])):
        if script == "create" and not (folder / script).exists() and (folder / "create_untrusted").exists():
            script, trusted = "create_untrusted", False  # noqa: PLW2901 -- the other form of the same script
        check_script(folder / script)
    return OsSeen(
        name=folder.name,
        path=str(folder),
        api_versions=versions,
        variants=_variants(folder) if level >= 15 else (),
        parameters=parameters_of(folder) if level >= 20 else (),
        trusted=trusted,
    )


def _versions(folder: Path) -> tuple[int, ...]:
    file = folder / "ganeti_api_version"
    try:
        return tuple(int(line) for line in lines_of(file))
    except FileNotFoundError as e:
        raise Invalid(f"Required file 'ganeti_api_version' not found under path {folder}") from e
    except ValueError as e:
        raise Invalid(f"API version(s) can't be converted to integer: {e}") from e


def _variants(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(lines_of(folder / "variants.list"))
    except FileNotFoundError:
        return ()
