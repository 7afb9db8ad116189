"""
The names of virtual networks: what the zones hold, and what is answered to a question.  Pure.

Whose name it is when several want it: a static lease's before an instance's, an instance's before what a
guest calls itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Literal

import attrs

from twisted_rapi.model.address_pool import is_address
from twisted_rapi.model.network_rules import NetworkRefused, valid_mac
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, VirtualNetworkRecord
from twisted_rapi.net.dnsmasq import reverse_zones

Kind = Literal["A", "AAAA", "PTR", "NS", "SOA"]
TTL = 60  # seconds; hosts come and go
_LABEL_SIZE, _NAME_SIZE = 63, 253


@attrs.frozen(kw_only=True)
class Zone:
    """
    A zone.

    :ivar name: in lower case without the last dot, as all names here.
    :ivar hosts: for each name and kind the values: addresses, or names.
    :ivar nodes: all names that exist, also those that only lead to others.
    """

    name: str
    servers: tuple[str, ...]
    hosts: Mapping[tuple[str, Kind], tuple[str, ...]]
    nodes: frozenset[str]


@attrs.frozen
class Row:
    """One record of an answer."""

    name: str
    kind: Kind
    value: str


@attrs.frozen(kw_only=True)
class Answer:
    """
    What is said to a question.

    :ivar status: ``refused``: it is about no zone of ours; ``unknown``: there is no such name.
    """

    status: Literal["well", "unknown", "refused"]
    rows: tuple[Row, ...] = ()
    authority: tuple[Row, ...] = ()
    more: tuple[Row, ...] = ()


REFUSED = Answer(status="refused")


def zones_of(
    networks: Iterable[VirtualNetworkRecord],
    leases: Iterable[DhcpLeaseRecord],
    instances: Iterable[InstanceRecord],
    address: str,
) -> dict[str, Zone]:
    """
    The zones, by name: one for each domain, and those of the networks' addresses.

    :param address: where this server is reached; empty: at the gateways.
    """
    managed = [network for network in networks if network.kind == "managed" and network.domain]
    hosts: dict[tuple[str, Kind], list[str]] = {}
    servers: dict[str, list[str]] = {}
    for network in managed:
        own = _servers(network)
        reverse = [zone for net in _nets(network) for zone in reverse_zones(net)]
        for zone in (network.domain, *reverse):
            servers.setdefault(zone, []).extend(own)
        for at in [address] if address else [network.ip4_gateway, network.ip6_gateway]:
            if at:
                _add(hosts, f"ns.{network.domain}", _kind(at), at)
    for name, at in _hosts(managed, list(leases), list(instances)):
        _add(hosts, name, _kind(at), at)
        _add(hosts, ip_address(at).reverse_pointer, "PTR", name)
    return {zone: _zone(zone, tuple(dict.fromkeys(own)), servers, hosts) for zone, own in servers.items()}


def _zone(
    name: str,
    own: tuple[str, ...],
    zones: Mapping[str, object],
    hosts: Mapping[tuple[str, Kind], list[str]],
) -> Zone:
    mine = {key: tuple(values) for key, values in hosts.items() if zone_of(key[0], zones) == name}
    nodes = {name}
    for host, _ in mine:
        while host != name and host not in nodes:
            nodes.add(host)
            host = host.partition(".")[2]  # noqa: PLW2901 -- up to the zone
    return Zone(name=name, servers=own, hosts=mine, nodes=frozenset(nodes))


def zone_of(name: str, zones: Mapping[str, object]) -> str | None:
    """The name of the zone a name is in."""
    while name not in zones:
        if "." not in name:
            return None
        name = name.partition(".")[2]
    return name


def _servers(network: VirtualNetworkRecord) -> list[str]:
    named = [text for text in network.name_servers if not is_address(text)]
    return named or [f"ns.{network.domain}"]


def _nets(network: VirtualNetworkRecord) -> list[str]:
    return [net for net in (network.ip4_network, network.ip6_network) if net]


def _kind(address: str) -> Kind:
    return "AAAA" if ":" in address else "A"


def _add(hosts: dict[tuple[str, Kind], list[str]], name: str, kind: Kind, value: str) -> None:
    values = hosts.setdefault((name, kind), [])
    if value not in values:
        values.append(value)


def _hosts(
    networks: list[VirtualNetworkRecord], leases: list[DhcpLeaseRecord], instances: list[InstanceRecord]
) -> Iterator[tuple[str, str]]:
    """Names and addresses, of each name only its owner's."""
    guests = dict(_guests(instances))
    given = [
        (_mac(nic.mac), nic.ip, label)
        for instance in instances
        for nic in instance.nics
        if nic.ip and (label := _label(instance.name))
    ]
    for network in networks:
        owners: dict[str, str] = {"ns": "ns"}
        nets = [ip_network(net) for net in _nets(network)]
        mine = [lease for lease in leases if lease.network == network.uuid]
        fixed = {lease.address: lease.hostname for lease in network.static_leases if lease.hostname}
        rows = [
            (lease.mac, lease.address, lease.hostname or guests.get(lease.mac, ""))
            for lease in sorted(network.static_leases, key=lambda lease: not lease.hostname)
        ]
        rows += [(lease.mac, lease.address, guests[lease.mac]) for lease in mine if lease.mac in guests]
        rows += [row for row in given if is_address(row[1]) and _inside(row[1], nets)]
        rows += [(lease.mac or lease.client, lease.address, _label(lease.hostname)) for lease in mine]
        placed: set[str] = set()
        for owner, address, label in rows:
            # An address with a name of its own has no other.
            if not label or (address in placed) or fixed.get(address, label) != label:
                continue
            if owners.setdefault(label, owner) == owner and label != "ns":
                placed.add(address)
                name = f"{label}.{network.domain}"
                if len(name) <= _NAME_SIZE:
                    yield name, str(ip_address(address))


