"""What the kernel tells by itself: changes of addresses, and frames that speak of one."""

import contextlib
import ctypes
import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.errors import AddressError
from twisted_rapi.net import rtnetlink
from twisted_rapi.net.kernel import MakeSocket
from twisted_rapi.net.packets import ETH_ARP, ETH_IPV6, Address
from twisted_rapi.net.rtnetlink import Link

_SIZE = 1 << 16
_AT_ONCE = 64  # reads, until others have their turn
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_GROUPS = 263, 1, 2

# Of all IPv6 packets only neighbour solicitations and advertisements: code, jump if so, if not, value.
_NEIGHBOURS_ONLY = (
    (0x30, 0, 0, 20),  # the next header
    (0x15, 0, 4, 58),
    (0x30, 0, 0, 54),  # the type of the ICMPv6 message
    (0x15, 1, 0, 135),
    (0x15, 0, 1, 136),
    (0x06, 0, 0, _SIZE),
    (0x06, 0, 0, 0),
)


@implementer(IReadDescriptor)
class Reading:
    """
    A socket whose packets are told as they come, until `close`.

    :param told: called with each; with an empty one when some were lost or the socket has failed.
    """

    _log = Logger()

    def __init__(self, reactor: Any, made: socket.socket, told: Callable[[bytes], None]) -> None:
        self._reactor, self._socket, self._told = reactor, made, told
        made.setblocking(False)
        reactor.addReader(self)

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "address"

    def doRead(self) -> None:
        """See `IReadDescriptor`."""
        for _ in range(_AT_ONCE):
            if self._socket.fileno() < 0:
                return
            try:
                packet = self._socket.recv(_SIZE)
            except BlockingIOError:
                return
            except OSError as e:
                # Some were lost (ENOBUFS), or the interface went down (ENETDOWN): the socket goes on.
                self._log.info("packets may have been missed: {reason}", reason=str(e))
                self._told(b"")
                return
            self._told(packet)

    def connectionLost(self, reason: Any) -> None:
        """See `IReadDescriptor`."""
        self.close()

    def send(self, frame: bytes) -> None:
        """
        Send a frame.

        :raises AddressError: that failed.
        """
        try:
            self._socket.send(frame)
        except OSError as e:
            raise AddressError(f"nothing can be sent: {e.strerror or e}") from e

    def close(self) -> None:
        """Tell nothing more."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()


def watch_addresses(reactor: Any, make: MakeSocket, told: Callable[[bytes], None]) -> Reading:
    """
    Tell each change of addresses and interfaces.

    :raises AddressError: the kernel refused.
    """
    return _opened(
        lambda: make(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE),
        lambda made: made.bind((0, rtnetlink.GROUPS)),
        lambda made: Reading(reactor, made, told),
    )


def open_link(
    reactor: Any, make: MakeSocket, link: Link, address: Address, told: Callable[[bytes], None]
) -> Reading:
    """
    Send frames on an interface, and be told those that may speak of the address.

    :raises AddressError: the kernel refused; CAP_NET_RAW is needed.
    """
    kind = ETH_ARP if address.version == 4 else ETH_IPV6

    def prepare(made: socket.socket) -> None:
        if kind == ETH_IPV6:
            _attach(made)
        made.bind((link.name, kind))
        if kind == ETH_IPV6:
            # Solicitations of others go to a group that only who has the address is in.
            request = struct.pack("=iHH8s", link.index, _ALL_GROUPS, 0, b"")
            made.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)

    return _opened(
        # Nothing is heard until it is bound, so that nothing gets past the filter.
        lambda: make(socket.AF_PACKET, socket.SOCK_RAW, 0),
        prepare,
        lambda made: Reading(reactor, made, told),
    )


def _opened(
    make: Callable[[], socket.socket],
    prepare: Callable[[socket.socket], None],
    finish: Callable[[socket.socket], Reading],
) -> Reading:
    with contextlib.ExitStack() as undo:
        try:
            made = undo.enter_context(make())
            prepare(made)
        except OSError as e:
            raise AddressError(f"the kernel refused: {e.strerror or e}") from e
        reading = finish(made)
        undo.pop_all()
    return reading


def _attach(made: socket.socket) -> None:
    program = b"".join(struct.pack("=HBBI", *row) for row in _NEIGHBOURS_ONLY)
    kept = ctypes.create_string_buffer(program, len(program))
    made.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        struct.pack("@HP", len(_NEIGHBOURS_ONLY), ctypes.addressof(kept)),
    )
