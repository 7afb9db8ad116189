"""Opcodes about networks; parameters as in opcodes.json ("newest")."""

from msgspec import field

from twisted_rapi.model.opcodes.base import IPv4, IPv4Net, IPv6, IPv6Net, NonEmpty, Opcode
from twisted_rapi.model.opcodes.words import NicMode


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
