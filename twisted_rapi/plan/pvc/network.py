"""
Virtual networks in PVC's terms (behaviour.md of PVC §4, §5 and §8); pure.

Texts that are not there are the word ``None``, flags the words ``True`` and ``False``, as clients know them.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import attrs

from twisted_rapi.model.network_rules import NetworkRefused
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, Direction, Kind, VirtualNetworkRecord
from twisted_rapi.plan.pvc.dialect import Dialect

_TEXTS = ("domain", "ip4_network", "ip4_gateway", "dhcp4_start", "dhcp4_end", "ip6_network", "ip6_gateway")
_OF_IP4 = {"ip4_gateway": "", "dhcp4": False, "dhcp4_start": "", "dhcp4_end": ""}
_LONGEST_NUMBER = 9  # digits; no number that is asked for here has more
KINDS: Mapping[str, Kind] = {"managed": "managed", "bridged": "bridged"}
DIRECTIONS: tuple[Direction, ...] = ("in", "out")


def find(networks: Iterable[VirtualNetworkRecord], text: str) -> VirtualNetworkRecord | None:
    """The network with this id (digits), or with exactly this description."""
    by_number = text.isascii() and text.isdigit()
    for network in networks:
        if text == (str(network.vni) if by_number else network.name):
            return network
    return None


def number(text: str, what: str) -> int:
    """
    A number that is not negative.

    :raises NetworkRefused: it is none.
    """
    plain = text.strip()
    if not (plain.isascii() and plain.isdigit() and len(plain) <= _LONGEST_NUMBER):
        raise NetworkRefused(f"{what} '{text}' is not a number that can be used")
    return int(plain)


# What is shown.


def info(network: VirtualNetworkRecord, dialect: Dialect) -> dict[str, Any]:
    """All about a network."""
    oldest, newest = dialect is Dialect.SEED, dialect is Dialect.V1_0
    return {
        "vni": str(network.vni) if oldest else network.vni,
        "description": network.name,
        "type": network.kind,
        **({"mtu": str(network.mtu or "")} if newest else {}),
        "domain": network.domain or "None",
        # Later forms have made a list of an empty text.
        **({} if oldest else {"name_servers": list(network.name_servers) or [""]}),
        "ip6": {
            "network": network.ip6_network or "None",
            "gateway": network.ip6_gateway or "None",
            "dhcp_flag": str(network.dhcp6),
        },
        "ip4": {
            "network": network.ip4_network or "None",
            "gateway": network.ip4_gateway or "None",
            "dhcp_flag": str(network.dhcp4),
            "dhcp_start": network.dhcp4_start or "None",
            "dhcp_end": network.dhcp4_end or "None",
        },
    }


@attrs.frozen
class Lease:
    """
    An IPv4 address that a NIC has; others are not shown.

    :ivar until: seconds since the epoch as a decimal text, or ``static``.
    """

    mac: str
    address: str
    hostname: str
    until: str

    @property
    def static(self) -> bool:
        """Whether it was made by somebody, and is not the DHCP server's."""
        return self.until == "static"

    def info(self) -> dict[str, str]:
        """All about it."""
        return {
            "hostname": self.hostname,
            "ip4_address": self.address,
            "mac_address": self.mac,
            "timestamp": self.until,
        }

    def called(self, text: str) -> bool:
        """Whether a text is its MAC address, host name or address."""
        return text != "" and text.lower() in (self.mac, self.hostname.lower(), self.address)


def leases(network: VirtualNetworkRecord, given: Iterable[DhcpLeaseRecord]) -> list[Lease]:
    """
    Static ones, and then those that were given.

    :param given: of all networks.
    """
    static = [
        Lease(lease.mac, lease.address, lease.hostname, "static")
        for lease in network.static_leases
        if ":" not in lease.address
    ]
    fixed = {lease.address for lease in static}
    mine = (e for e in given if e.network == network.uuid and ":" not in e.address)
    dynamic = (Lease(e.mac, e.address, e.hostname, str(int(e.expires))) for e in mine)
    return static + sorted((e for e in dynamic if e.address not in fixed), key=lambda e: (e.mac, e.address))


def acls(network: VirtualNetworkRecord) -> list[dict[str, Any]]:
    """The rules: those of one direction and then the other's, in their order."""
    return [
        {"direction": direction, "order": order, "description": acl.name, "rule": acl.rule}
        for direction in DIRECTIONS
        for order, acl in enumerate(network.acls_of(direction))
    ]


# What is wanted.


def made(values: Mapping[str, Any], dialect: Dialect) -> VirtualNetworkRecord:
    """
    The network that is asked for, without uuid and times.

    :raises NetworkRefused: something is no number.
    """
    kind = KINDS[values["nettype"]]
    return VirtualNetworkRecord(
        uuid="",
        name=values["description"],
        kind=kind,
        vni=number(values["vni"], "The VNI"),
        mtu=_mtu(values),
        **(_managed(values, dialect) if kind == "managed" else {}),
    )


def changed(network: VirtualNetworkRecord, values: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """
    What is to be other about a network, by the names of the record.

    An IPv6 network that is given without a gateway gets its first address as one.  What ends a network of
    addresses ends also what it had.

    :raises NetworkRefused: something is no number.
    """
    found = _managed(values, dialect) if network.kind == "managed" else {}
    if "description" in values:
        found["name"] = values["description"]
    if "mtu" in values:
        found["mtu"] = _mtu(values)
    if "ip6_network" in found:
        found.setdefault("ip6_gateway", "")
    if found.get("ip4_network") == "":
        found = {**_OF_IP4, **found}
    return found


def _mtu(values: Mapping[str, Any]) -> int:
    text = values.get("mtu", "")
    return number(text, "The MTU") if text else 0


def _managed(values: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """What only managed networks have, and others are given in vain."""
    found: dict[str, Any] = {name: values[name].strip() for name in _TEXTS if name in values}
    if "dhcp4" in values:
        found["dhcp4"] = values["dhcp4"]
    if "name_servers" in values:
        parts = (text.strip() for text in values["name_servers"].split(","))
        found["name_servers"] = tuple(dict.fromkeys(text for text in parts if text))
    net, gateway = found.get("ip6_network", ""), found.get("ip6_gateway", "")
    if dialect is Dialect.SEED and net and not _is_in(gateway, net):
        # Its documentation has the first address take the place of one that cannot be.
        found.pop("ip6_gateway", None)
    return found


def _is_in(address: str, network: str) -> bool:
    try:
        return IPv6Address(address) in IPv6Network(network)
    except ValueError:
        return False
