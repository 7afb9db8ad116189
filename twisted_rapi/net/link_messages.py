"""
What is said to the kernel about bridges, VLANs, VXLANs and whom those flood to, and what it answers.  Pure.

See rtnetlink(7), and the kernel's ``if_link.h`` and ``neighbour.h`` for the numbers.
"""

import struct
import sys
from ipaddress import ip_address

import attrs

from twisted_rapi.net.packets import Address
from twisted_rapi.net.rtnetlink import (
    ACKNOWLEDGE,
    CREATE,
    DUMP,
    NEW_LINK,
    REQUEST,
    Message,
    attribute,
    attributes,
    message,
)

DELETE_LINK, SET_LINK = 17, 19
NEW_NEIGHBOUR, DELETE_NEIGHBOUR, GET_NEIGHBOUR = 28, 29, 30
VXLAN_PORT = 4789  # RFC 7348

_LINK = struct.Struct("=BxHiII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_EXCLUSIVE, _APPEND = 0x200, 0x800
_BRIDGE_FAMILY = 7
_UP = 0x1
_ADDRESS, _NAME, _MTU, _BELOW, _MASTER, _INFO, _ALIAS = 1, 3, 4, 5, 10, 18, 20
_INFO_KIND, _INFO_DATA = 1, 2
_VLAN_ID = 1
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT, _VXLAN_LOCAL6 = 1, 4, 7, 15, 17
_DESTINATION, _MAC = 1, 2
_PERMANENT, _NO_ARP, _SELF = 0x80, 0x40, 0x02
_EVERYBODY = bytes(6)


@attrs.frozen(kw_only=True)
class Shown:
    """
    An interface as the kernel shows it.

    :ivar number: of a VLAN or VXLAN; `local`: of a VXLAN.
    :ivar below: index of the interface it is on; `bridge`: of the bridge it is connected to; 0: none.
    """

    index: int
    name: str
    kind: str = ""
    number: int = 0
    local: str = ""
    below: int = 0
    bridge: int = 0
    mtu: int = 0
    up: bool = False
    alias: str = ""
    mac: bytes = b""


def make_bridge(sequence: int, name: str, mac: bytes) -> bytes:
    """Make a bridge; it keeps the MAC address whatever is connected to it."""
    return _make(sequence, name, "bridge", more=attribute(_ADDRESS, mac))


def make_vlan(sequence: int, name: str, number: int, below: int) -> bytes:
    """Make a VLAN on the interface with the index `below`."""
    data = attribute(_VLAN_ID, struct.pack("=H", number))
    return _make(sequence, name, "vlan", data, attribute(_BELOW, struct.pack("=I", below)))


def make_vxlan(sequence: int, name: str, number: int, local: Address) -> bytes:
    """Make a VXLAN that sends from the address `local`; it learns who is where from what comes."""
    kind = _VXLAN_LOCAL if local.version == 4 else _VXLAN_LOCAL6
    data = (
        attribute(_VXLAN_ID, struct.pack("=I", number))
        + attribute(kind, local.packed)
        + attribute(_VXLAN_LEARNING, b"\1")
        + attribute(_VXLAN_PORT, struct.pack("!H", VXLAN_PORT))
    )
    return _make(sequence, name, "vxlan", data)


def _make(sequence: int, name: str, kind: str, data: bytes = b"", more: bytes = b"") -> bytes:
    info = attribute(_INFO_KIND, kind.encode()) + (attribute(_INFO_DATA, data) if data else b"")
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_NAME, name.encode() + b"\0") + more
    flags = REQUEST | ACKNOWLEDGE | CREATE | _EXCLUSIVE
    return message(NEW_LINK, flags, sequence, body + attribute(_INFO, info))


def set_alias(sequence: int, index: int, alias: str) -> bytes:
    """Say of an interface whose it is."""
    body = _LINK.pack(0, 0, index, 0, 0) + attribute(_ALIAS, alias.encode())
    return message(SET_LINK, REQUEST | ACKNOWLEDGE, sequence, body)


def set_link(sequence: int, index: int, bridge: int, mtu: int) -> bytes:
    """Connect an interface to a bridge (0: to none), give it its MTU and switch it on."""
    body = _LINK.pack(0, 0, index, _UP, _UP)
    body += attribute(_MASTER, struct.pack("=I", bridge)) + attribute(_MTU, struct.pack("=I", mtu))
    return message(SET_LINK, REQUEST | ACKNOWLEDGE, sequence, body)


def delete_link(sequence: int, index: int) -> bytes:
    """Remove an interface."""
    return message(DELETE_LINK, REQUEST | ACKNOWLEDGE, sequence, _LINK.pack(0, 0, index, 0, 0))


def flood(sequence: int, index: int, peer: Address, there: bool) -> bytes:
    """Have a VXLAN send what is to nobody in particular to a peer, too, or no longer."""
    body = _NEIGHBOUR.pack(_BRIDGE_FAMILY, index, _PERMANENT | _NO_ARP, _SELF, 0)
    body += attribute(_MAC, _EVERYBODY) + attribute(_DESTINATION, peer.packed)
    kind, flags = (NEW_NEIGHBOUR, CREATE | _APPEND) if there else (DELETE_NEIGHBOUR, 0)
    return message(kind, REQUEST | ACKNOWLEDGE | flags, sequence, body)


def list_floods(sequence: int) -> bytes:
    """Ask for what all bridges and VXLANs know of who is where."""
    body = _NEIGHBOUR.pack(_BRIDGE_FAMILY, 0, 0, 0, 0)
    return message(GET_NEIGHBOUR, REQUEST | DUMP, sequence, body)


def shown_of(told: Message) -> Shown | None:
    """The interface that a `NEW_LINK` message tells of."""
    if told.kind != NEW_LINK or len(told.body) < _LINK.size:
        return None
    _, _, index, flags, _ = _LINK.unpack_from(told.body)
    found = dict(attributes(told.body[_LINK.size :]))
    info = dict(attributes(found.get(_INFO, b"")))
    data = dict(attributes(info.get(_INFO_DATA, b"")))
    kind = _word(info.get(_INFO_KIND, b""))
    number = _number(data.get({"vlan": _VLAN_ID, "vxlan": _VXLAN_ID}.get(kind, -1), b""))
    local = data.get(_VXLAN_LOCAL) or data.get(_VXLAN_LOCAL6) or b""
    return Shown(
        index=index,
        name=_word(found.get(_NAME, b"")),
        kind=kind,
        number=number,
        local=str(ip_address(local)) if kind == "vxlan" and len(local) in (4, 16) else "",
        below=_number(found.get(_BELOW, b"")),
        bridge=_number(found.get(_MASTER, b"")),
        mtu=_number(found.get(_MTU, b"")),
        up=bool(flags & _UP),
        alias=_word(found.get(_ALIAS, b"")),
        mac=found.get(_ADDRESS, b""),
    )


def flood_of(told: Message) -> tuple[int, str] | None:
    """The VXLAN's index and the peer that a message tells of; ``None`` where it tells of something else."""
    if told.kind != NEW_NEIGHBOUR or len(told.body) < _NEIGHBOUR.size:
        return None
    family, index, _, _, _ = _NEIGHBOUR.unpack_from(told.body)
    found = dict(attributes(told.body[_NEIGHBOUR.size :]))
    peer = found.get(_DESTINATION, b"")
    if family != _BRIDGE_FAMILY or found.get(_MAC) != _EVERYBODY or len(peer) not in (4, 16):
        return None
    return index, str(ip_address(peer))


def _word(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, sys.byteorder) if len(raw) in (2, 4) else 0
