"""
What of virtual networks is to be on a node, and how to come there from what is.  Pure.

Interfaces that are ours have an alias that says so; no others are touched.
"""

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import attrs
from msgspec.structs import replace

from twisted_rapi.model.network_rules import gateways
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import VirtualNetworkRecord
from twisted_rapi.net.dnsmasq import bridge_of, configuration, hosts, served
from twisted_rapi.net.ruleset import digest

OURS = "twisted_rapi"
"""The alias of interfaces that are ours."""
OVERHEAD = {4: 50, 6: 70}
"""Bytes a VXLAN adds to a frame, by the version of the nodes' addresses."""


@attrs.frozen(kw_only=True)
class Interface:
    """
    An interface.

    :ivar number: of a VLAN or VXLAN.
    :ivar below: of a VLAN the interface it is on.
    :ivar local: of a VXLAN this node's address.
    :ivar bridge: the bridge it is connected to, if any.
    :ivar alias: see `OURS`.
    """

    kind: Literal["bridge", "vxlan", "vlan", ""]
    number: int = 0
    below: str = ""
    local: str = ""
    bridge: str = ""
    mtu: int = 1500
    up: bool = True
    alias: str = OURS

    def like(self, other: "Interface") -> bool:
        """Whether one can become the other without being made anew."""
        parts = ("kind", "number", "below", "local")
        return all(getattr(self, part) == getattr(other, part) for part in parts)


@attrs.frozen
class Served:
    """What a network's dnsmasq was told."""

    configuration: str
    hosts: str


@attrs.frozen(kw_only=True)
class Topology:
    """
    What a node has, or is to have.

    :ivar interfaces: by name; of a node everything, of a wish what is ours.
    :ivar floods: addresses of the nodes that frames to nobody in particular are sent to, by VXLAN interface.
    :ivar addresses: with their prefixes, by bridge.
    :ivar tables: digests of rulesets, by network's id.
    :ivar servers: what dnsmasq runs with, by network's id.
    """

    interfaces: Mapping[str, Interface] = attrs.field(factory=dict)
    floods: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    addresses: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    tables: Mapping[int, str] = attrs.field(factory=dict)
    servers: Mapping[int, Served] = attrs.field(factory=dict)


def possible(step: MakeNetworks, seen: Topology) -> tuple[MakeNetworks, tuple[str, ...]]:
    """
    The step without the networks that cannot be had here, and why those cannot.

    Somebody else's interface with the name of one of ours stands in the way of its network, and of no other.
    """
    troubles: list[str] = []
    left = []
    for network in step.networks:
        names = (name for name in (bridge_of(network), uplink_of(network)) if name in seen.interfaces)
        strange = [name for name in names if seen.interfaces[name].alias != OURS]
        troubles += [f"the interface {name} is not one of ours" for name in strange]
        left += [] if strange else [network]
    return (replace(step, networks=tuple(left)) if troubles else step), tuple(troubles)


# What is to be changed.


@attrs.frozen
class StopServer:
    """End a network's dnsmasq."""

    vni: int


@attrs.frozen
class StartServer:
    """Run a network's dnsmasq; one that runs is ended first."""

    vni: int
    told: Served


@attrs.frozen
class TellServer:
    """Have a network's dnsmasq take other static leases."""

    vni: int
    told: Served


@attrs.frozen
class RemoveInterface:
    """Remove an interface with all it has."""

    name: str


@attrs.frozen
class MakeInterface:
    """Make an interface; it is connected, gets its MTU and is switched on by `SetInterface`."""

    name: str
    wanted: Interface


@attrs.frozen
class SetInterface:
    """Give an interface its MTU, connect it, switch it on."""

    name: str
    wanted: Interface


@attrs.frozen
class Flood:
    """Send frames to nobody in particular to another node, too, or no longer."""

    name: str
    peer: str
    there: bool


@attrs.frozen
class Hold:
    """Give a bridge an address, or take it away."""

    name: str
    address: str
    there: bool


@attrs.frozen
class LoadTable:
    """Replace a network's ruleset."""

    vni: int
    digest: str


@attrs.frozen
class RemoveTable:
    """Remove a network's ruleset."""

    vni: int


Change = (
    StopServer
    | StartServer
    | TellServer
    | RemoveInterface
    | MakeInterface
    | SetInterface
    | Flood
    | Hold
    | LoadTable
    | RemoveTable
)


class NotOurs(ValueError):
    """An interface has the name of one of ours; the text says which."""


def uplink_of(network: VirtualNetworkRecord) -> str:
    """The name of the interface that leads to other nodes."""
    return f"{'vxlan' if network.kind == 'managed' else 'vlan'}{network.vni}"


