"""
How other nodes are switched off, as ``fencing.toml`` says.

The file and the files with passwords it names belong to the agent's user, and nobody else may read or write
them: what is in them has power over machines.
"""

import os
import re
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from twisted_rapi.config import read_toml
from twisted_rapi.errors import ConfigurationError

_KEY = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


class Ipmi(Struct, frozen=True, forbid_unknown_fields=True, tag_field="driver", tag="ipmi", kw_only=True):
    """
    A management board that is asked by ``ipmitool``.

    :ivar address: of the board; `port`: its UDP port.
    :ivar password_file: has the password in its first line; relative to the folder of the settings.
    :ivar privilege: the level that is asked for; one that may switch the machine.
    :ivar cipher_suite: of ``lanplus``; ``None``: as ipmitool finds it.
    """

    address: str
    user: str
    password_file: str
    port: int = 623
    interface: Literal["lanplus", "lan"] = "lanplus"
    privilege: Literal["OPERATOR", "ADMINISTRATOR"] = "OPERATOR"
    cipher_suite: int | None = None


class Command(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="driver", tag="command", kw_only=True
):
    """
    A program whose exit status 0 is proof that the machine is off.

    :ivar command: the program's path and its arguments; ``{name}`` and ``{uuid}`` in them are the node's.
    :ivar parameters: further variables of its environment: ``outlet`` is ``RAPI_FENCE_PARAM_OUTLET``.
    """

    command: tuple[str, ...]
    parameters: dict[str, str] = field(default_factory=dict)


class ByHand(Struct, frozen=True, forbid_unknown_fields=True, tag_field="driver", tag="hand"):
    """Somebody has to go there; whatever else could be done is not."""


Way = Ipmi | Command | ByHand


class FencingSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What ``fencing.toml`` says.

    :ivar ipmitool: where the program is.
    :ivar nodes: by name, how each node is switched off; `default`: how all others are.
    """

    ipmitool: str = "/usr/bin/ipmitool"
    nodes: dict[str, Way] = field(default_factory=dict)
    default: Command | ByHand | None = None


def check_private(path: Path) -> None:
    """
    See that nobody else can read or write a file; blocks.

    :raises ConfigurationError: somebody can, or it cannot be looked at.
    """
    try:
        found = path.stat()
    except OSError as e:
        raise ConfigurationError(f"{path}: {e.strerror}") from e
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o077:
        raise ConfigurationError(f"{path}: others than its owner have access to it: chmod 600, chown root")


def load(path: Path) -> FencingSettings:
    """
    What the file says, with all paths absolute; nothing when there is no file.  Blocks.

    :raises ConfigurationError: it cannot be read, others can read it, or it says what cannot be meant.
    """
    if not path.exists():
        return FencingSettings()
    check_private(path)
    found = read_toml(path, FencingSettings)
    folder = path.resolve().parent
    nodes = {name: _checked(way, f"{path}: nodes.{name}", folder) for name, way in found.nodes.items()}
    if found.default is not None:
        _checked(found.default, f"{path}: default", folder)
    return msgspec.structs.replace(found, nodes=nodes)


def _checked(way: Way, where: str, folder: Path) -> Way:
    match way:
        case Command():
            if not way.command or not way.command[0].startswith("/"):
                raise ConfigurationError(f"{where}: command: the absolute path of a program is needed")
            for key in way.parameters:
                if not _KEY.fullmatch(key):
                    raise ConfigurationError(f"{where}: parameters: {key!r} is not of a-z, 0-9 and _")
        case Ipmi():
            for key in ("address", "user", "password_file"):
                value = getattr(way, key)
                if not value or value.startswith("-"):
                    raise ConfigurationError(f"{where}: {key}: {value!r} cannot be meant")
            if not 0 < way.port < 65536:
                raise ConfigurationError(f"{where}: port: 1 to 65535")
            return msgspec.structs.replace(way, password_file=str(folder / way.password_file))
    return way
