"""
Addresses and interfaces of this host, by rtnetlink: each method asks the kernel and waits for its answer.

Note [Why not ip].  An address is given for two seconds at a time, again and again (see `floating`): a
request to the kernel takes microseconds, starting a program would take more than the rest of the daemon.
"""

import errno
import itertools
import os
import socket
from collections.abc import Callable, Iterator

from twisted_rapi.errors import AddressError, NoInterface
from twisted_rapi.net import rtnetlink
from twisted_rapi.net.packets import Address
from twisted_rapi.net.rtnetlink import Assigned, Link, Message

MakeSocket = Callable[[int, int, int], socket.socket]
"""Family, type and protocol: as `socket.socket`; a test makes them in a network namespace."""

PATIENCE = 5.0  # seconds
_SIZE = 1 << 18


class Kernel:
    """
    What the kernel does for one namespace.  All of it blocks and belongs in a thread.

    :param make: makes sockets.
    """

    def __init__(self, make: MakeSocket = socket.socket) -> None:
        self._make = make
        self._sequence = itertools.count(1)

    def link(self, name: str) -> Link:
        """
        The interface of this name, which is up.

        :raises NoInterface: there is none, or it is down.
        :raises AddressError: the kernel does not answer.
        """
        sequence = next(self._sequence)
        for message in self.ask(sequence, rtnetlink.list_links(sequence)):
            found = rtnetlink.link_of(message) if message.kind == rtnetlink.NEW_LINK else None
            if found is not None and found.name == name:
                if not found.up:
                    raise NoInterface(f"the interface {name} is down")
                return found
        raise NoInterface(f"there is no interface {name}")

    def find(self, address: Address) -> list[Assigned]:
        """
        Where on this host the address is.

        :raises AddressError: the kernel does not answer.
        """
        return [at for at in self.addresses() if at.address == address]

    def addresses(self) -> list[Assigned]:
        """
        All addresses of this host.

        :raises AddressError: the kernel does not answer.
        """
        sequence = next(self._sequence)
        told = self.ask(sequence, rtnetlink.list_addresses(sequence))
        found = (rtnetlink.assigned_of(m) for m in told if m.kind == rtnetlink.NEW_ADDRESS)
        return [at for at in found if at is not None]

    def put(self, at: Assigned, seconds: int) -> None:
        """
        Give an interface an address for so many seconds from now on.

        :raises AddressError: the kernel refused.
        """
        sequence = next(self._sequence)
        list(self.ask(sequence, rtnetlink.put(sequence, at, seconds)))

    def remove(self, address: Address) -> None:
        """
        Take the address from all interfaces of this host.

        :raises AddressError: the kernel refused.
        """
        for at in self.find(address):
            sequence = next(self._sequence)
            try:
                list(self.ask(sequence, rtnetlink.remove(sequence, at)))
            except AddressError as e:
                cause = e.__cause__
                # It may have ended by itself meanwhile.
                if not isinstance(cause, OSError) or cause.errno != errno.EADDRNOTAVAIL:
                    raise

    def ask(self, sequence: int, request: bytes) -> Iterator[Message]:
        """
        What the kernel answers to a request.

        :param sequence: the request's; answers to others are not heeded.
        :raises AddressError: the kernel refused, or does not answer.
        """
        try:
            with self._make(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
                s.settimeout(PATIENCE)
                s.sendto(request, (0, 0))
                yield from _answers(s, sequence)
        except OSError as e:
            raise AddressError(f"the kernel refused: {e.strerror or e}") from e


def _answers(s: socket.socket, sequence: int) -> Iterator[Message]:
    while True:
        for message in rtnetlink.messages(s.recv(_SIZE)):
            if message.sequence != sequence:
                continue
            if message.kind == rtnetlink.DONE:
                return
            if message.kind == rtnetlink.ERROR:
                number = rtnetlink.error_of(message)
                if number:
                    raise OSError(number, os.strerror(number))
                return
            yield message