def wanted(step: MakeNetworks, device: str, mtu: int, folder: Callable[[int], Path]) -> Topology:
    """
    What a step asks for.

    :param device: the interface VLANs are on, and whose `mtu` all is derived from.
    :param folder: where the files of a network's dnsmasq are, by its id.
    """
    interfaces: dict[str, Interface] = {}
    version = ip_address(step.local).version
    peers = frozenset(p for p in step.peers if p != step.local and ip_address(p).version == version)
    for network in step.networks:
        managed = network.kind == "managed"
        most = mtu - OVERHEAD[version] if managed else mtu
        size = min(network.mtu or most, most)
        bridge, uplink = bridge_of(network), uplink_of(network)
        interfaces[bridge] = Interface(kind="bridge", mtu=size)
        interfaces[uplink] = (
            Interface(kind="vxlan", number=network.vni, local=step.local, bridge=bridge, mtu=size)
            if managed
            else Interface(kind="vlan", number=network.vni, below=device, bridge=bridge, mtu=size)
        )
    managed_ones = [network for network in step.networks if network.kind == "managed"]
    serving = [network for network in managed_ones if step.serving and served(network)]
    return Topology(
        interfaces=interfaces,
        floods={uplink_of(network): peers for network in managed_ones if peers},
        addresses={bridge_of(network): frozenset(gateways(network)) for network in serving},
        tables={network.vni: digest(network) for network in managed_ones},
        servers={
            network.vni: _told(network, step, folder(network.vni), interfaces[bridge_of(network)].mtu)
            for network in serving
        },
    )


def _told(network: VirtualNetworkRecord, step: MakeNetworks, folder: Path, mtu: int) -> Served:
    others = [other for other in step.networks if other.uuid != network.uuid and served(other)]
    return Served(configuration(network, folder, mtu, others, step.dns), hosts(network))


def changes(want: Topology, seen: Topology) -> tuple[Change, ...]:
    """
    What leads from what is seen to what is wanted, in an order in which it can be done.

    Once all of it was done nothing is left to be changed.

    :raises NotOurs: something else has one of the names.
    """
    for name in want.interfaces:
        if name in seen.interfaces and seen.interfaces[name].alias != OURS:
            raise NotOurs(f"the interface {name} is not one of ours")
    kept = {
        name: found
        for name, found in seen.interfaces.items()
        if found.alias == OURS and name in want.interfaces and want.interfaces[name].like(found)
    }
    return (
        *_ended(want, seen),
        *_interfaces(want, seen, kept),
        *_floods(want, seen, kept),
        *(LoadTable(vni, made) for vni, made in want.tables.items() if seen.tables.get(vni) != made),
        *_addresses(want, seen, kept),
        *_servers(want, seen),
    )


def _ended(want: Topology, seen: Topology) -> Iterator[Change]:
    for vni in seen.servers:
        if vni not in want.servers:
            yield StopServer(vni)
    for vni in seen.tables:
        if vni not in want.tables:
            yield RemoveTable(vni)


def _interfaces(want: Topology, seen: Topology, kept: Mapping[str, Interface]) -> Iterator[Change]:
    for name, found in seen.interfaces.items():
        if found.alias == OURS and name not in kept:
            yield RemoveInterface(name)
    bridges_first = sorted(want.interfaces.items(), key=lambda row: (row[1].kind != "bridge", row[0]))
    for name, wish in bridges_first:
        if name not in kept:
            yield MakeInterface(name, wish)
        # A bridge that was removed left what was connected to it; making one lets all be set again.
        again = name not in kept or (wish.bridge and wish.bridge not in kept)
        if again or kept[name] != wish:
            yield SetInterface(name, wish)


def _floods(want: Topology, seen: Topology, kept: Mapping[str, Interface]) -> Iterator[Change]:
    return _members("vxlan", want, kept, want.floods, seen.floods, Flood)


def _addresses(want: Topology, seen: Topology, kept: Mapping[str, Interface]) -> Iterator[Change]:
    return _members("bridge", want, kept, want.addresses, seen.addresses, Hold)


def _members(
    kind: str,
    want: Topology,
    kept: Mapping[str, Interface],
    wished: Mapping[str, frozenset[str]],
    seen: Mapping[str, frozenset[str]],
    change: Callable[[str, str, bool], Change],
) -> Iterator[Change]:
    """What interfaces of a kind have too much, and then what they miss; a new one has nothing."""
    for name in (name for name, wish in want.interfaces.items() if wish.kind == kind):
        there = seen.get(name, frozenset()) if name in kept else frozenset()
        due = wished.get(name, frozenset())
        yield from (change(name, member, False) for member in sorted(there - due))
        yield from (change(name, member, True) for member in sorted(due - there))


def _servers(want: Topology, seen: Topology) -> Iterator[Change]:
    for vni, told in want.servers.items():
        found = seen.servers.get(vni)
        if found is None or found.configuration != told.configuration:
            yield StartServer(vni, told)
        elif found.hosts != told.hosts:
            yield TellServer(vni, told)
