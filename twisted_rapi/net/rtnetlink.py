"""
What is said to the kernel about addresses and interfaces, and what it answers: rtnetlink(7).  Pure.

Integers are in the machine's own order, addresses in the network's.
"""

import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address
from math import inf

import attrs

from twisted_rapi.net.packets import Address

ERROR, DONE = 2, 3
NEW_LINK, GET_LINK = 16, 18
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
GROUPS = 0x1 | 0x10 | 0x100
"""Changes of interfaces, of IPv4 addresses and of IPv6 addresses."""

_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_LIFETIMES = struct.Struct("=IIII")
REQUEST, ACKNOWLEDGE, DUMP, _REPLACE, CREATE = 0x1, 0x4, 0x300, 0x100, 0x400
_INET, _INET6 = 2, 10
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LIFETIMES, _IFA_FLAGS = 1, 2, 6, 8
_NO_DETECTION, _FOREVER = 0x2, 0xFFFFFFFF
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_OPERATIONAL = 1, 3, 16
_UP, _LOOPBACK, _NO_ARP = 0x1, 0x8, 0x80
_WORKS = (0, 6)  # operational states "unknown", which drivers without carrier detection say, and "up"


@attrs.frozen
class Message:
    """One message; `body` is what follows its header."""

    kind: int
    sequence: int
    body: bytes


@attrs.frozen
class Assigned:
    """
    An address that an interface of this host has.

    :ivar left: seconds after which the kernel removes it; infinite: it does not.
    """

    index: int
    address: Address
    prefix: int
    left: float = attrs.field(default=inf, eq=False)


@attrs.frozen
class Link:
    """
    An interface.

    :ivar up: it is switched on and what it is connected to is, too.
    :ivar speaks: others on it are found by ARP or neighbour discovery.
    """

    index: int
    name: str
    mac: bytes
    up: bool
    speaks: bool


def put(sequence: int, at: Assigned, seconds: int, chosen: bool = False) -> bytes:
    """
    Give an interface an address for so many seconds, or for so many more.

    The kernel does not look for duplicates itself.

    :param chosen: whether IPv6 may choose it for connections from here.
    """
    flags = _NO_DETECTION if at.address.version == 6 else 0
    preferred = 0 if at.address.version == 6 and not chosen else seconds
    attributes = _place(at) + attribute(_IFA_LIFETIMES, _LIFETIMES.pack(preferred, seconds, 0, 0))
    attributes += attribute(_IFA_FLAGS, struct.pack("=I", flags))
    body = _ADDRESS.pack(_family(at.address), at.prefix, flags, 0, at.index) + attributes
    return message(NEW_ADDRESS, REQUEST | ACKNOWLEDGE | CREATE | _REPLACE, sequence, body)


def remove(sequence: int, at: Assigned) -> bytes:
    """Take an address from an interface."""
    body = _ADDRESS.pack(_family(at.address), at.prefix, 0, 0, at.index) + _place(at)
    return message(DELETE_ADDRESS, REQUEST | ACKNOWLEDGE, sequence, body)


def list_addresses(sequence: int) -> bytes:
    """Ask for all addresses of this host."""
    return message(GET_ADDRESS, REQUEST | DUMP, sequence, _ADDRESS.pack(0, 0, 0, 0, 0))


def list_links(sequence: int) -> bytes:
    """Ask for all interfaces of this host."""
    return message(GET_LINK, REQUEST | DUMP, sequence, _LINK.pack(0, 0, 0, 0, 0))


def find_link(sequence: int, name: str) -> bytes:
    """Ask for the interface of this name."""
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_NAME, name.encode() + b"\0")
    return message(GET_LINK, REQUEST | ACKNOWLEDGE, sequence, body)


def messages(data: bytes) -> Iterator[Message]:
    """What one read from the kernel holds; ends at what is malformed."""
    while len(data) >= _HEADER.size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        yield Message(kind, sequence, data[_HEADER.size : length])
        data = data[_padded(length) :]


def error_of(message: Message) -> int:
    """The error number that an `ERROR` message has; 0 acknowledges."""
    return -int.from_bytes(message.body[:4], sys.byteorder, signed=True)


def assigned_of(message: Message) -> Assigned | None:
    """The address that a `NEW_ADDRESS` message tells of; ``None`` where it is of another family."""
    if len(message.body) < _ADDRESS.size:
        return None
    family, prefix, _, _, index = _ADDRESS.unpack_from(message.body)
    found = dict(attributes(message.body[_ADDRESS.size :]))
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS) or b""
    if len(packed) != {_INET: 4, _INET6: 16}.get(family):
        return None
    return Assigned(index, ip_address(packed), prefix, _left(found.get(_IFA_LIFETIMES, b"")))


def _left(lifetimes: bytes) -> float:
    if len(lifetimes) != _LIFETIMES.size:
        return inf
    _, valid, _, _ = _LIFETIMES.unpack(lifetimes)
    return inf if valid == _FOREVER else float(valid)


def link_of(message: Message) -> Link | None:
    """The interface that a `NEW_LINK` message tells of."""
    if len(message.body) < _LINK.size:
        return None
    _, _, index, flags, _ = _LINK.unpack_from(message.body)
    found = dict(attributes(message.body[_LINK.size :]))
    name = found.get(_IFLA_NAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    mac = found.get(_IFLA_ADDRESS, b"")
    works = (found.get(_IFLA_OPERATIONAL) or b"\0")[0] in _WORKS
    speaks = len(mac) == 6 and not flags & (_LOOPBACK | _NO_ARP)
    return Link(index, name, mac, bool(flags & _UP) and works, speaks)


def _family(address: Address) -> int:
    return _INET if isinstance(address, IPv4Address) else _INET6


def _place(at: Assigned) -> bytes:
    return attribute(_IFA_LOCAL, at.address.packed) + attribute(_IFA_ADDRESS, at.address.packed)


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A whole message to the kernel."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of a message."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_padded(length) - length)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in a part of a message; ends at what is malformed."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[_padded(length) :]


def _padded(length: int) -> int:
    return (length + 3) & ~3
