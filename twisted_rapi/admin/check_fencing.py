"""What ``rapi-admin check`` has to say of ``fencing.toml``; nobody is switched off, or asked."""

import os
from collections.abc import Iterator
from pathlib import Path

from twisted_rapi.agent.fencing_settings import Command, Ipmi, Way, check_private, load
from twisted_rapi.errors import ConfigurationError


def check_fencing(file: Path) -> Iterator[tuple[str, bool, str]]:
    """What was looked at, whether it is good, and what to tell; nothing where there is no file."""
    if not file.exists():
        return
    try:
        found = load(file)
    except ConfigurationError as e:
        yield "fencing", False, str(e)
        return
    ways: dict[str, Way] = dict(found.nodes)
    if found.default is not None:
        ways["all other nodes"] = found.default
    problems = [
        (f"fencing of {name}", why) for name, way in ways.items() if (why := _wrong(way, found.ipmitool))
    ]
    for what, why in problems:
        yield what, False, why
    if not problems:
        yield "fencing", True, f"{file} says how to switch off: {', '.join(ways) or 'none'}"


def _wrong(way: Way, ipmitool: str) -> str:
    """Why this machine cannot do it; "" where nothing is known that keeps it from it."""
    match way:
        case Ipmi():
            if not os.access(ipmitool, os.X_OK):
                return f"{ipmitool} is not installed (Debian package ipmitool)"
            try:
                check_private(Path(way.password_file))
            except ConfigurationError as e:
                return str(e)
        case Command() if not os.access(way.command[0], os.X_OK):
            return f"{way.command[0]} is no program that can be run"
    return ""
