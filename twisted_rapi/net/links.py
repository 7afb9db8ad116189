"""The kernel's side of a node's virtual networks; each method asks it and waits, and belongs in a thread."""

import contextlib
import errno
import itertools
import socket
from collections.abc import Iterable
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_interface
from math import inf

from twisted_rapi.errors import AddressError
from twisted_rapi.net import link_messages, rtnetlink
from twisted_rapi.net.kernel import Kernel, MakeSocket
from twisted_rapi.net.link_messages import Shown
from twisted_rapi.net.packets import announcements, retirement
from twisted_rapi.net.rtnetlink import Assigned
from twisted_rapi.net.topology import OURS, Interface


class Links:
    """
    Interfaces, flood lists and addresses of one namespace.

    All methods raise `AddressError` where the kernel refuses.

    :param make: makes sockets.
    """

    def __init__(self, make: MakeSocket = socket.socket) -> None:
        self._make = make
        self._kernel = Kernel(make)
        self._sequence = itertools.count(1)

    def shown(self) -> dict[str, Shown]:
        """All interfaces, by name."""
        sequence = next(self._sequence)
        told = self._kernel.ask(sequence, rtnetlink.list_links(sequence))
        found = (link_messages.shown_of(each) for each in told)
        return {each.name: each for each in found if each is not None}

    def floods(self, shown: dict[str, Shown]) -> dict[str, frozenset[str]]:
        """Whom VXLANs flood to, by their names."""
        names = {each.index: each.name for each in shown.values() if each.kind == "vxlan"}
        sequence = next(self._sequence)
        found: dict[str, set[str]] = {}
        for told in self._kernel.ask(sequence, link_messages.list_floods(sequence)):
            flood = link_messages.flood_of(told)
            if flood is not None and flood[0] in names:
                found.setdefault(names[flood[0]], set()).add(flood[1])
        return {name: frozenset(peers) for name, peers in found.items()}

    def addresses(self, shown: dict[str, Shown]) -> dict[str, frozenset[str]]:
        """Addresses with prefixes of our bridges; those that the kernel gives by itself are left out."""
        names = {e.index: e.name for e in shown.values() if e.kind == "bridge" and e.alias == OURS}
        found: dict[str, set[str]] = {}
        for at in self._kernel.addresses():
            if at.index in names and not at.address.is_link_local:
                found.setdefault(names[at.index], set()).add(f"{at.address}/{at.prefix}")
        return {name: frozenset(those) for name, those in found.items()}

    def held(self, shown: dict[str, Shown]) -> float:
        """For how many seconds more our bridges have the addresses they were given; 0: they have none."""
        ours = {each.index for each in shown.values() if each.kind == "bridge" and each.alias == OURS}
        left = [at.left for at in self._kernel.addresses() if at.index in ours]
        return max((each for each in left if each != inf), default=0.0)

    def device_of(self, address: str, shown: dict[str, Shown]) -> Shown:
        """The interface that has one of the node's addresses."""
        places = self._kernel.find(ip_address(address))
        for each in shown.values():
            if any(at.index == each.index for at in places):
                return each
        raise AddressError(f"no interface has the address {address}")

    def create(self, name: str, wanted: Interface, local: str) -> None:
        """
        Make an interface, off and connected to nothing.

        :param local: this node's address: bridges of one name have another MAC address on each node.
        """
        sequence = next(self._sequence)
        if wanted.kind == "vxlan":
            request = link_messages.make_vxlan(sequence, name, wanted.number, ip_address(wanted.local))
        elif wanted.kind == "vlan":
            below = self._index(wanted.below)
            request = link_messages.make_vlan(sequence, name, wanted.number, below)
        else:
            request = link_messages.make_bridge(sequence, name, _mac_of(name, local))
        self._done(sequence, request)
        sequence = next(self._sequence)
        self._done(sequence, link_messages.set_alias(sequence, self._index(name), OURS))

    def adjust(self, name: str, wanted: Interface) -> None:
        """Connect an interface, give it its MTU, switch it on."""
        bridge = self._index(wanted.bridge) if wanted.bridge else 0
        sequence = next(self._sequence)
        self._done(sequence, link_messages.set_link(sequence, self._index(name), bridge, wanted.mtu))

    def delete(self, name: str) -> None:
        """Remove an interface."""
        sequence = next(self._sequence)
        self._done(sequence, link_messages.delete_link(sequence, self._index(name)))

    def flood(self, name: str, peer: str, there: bool) -> None:
        """Flood to a peer, too, or no longer."""
        sequence, index = next(self._sequence), self._index(name)
        self._done(sequence, link_messages.flood(sequence, index, ip_address(peer), there))

    def put(self, name: str, address: str, seconds: int) -> None:
        """Give an interface an address with a prefix for so many seconds from now on."""
        sequence = next(self._sequence)
        self._done(sequence, rtnetlink.put(sequence, self._place(name, address), seconds, chosen=True))

    def take(self, name: str, address: str) -> None:
        """Take a gateway's address from an interface; it may be gone."""
        sequence = next(self._sequence)
        try:
            self._done(sequence, rtnetlink.remove(sequence, self._place(name, address)))
        except AddressError as e:
            cause = e.__cause__
            if not isinstance(cause, OSError) or cause.errno != errno.EADDRNOTAVAIL:
                raise
        if ip_interface(address).version == 6:
            self._retire(name)

    def announce(self, name: str, address: str) -> None:
        """Have everybody on the interface send to us what is for the address."""
        self._send(name, announcements(self._found(name).mac, ip_interface(address).ip))

    def _retire(self, name: str) -> None:
        """Have nobody on the interface take this host for a router of IPv6 any more."""
        found = self._found(name)
        local = [
            at.address
            for at in self._kernel.addresses()
            if at.index == found.index and isinstance(at.address, IPv6Address) and at.address.is_link_local
        ]
        self._send(name, (retirement(found.mac, address) for address in local))

    def _send(self, name: str, frames: Iterable[bytes]) -> None:
        with contextlib.closing(self._make(socket.AF_PACKET, socket.SOCK_RAW, 0)) as made:
            for frame in frames:
                made.sendto(frame, (name, int.from_bytes(frame[12:14], "big")))

    def _place(self, name: str, address: str) -> Assigned:
        found = ip_interface(address)
        return Assigned(self._index(name), found.ip, found.network.prefixlen)

    def _index(self, name: str) -> int:
        return self._found(name).index

    def _found(self, name: str) -> Shown:
        sequence = next(self._sequence)
        for told in self._kernel.ask(sequence, rtnetlink.find_link(sequence, name)):
            shown = link_messages.shown_of(told)
            if shown is not None and shown.name == name:
                return shown
        raise AddressError(f"there is no interface {name}")

    def _done(self, sequence: int, request: bytes) -> None:
        list(self._kernel.ask(sequence, request))


def _mac_of(name: str, local: str) -> bytes:
    """A locally administered address; the kernel's own would change with what is connected."""
    return b"\x0e" + sha256(f"{local}/{name}".encode()).digest()[:5]


def as_interface(shown: Shown, every: dict[str, Shown]) -> Interface:
    """An interface with the names of those that the kernel knows by their indexes."""
    names = {each.index: each.name for each in every.values()}
    kind = shown.kind
    return Interface(
        kind=kind if kind in ("bridge", "vxlan", "vlan") else "",  # type: ignore[arg-type]
        number=shown.number,
        below=names.get(shown.below, "") if kind == "vlan" else "",
        local=shown.local,
        bridge=names.get(shown.bridge, ""),
        mtu=shown.mtu,
        up=shown.up,
        alias=shown.alias,
    )
