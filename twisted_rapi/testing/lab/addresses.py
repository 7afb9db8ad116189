"""Which namespaces have an address, asked of the kernel (rtnetlink), and woken when one comes or goes."""

import select
import socket
import struct
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from twisted_rapi.testing.lab.commands import within

# Of linux/rtnetlink.h and linux/netlink.h.
_NEW, _GET, _DONE, _ERROR = 20, 22, 3, 2  # RTM_NEWADDR, RTM_GETADDR, NLMSG_DONE, NLMSG_ERROR
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_PATIENCE = 5.0  # seconds


def _socket(groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    made.bind((0, groups))
    made.settimeout(_PATIENCE)
    return made


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and the content of each message of a datagram."""
    while len(data) >= _HEADER.size:
        size, kind, _, _, _ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : size]
        data = data[(size + 3) & ~3 :]


def address_of(content: bytes) -> str:
    """The address that a message about one is about."""
    rest, found = content[_ADDRESS.size :], {}
    while len(rest) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(rest)
        found[kind] = rest[_ATTRIBUTE.size : size]
        rest = rest[(size + 3) & ~3 :]
    return str(ip_address(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]))


class Addresses:
    """
    The addresses of several namespaces.

    :param namespaces: by the names they are known by.
    """

    def __init__(self, namespaces: Mapping[str, str]) -> None:
        made = {
            name: within(space, lambda: (_socket(0), _socket(_GROUPS))) for name, space in namespaces.items()
        }
        self._asked = {name: asked for name, (asked, _) in made.items()}
        self._told = [told for _, told in made.values()]

    def _has(self, name: str, address: str) -> bool:
        asked = self._asked[name]
        asked.send(
            _HEADER.pack(_HEADER.size + _ADDRESS.size, _GET, _DUMP, 0, 0) + _ADDRESS.pack(0, 0, 0, 0, 0)
        )
        found = False
        while True:
            for kind, content in messages(asked.recv(65536)):
                if kind in (_DONE, _ERROR):
                    return found
                found = found or (kind == _NEW and address_of(content) == address)

    def holders(self, address: str) -> tuple[str, ...]:
        """
        Those that have it: where several are named all of them had it at one moment.

        Who has it before and after the others were looked at had it all the while, if it does not come and
        go within a millisecond.
        """
        first = [name for name in self._asked if self._has(name, address)]
        return tuple(name for name in first if len(first) == 1 or self._has(name, address))

    def await_change(self, seconds: float) -> None:
        """Wait until some address comes or goes somewhere, for so long at most."""
        ready, _, _ = select.select(self._told, [], [], seconds)
        for told in ready:
            told.recv(65536)

    def close(self) -> None:
        """Ask no longer."""
        for each in (*self._asked.values(), *self._told):
            each.close()
