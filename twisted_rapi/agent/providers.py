"""
Providers of external storage as directories: a script for each thing that is done to a volume, and the list
of the parameters they take.  Everything here reads files and belongs in a thread.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted_rapi.agent.definitions import Invalid, check_script, folders, parameters_of
from twisted_rapi.model.seen import ProviderSeen

SCRIPTS = ("create", "remove", "grow", "attach", "detach", "setinfo", "verify")


def discover(
    search_path: Sequence[Path], simulated: Mapping[str, Mapping[str, str]]
) -> tuple[ProviderSeen, ...]:
    """
    All providers, by name; the first directory that has a name wins.

    :param simulated: further ones, which have no scripts: by name the descriptions of their parameters.
    """
    found = {
        name: ProviderSeen(name=name, path=f"simulated:{name}", parameters=tuple(parameters.items()))
        for name, parameters in simulated.items()
    }
    found |= {folder.name: look_at(folder) for folder in folders(search_path)}
    return tuple(found[name] for name in sorted(found))


def look_at(folder: Path) -> ProviderSeen:
    """One provider, with the reason where it cannot be used."""
    try:
        for script in SCRIPTS:
            check_script(folder / script)
        return ProviderSeen(name=folder.name, path=str(folder), parameters=parameters_of(folder))
    except (Invalid, OSError, UnicodeDecodeError) as e:
        return ProviderSeen(name=folder.name, path=str(folder), invalid=str(e))
