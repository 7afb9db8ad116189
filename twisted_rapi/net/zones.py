"""
The names of virtual networks: what the zones hold, and what is answered to a question.  Pure.

Whose name it is when several want it: a static lease's before an instance's, an instance's before what a
guest calls itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Literal

import attrs

from twisted_rapi.model.address_pool import is_address
from twisted_rapi.model.network_rules import NetworkRefused, valid_mac
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, VirtualNetworkRecord
from twisted_rapi.net.dnsmasq import NOBODY, reverse_zones

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
        if name in servers:
            continue  # a zone of its own, which is no host
        _add(hosts, name, _kind(at), at)
        _add(hosts, _pointer(at), "PTR", name)
    mine: dict[str, dict[tuple[str, Kind], tuple[str, ...]]] = {zone: {} for zone in servers}
    for key, values in hosts.items():
        found = zone_of(key[0], servers)
        if found is not None:
            mine[found][key] = tuple(values)
    return {zone: _zone(zone, tuple(dict.fromkeys(own)), mine[zone]) for zone, own in servers.items()}


def _zone(name: str, own: tuple[str, ...], mine: Mapping[tuple[str, Kind], tuple[str, ...]]) -> Zone:
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


def _pointer(address: str) -> str:
    if ":" in address:
        return ip_address(address).reverse_pointer
    return ".".join([*reversed(address.split(".")), "in-addr", "arpa"])


def _kind(address: str) -> Kind:
    return "AAAA" if ":" in address else "A"


def _add(hosts: dict[tuple[str, Kind], list[str]], name: str, kind: Kind, value: str) -> None:
    values = hosts.setdefault((name, kind), [])
    if value not in values:
        values.append(value)


def told_of(record: object) -> object:
    """What zones show of a record; nothing else about it changes them."""
    match record:
        case VirtualNetworkRecord():
            nets = (record.ip4_network, record.ip4_gateway, record.ip6_network, record.ip6_gateway)
            return (record.domain, record.name_servers, record.static_leases, *nets)
        case DhcpLeaseRecord():
            return record.address, record.mac, record.client, record.hostname
        case InstanceRecord():
            return (record.name, *((nic.mac, nic.ip) for nic in record.nics))
    return None


def _hosts(
    networks: list[VirtualNetworkRecord], leases: list[DhcpLeaseRecord], instances: list[InstanceRecord]
) -> Iterator[tuple[str, str]]:
    """Names and addresses, of each name only its owner's."""
    guests = dict(_guests(instances))
    given = _given(networks, instances)
    by_network: dict[str, list[DhcpLeaseRecord]] = defaultdict(list)
    for lease in leases:
        by_network[lease.network].append(lease)
    fixed = {
        network.uuid: _fixed(network, by_network[network.uuid], guests) + given[network.uuid]
        for network in networks
    }
    # Networks can have one domain in common: a name of one is no guest's of another either.
    taken = {(network.domain, row[2]) for network in networks for row in fixed[network.uuid]}
    for network in networks:
        owners: dict[str, str] = {"ns": "ns"}
        called = {lease.address: lease.hostname for lease in network.static_leases if lease.hostname}
        own = {row[2] for row in fixed[network.uuid]}
        chosen = [
            (lease.mac or lease.client, lease.address, label)
            for lease in by_network[network.uuid]
            if (label := _label(lease.hostname)) not in NOBODY
            and (label in own or (network.domain, label) not in taken)
        ]
        placed: set[str] = set()
        for owner, address, label in (*fixed[network.uuid], *chosen):
            # An address with a name of its own has no other.
            if not label or (address in placed) or called.get(address, label) != label:
                continue
            if owners.setdefault(label, owner) == owner and label != "ns":
                placed.add(address)
                name = f"{label}.{network.domain}"
                if len(name) <= _NAME_SIZE:
                    yield name, address


def _fixed(
    network: VirtualNetworkRecord, leases: list[DhcpLeaseRecord], guests: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Who has addresses under names that no guest has chosen: MAC, address and label."""
    rows = [
        (lease.mac, lease.address, lease.hostname or guests.get(lease.mac, ""))
        for lease in sorted(network.static_leases, key=lambda lease: not lease.hostname)
    ]
    return rows + [(lease.mac, lease.address, guests[lease.mac]) for lease in leases if lease.mac in guests]


def _given(
    networks: Iterable[VirtualNetworkRecord], instances: Iterable[InstanceRecord]
) -> dict[str, list[tuple[str, str, str]]]:
    """By the uuid of the network it is in, what NICs have by themselves: MAC, address and label."""
    uuids: dict[tuple[int, int, int], str] = {}
    for network in networks:
        for net in map(ip_network, _nets(network)):
            free = net.max_prefixlen - net.prefixlen
            uuids[net.version, free, int(net.network_address) >> free] = network.uuid
    sizes = {(version, free) for version, free, _ in uuids}
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for instance in instances:
        label = _label(instance.name)
        for nic in instance.nics:
            if not label or not nic.ip or not is_address(nic.ip):
                continue
            address = ip_address(nic.ip)
            for version, free in sizes:
                uuid = uuids.get((version, free, int(address) >> free))
                if uuid is not None and version == address.version:
                    found[uuid].append((_mac(nic.mac), str(address), label))
    return found


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
