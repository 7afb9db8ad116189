"""Opcodes about networks; parameters as in opcodes.json ("newest")."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from msgspec import field

from twisted_rapi.model.opcodes.base import (
    InvalidParameter,
    IPv4,
    IPv4Net,
    IPv6,
    IPv6Net,
    NonEmpty,
    Opcode,
)
from twisted_rapi.model.opcodes.words import NicMode

_KINDS: dict[str, Callable[[str], object]] = {
    "network": IPv4Network,
    "gateway": IPv4Address,
    "network6": IPv6Network,
    "gateway6": IPv6Address,
    "add_reserved_ips": IPv4Address,
    "remove_reserved_ips": IPv4Address,
}


def _check_addresses(op_id: str, values: dict[str, Any]) -> None:
    """
    All addresses are ones, and networks have no host bits set; what passes is in its one form.

    :raises InvalidParameter: one is not.
    """
    for name, kind in _KINDS.items():
        given = values.get(name)
        if given is None:
            continue
        try:
            several = isinstance(given, list)
            values[name] = [str(kind(v)) for v in given] if several else str(kind(given))
        except ValueError as e:
            raise InvalidParameter(op_id, name) from e


class NetworkAdd(Opcode, frozen=True, kw_only=True):
    """Define an IP network."""

    OP_ID = "OP_NETWORK_ADD"
    SUMMARY = "network_name"

    network_name: NonEmpty
    network: IPv4Net
    network6: IPv6Net | None = None
    gateway6: IPv6 | None = None
    mac_prefix: NonEmpty | None = None
    add_reserved_ips: list[IPv4] | None = None
    gateway: IPv4 | None = None
    conflicts_check: bool = True
    tags: list[NonEmpty] = field(default_factory=list)

    @classmethod
    def check(cls, values: dict[str, Any]) -> None:
        """Addresses are addresses, networks are networks."""
        _check_addresses(cls.OP_ID, values)


class NetworkRemove(Opcode, frozen=True, kw_only=True):
    """Delete an unconnected network."""

    OP_ID = "OP_NETWORK_REMOVE"
    SUMMARY = "network_name"

    network_name: NonEmpty
    force: bool = False


class NetworkRename(Opcode, frozen=True, kw_only=True):
    """Rename a network."""

    OP_ID = "OP_NETWORK_RENAME"

    network_name: NonEmpty
    new_name: NonEmpty


class NetworkSetParams(Opcode, frozen=True, kw_only=True):
    """Change a network."""

    OP_ID = "OP_NETWORK_SET_PARAMS"
    SUMMARY = "network_name"

    network_name: NonEmpty
    gateway: IPv4 | None = None
    network6: IPv6Net | None = None
    gateway6: IPv6 | None = None
    mac_prefix: NonEmpty | None = None
    add_reserved_ips: list[IPv4] | None = None
    remove_reserved_ips: list[IPv4] | None = None

    @classmethod
    def check(cls, values: dict[str, Any]) -> None:
        """Addresses are addresses, networks are networks."""
        _check_addresses(cls.OP_ID, values)


class NetworkConnect(Opcode, frozen=True, kw_only=True):
    """Connect a network to a node group with given NIC parameters."""

    OP_ID = "OP_NETWORK_CONNECT"
    SUMMARY = "network_name"

    group_name: NonEmpty
    network_name: NonEmpty
    network_mode: NicMode
    network_link: NonEmpty
    network_vlan: str = ""
    conflicts_check: bool = True


class NetworkDisconnect(Opcode, frozen=True, kw_only=True):
    """Undo a network/group connection."""

    OP_ID = "OP_NETWORK_DISCONNECT"
    SUMMARY = "network_name"

    group_name: NonEmpty
    network_name: NonEmpty
