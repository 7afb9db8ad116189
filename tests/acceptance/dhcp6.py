"""A client of DHCPv6 (RFC 8415) for tests: what it says, what it is told, and asking; one address."""

import os
import socket
import struct
from collections.abc import Mapping
from ipaddress import IPv6Address

import attrs

SOLICIT, ADVERTISE, REQUEST, RENEW, REPLY = 1, 2, 3, 5, 7
CLIENT, SERVER, ASSOCIATION, ADDRESS, ASKED, ELAPSED, NAME = 1, 2, 3, 5, 6, 8, 39
SERVERS, CLIENT_PORT, SERVER_PORT = "ff02::1:2", 546, 547
_NAME_SERVERS = 23


def option(kind: int, value: bytes) -> bytes:
    """An option of a message."""
    return struct.pack("!HH", kind, len(value)) + value


def options(raw: bytes) -> dict[int, bytes]:
    """The options that follow each other; of each kind the last."""
    found = {}
    while len(raw) >= 4:
        kind, size = struct.unpack_from("!HH", raw)
        found[kind], raw = raw[4 : 4 + size], raw[4 + size :]
    return found


@attrs.frozen
class Lease:
    """What a server gave: its DUID, and the address."""

    server: bytes
    address: str


def lease_in(found: Mapping[int, bytes]) -> Lease | None:
    """What a server's answer gives; ``None``: no address that is valid for any time."""
    given = options(found.get(ASSOCIATION, b"")[12:]).get(ADDRESS, b"")
    if len(given) < 24 or not struct.unpack_from("!I", given, 20)[0]:
        return None
    return Lease(found[SERVER], str(IPv6Address(given[:16])))


@attrs.define
class Client:
    """
    One that asks at the interface ``eth0`` of the thread's network namespace.

    :ivar mac: the interface's.
    """

    mac: str
    name: str
    patience: float = 1.0
    _socket: socket.socket | None = None

    def obtain(self) -> Lease | None:
        """Ask whoever is there for an address; ``None``: nobody gave one in time."""
        offered = self._ask(SOLICIT, ADVERTISE, None)
        return None if offered is None else self._ask(REQUEST, REPLY, offered)

    def renew(self, lease: Lease) -> Lease | None:
        """Ask who gave it to give it again; only a server that knows of it does."""
        return self._ask(RENEW, REPLY, lease)

    def _ask(self, kind: int, answer: int, lease: Lease | None) -> Lease | None:
        number = os.urandom(3)
        opened = self._opened()
        scope = socket.if_nametoindex("eth0")
        opened.sendto(bytes([kind]) + number + self._told(lease), (SERVERS, SERVER_PORT, 0, scope))
        try:
            while True:
                said = opened.recv(2000)
                found = options(said[4:])
                mine = said[1:4] == number and found.get(CLIENT) == self._duid
                if mine and said[0] == answer:
                    return lease_in(found)
        except TimeoutError:
            return None

    def _opened(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self._socket.bind(("::", CLIENT_PORT))
            self._socket.settimeout(self.patience)
        return self._socket

    @property
    def _duid(self) -> bytes:
        return b"\0\3\0\1" + bytes.fromhex(self.mac.replace(":", ""))

    def _told(self, lease: Lease | None) -> bytes:
        wanted = b"" if lease is None else _address(lease.address)
        name = b"\0" + bytes([len(self.name)]) + self.name.encode()
        told = option(CLIENT, self._duid) + option(ASSOCIATION, b"\0\0\0\1" + bytes(8) + wanted)
        told += option(ELAPSED, b"\0\0") + option(NAME, name)
        told += option(ASKED, struct.pack("!H", _NAME_SERVERS))
        return told if lease is None else told + option(SERVER, lease.server)


def _address(text: str) -> bytes:
    return option(ADDRESS, IPv6Address(text).packed + bytes(8))
