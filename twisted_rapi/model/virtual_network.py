"""
Virtual networks: what is wanted of them, and the leases their DHCP servers gave.

`bridged` networks are VLANs of the nodes' own network, nothing of them is served.  `managed` ones are VXLANs
between the nodes, with a gateway, DHCP, router advertisements and a DNS zone on the master's node.
"""

from typing import Literal

from msgspec import Struct

from twisted_rapi.model.record_base import ObjectRecord, Record

Kind = Literal["bridged", "managed"]
Direction = Literal["in", "out"]


class StaticLease(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An address that one NIC gets and no other, and what it is called."""

    mac: str
    address: str  # IPv4 or IPv6
    hostname: str = ""


class Acl(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    A rule about what the gateway forwards.

    :ivar name: its description, the only one of the network.
    :ivar direction: ``in``: towards the network, ``out``: from it.
    :ivar rule: an nftables rule, without its table and chain.
    """

    name: str
    direction: Direction
    rule: str


class VirtualNetworkRecord(ObjectRecord, frozen=True, kw_only=True, omit_defaults=True):
    """
    A virtual network; `name` is its description.  All but `vni` and `mtu` is of managed networks.

    Addresses are as `ipaddress` writes them, networks in CIDR form, empty where there is none.

    :ivar vni: the VLAN's id, or the VXLAN's.
    :ivar mtu: bytes; 0: as much as the nodes' own network leaves.
    :ivar domain: of its DNS zone.
    :ivar name_servers: addresses are told to clients, names are the zone's.
    :ivar dhcp4: whether IPv4 addresses are given out, from `dhcp4_start` to `dhcp4_end`.
    :ivar acls: of each direction in the order in which they are judged.
    """

    KIND = "vnet"

    kind: Kind
    vni: int
    mtu: int = 0
    domain: str = ""
    name_servers: tuple[str, ...] = ()
    ip4_network: str = ""
    ip4_gateway: str = ""
    dhcp4: bool = False
    dhcp4_start: str = ""
    dhcp4_end: str = ""
    ip6_network: str = ""
    ip6_gateway: str = ""
    static_leases: tuple[StaticLease, ...] = ()
    acls: tuple[Acl, ...] = ()

    @property
    def dhcp6(self) -> bool:
        """Whether IPv6 addresses are given out, and routers advertised: where there is an IPv6 network."""
        return bool(self.ip6_network)

    def acls_of(self, direction: Direction) -> tuple[Acl, ...]:
        """Those of one direction, in their order."""
        return tuple(acl for acl in self.acls if acl.direction == direction)


class DhcpLeaseRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    An address that a DHCP server gave.

    :ivar network: the virtual network's uuid.
    :ivar expires: seconds since the epoch; 0: never.
    :ivar client: the client's identifier in hex, of IPv6 its DUID; ``*``: it said none.
    :ivar association: of IPv6, the number of what the address belongs to at the client, as dnsmasq writes it.
    :ivar server: of IPv6, the DUID of who gave it.
    """

    KIND = "dhcp"

    network: str
    address: str
    mac: str = ""
    hostname: str = ""
    expires: float = 0.0
    client: str = "*"
    association: str = ""
    server: str = ""

    @property
    def uuid(self) -> str:
        """What names it: no address is given twice in a network."""
        return f"{self.network}/{self.address}"