def _inside(address: str, nets: Iterable[object]) -> bool:
    return any(ip_address(address) in net for net in nets)  # type: ignore[operator]


def _guests(instances: Iterable[InstanceRecord]) -> Iterator[tuple[str, str]]:
    """MAC addresses with the names of their instances."""
    for instance in instances:
        label = _label(instance.name)
        for nic in instance.nics:
            if label:
                yield _mac(nic.mac), label


def _mac(text: str) -> str:
    try:
        return valid_mac(text)
    except NetworkRefused:
        return text


def _label(name: str) -> str:
    """What stands for a host in its zone; empty if it cannot."""
    label = name.partition(".")[0].lower()
    plain = label.isascii() and label.replace("-", "").replace("_", "").isalnum()
    return label if plain and len(label) <= _LABEL_SIZE else ""


def answer(zones: Mapping[str, Zone], name: str, kind: str) -> Answer:
    """
    What is said to a question about a name, in lower case.

    :param kind: as `Kind`; ``ANY``: all; others there are none of.
    """
    found = zone_of(name, zones)
    if found is None:
        return REFUSED
    zone = zones[found]
    about = (Row(zone.name, "SOA", ""),)
    if name not in zone.nodes:
        return Answer(status="unknown", authority=about)
    rows = tuple(row for row in _of(zone, name) if kind in ("ANY", row.kind))
    if not rows:
        return Answer(status="well", authority=about)
    servers = [row.value for row in rows if row.kind == "NS"]
    return Answer(status="well", rows=rows, more=tuple(_glue(zones, servers)))


def transferred(zones: Mapping[str, Zone], name: str) -> tuple[Row, ...] | None:
    """All of a zone, between its two ends as RFC 5936 has it; ``None``: it is none of ours."""
    zone = zones.get(name)
    if zone is None:
        return None
    begin, *apex = _of(zone, zone.name)
    others = (row for node in sorted(zone.nodes - {zone.name}) for row in _of(zone, node))
    return (begin, *apex, *others, begin)


def _of(zone: Zone, name: str) -> Iterator[Row]:
    if name == zone.name:
        yield Row(name, "SOA", "")
        yield from (Row(name, "NS", server) for server in zone.servers)
    kinds: tuple[Kind, ...] = ("A", "AAAA", "PTR")
    for kind in kinds:
        yield from (Row(name, kind, value) for value in zone.hosts.get((name, kind), ()))


def _glue(zones: Mapping[str, Zone], servers: Iterable[str]) -> Iterator[Row]:
    for server in servers:
        found = zone_of(server, zones)
        if found is not None:
            yield from (row for row in _of(zones[found], server) if row.kind in ("A", "AAAA"))
