"""The addresses of a network: which are kept back, which instances have, which are free."""

from collections.abc import Container, Iterable
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

import attrs
from msgspec.structs import replace

from twisted_rapi.model.records import NetworkRecord

SHORTEST_PREFIX, LONGEST_PREFIX = 16, 30  # larger networks make unreadable maps, smaller ones have no room


class AddressRefused(ValueError):
    """An address cannot be reserved, or given back; the text says why."""


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def check_network(record: NetworkRecord) -> None:
    """
    Whether the addresses of a network fit together.

    :raises AddressRefused: its size cannot be meant, or a gateway is not inside.
    """
    subnet = IPv4Network(record.network)
    if subnet.prefixlen > LONGEST_PREFIX:
        raise AddressRefused(
            f"A network of {subnet.num_addresses} address(es) is too small, it takes a /{LONGEST_PREFIX}"
        )
    if subnet.prefixlen < SHORTEST_PREFIX:
        raise AddressRefused(
            f"A network of {subnet.num_addresses} addresses is too large, at most a /{SHORTEST_PREFIX} can be"
        )
    if record.gateway is not None:
        contained(record.network, record.gateway)
    if record.gateway6 is not None:
        if record.network6 is None:
            raise AddressRefused(f"There is no IPv6 network for gateway {record.gateway6}")
        contained(record.network6, record.gateway6)


def contained(network: str, address: str) -> None:
    """
    Whether a network, in CIDR form, has an address (text as observed).

    :raises AddressRefused: it has not.
    """
    kind = IPv6Network if ":" in network else IPv4Network
    if ip_address(address) not in kind(network):
        raise AddressRefused(f"{network} does not contain {address}")


@attrs.frozen
class AddressPool:
    """
    The IPv4 addresses of a network.

    :ivar network: the network.
    :ivar used: addresses that instances have.
    """

    network: NetworkRecord
    used: frozenset[str] = frozenset()

    @cached_property
    def _first(self) -> int:
        return int(self._subnet.network_address)

    @cached_property
    def _subnet(self) -> IPv4Network:
        return IPv4Network(self.network.network)

    def _offsets(self, addresses: Iterable[str]) -> set[int]:
        found = {int(IPv4Address(a)) - self._first for a in addresses if ":" not in a}
        return {n for n in found if 0 <= n < self.size}

    @cached_property
    def _kept(self) -> set[int]:
        gateway = () if self.network.gateway is None else (self.network.gateway,)
        return {0, self.size - 1} | self._offsets((*self.network.reserved, *gateway))

    @cached_property
    def _taken(self) -> set[int]:
        return self._kept | self._offsets(self.used)

    def _address(self, offset: int) -> str:
        return str(IPv4Address(self._first + offset))

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return self._subnet.num_addresses

    @property
    def kept(self) -> tuple[str, ...]:
        """Addresses no instance gets: first, last, gateway, and what an operator has reserved; in order."""
        return tuple(map(self._address, sorted(self._kept)))

    @property
    def reserved_count(self) -> int:
        """How many addresses are kept back or in use."""
        return len(self._taken)

    @property
    def free_count(self) -> int:
        """How many addresses are free."""
        return self.size - len(self._taken)

    @property
    def map(self) -> str:
        """A letter for each address: ``X`` for one that is not free, else a dot."""
        marks = bytearray(b"." * self.size)
        for offset in self._taken:
            marks[offset] = ord("X")
        return marks.decode("ascii")

    def first_free(self, taken: Container[str] = ()) -> str | None:
        """The lowest free address that is not among `taken`; ``None`` when there is none."""
        for offset in range(self.size):
            if offset not in self._taken and (address := self._address(offset)) not in taken:
                return address
        return None

    def keeps(self, address: str) -> bool:
        """Whether an address is kept from instances."""
        return bool(self._offsets([address]) & self._kept)


def reserve(record: NetworkRecord, address: str) -> NetworkRecord:
    """
    The network with one more address kept from instances.

    :raises AddressRefused: it is not inside, or kept already (texts as observed).
    """
    contained(record.network, address)
    if AddressPool(record).keeps(address):
        raise AddressRefused(f"IP {address} is already externally reserved")
    return replace(record, reserved=tuple(sorted((*record.reserved, address), key=IPv4Address)))


def release(record: NetworkRecord, address: str) -> NetworkRecord:
    """
    The network with one address no longer kept from instances.

    :raises AddressRefused: it was not reserved by an operator.
    """
    contained(record.network, address)
    if address not in record.reserved:
        reason = "is always kept" if AddressPool(record).keeps(address) else "is not externally reserved"
        raise AddressRefused(f"IP {address} {reason}")
    return replace(record, reserved=tuple(a for a in record.reserved if a != address))
