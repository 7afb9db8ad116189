"""
What dnsmasq (2.80 and later) is told of a virtual network, and how it keeps its leases.  Pure.

Each network has an instance of its own on its bridge.  It answers names of its own leases, hands questions
about the cluster's other zones to the authoritative server, and all else to the name servers of the host.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from msgspec.structs import replace

from twisted_rapi.model.virtual_network import DhcpLeaseRecord, VirtualNetworkRecord

LEASE4, LEASE6 = "48h", "24h"
ADVERTISED = 60  # seconds at most between router advertisements; one that is lost is one for three times that
CONFIGURATION, HOSTS, LEASES, PID = "dnsmasq.conf", "hosts", "leases", "pid"
"""Files in the folder of a network."""
SLAAC = 64  # the only prefix clients make addresses of by themselves (RFC 4862)
_OPTION_MTU = 26
NOBODY = frozenset({"wpad", "isatap", "localhost"})
"""What no guest can call itself: others would take their proxy, their router or themselves to be there."""


def bridge_of(network: VirtualNetworkRecord) -> str:
    """The name of its bridge, which guests are connected to."""
    return f"vmbr{network.vni}"


def served(network: VirtualNetworkRecord) -> bool:
    """Whether there is anything to tell its hosts: it is managed and has a gateway."""
    return network.kind == "managed" and bool(network.ip4_network or network.ip6_network)


def configuration(
    network: VirtualNetworkRecord,
    folder: Path,
    mtu: int,
    others: Iterable[VirtualNetworkRecord] = (),
    dns: str = "",
) -> str:
    """
    The configuration of a network that is `served`.

    :param folder: where its files are.
    :param mtu: of its bridges; hosts would lose larger frames on their way to other nodes.
    :param others: the other networks, whose names are asked at `dns`, if there is one.
    """
    bridge = bridge_of(network)
    lines = [
        f"pid-file={folder / PID}",
        f"dhcp-leasefile={folder / LEASES}",
        f"dhcp-hostsfile={folder / HOSTS}",
        f"interface={bridge}",
        "except-interface=lo",
        "bind-dynamic",
        "no-hosts",
        "domain-needed",
        "bogus-priv",
        "filterwin2k",
        "dhcp-authoritative",
        *(f"dhcp-name-match=set:unnamed,{name}" for name in sorted(NOBODY)),
        "dhcp-ignore-names=tag:unnamed",
        f"domain={network.domain}",
        *_asked_elsewhere(network, others, dns),
        *_version_4(network, mtu),
        *_version_6(network, bridge, mtu),
    ]
    return "\n".join(lines) + "\n"


def _asked_elsewhere(
    network: VirtualNetworkRecord, others: Iterable[VirtualNetworkRecord], dns: str
) -> Iterator[str]:
    if not dns:
        yield f"local=/{network.domain}/"
        return
    every = [network, *others]
    for domain in sorted({each.domain for each in every if each.domain}):
        yield f"server=/{domain}/{dns}"
    for each in every:
        for found in filter(None, (each.ip4_network, each.ip6_network)):
            for zone in reverse_zones(found):
                yield f"server=/{zone}/{dns}"


def reverse_zones(network: str) -> tuple[str, ...]:
    """
    The zones that have the names of a network's addresses: whole octets of IPv4, nibbles of IPv6.

    A network that ends within one has as many zones as it covers.
    """
    found = ip_network(network)
    step = 8 if found.version == 4 else 4
    longest = 24 if found.version == 4 else 124
    length = min(-(-found.prefixlen // step) * step, longest)
    parts: Iterable[IPv4Network | IPv6Network] = [found]
    if length > found.prefixlen:
        parts = found.subnets(new_prefix=length)
    skipped = (found.max_prefixlen - length) // step
    return tuple(".".join(_pointer(part).split(".")[skipped:]) for part in parts)


def _pointer(network: IPv4Network | IPv6Network) -> str:
    return network.network_address.reverse_pointer


def _version_4(network: VirtualNetworkRecord, mtu: int) -> Iterator[str]:
    if not network.ip4_network:
        return
    mask = IPv4Network(network.ip4_network).netmask
    if network.dhcp4:
        yield f"dhcp-range={network.dhcp4_start},{network.dhcp4_end},{mask},{LEASE4}"
    elif any(":" not in lease.address for lease in network.static_leases):
        # Nobody else gets an address.
        yield f"dhcp-range={IPv4Network(network.ip4_network).network_address},static,{mask},{LEASE4}"
    told = [text for text in network.name_servers if _version(text) == 4] or [network.ip4_gateway]
    yield f"dhcp-option=option:router,{network.ip4_gateway}"
    yield f"dhcp-option=option:dns-server,{','.join(told)}"
    yield f"dhcp-option=option:ntp-server,{network.ip4_gateway}"
    yield f"dhcp-option={_OPTION_MTU},{mtu}"


def _version_6(network: VirtualNetworkRecord, bridge: str, mtu: int) -> Iterator[str]:
    if not network.ip6_network:
        return
    found = IPv6Network(network.ip6_network)
    first, last = found.network_address + 2, found.network_address + found.num_addresses - 1
    by_itself = "slaac," if found.prefixlen == SLAAC else ""
    yield "enable-ra"
    yield f"dhcp-range={first},{last},{by_itself}{found.prefixlen},{LEASE6}"
    told = [text for text in network.name_servers if _version(text) == 6] or [network.ip6_gateway]
    yield f"dhcp-option=option6:dns-server,{','.join(f'[{text}]' for text in told)}"
    yield f"dhcp-option=option6:sntp-server,[{network.ip6_gateway}]"
    yield f"ra-param={bridge},mtu:{mtu},{ADVERTISED},{3 * ADVERTISED}"


def _version(text: str) -> int:
    try:
        return ip_address(text).version
    except ValueError:
        return 0


def hosts(network: VirtualNetworkRecord) -> str:
    """The file of static leases, a line for each NIC."""
    rows: dict[str, list[str]] = defaultdict(list)
    names: dict[str, str] = {}
    for lease in network.static_leases:
        rows[lease.mac].append(f"[{lease.address}]" if ":" in lease.address else lease.address)
        if lease.hostname:
            names.setdefault(lease.mac, lease.hostname)
    return "".join(
        ",".join([mac, *addresses, *([names[mac]] if mac in names else [])]) + "\n"
        for mac, addresses in rows.items()
    )


# Leases.


def lease_file(leases: Iterable[DhcpLeaseRecord]) -> str:
    """The leases of one network as dnsmasq keeps them."""
    every = sorted(leases, key=lambda lease: lease.uuid)
    four = [lease for lease in every if ":" not in lease.address]
    six = [lease for lease in every if ":" in lease.address]
    lines = [_line(lease, lease.mac) for lease in four]
    server = next((lease.server for lease in six if lease.server), "")
    if server:
        # Without it dnsmasq would make itself another name, and clients would not know their server.
        lines.append(f"duid {server}")
        lines += [_line(lease, lease.association) for lease in six if lease.association]
    return "".join(f"{line}\n" for line in lines)


def _line(lease: DhcpLeaseRecord, key: str) -> str:
    name, client = lease.hostname or "*", lease.client or "*"
    return f"{int(lease.expires)} {key} {lease.address} {name} {client}"


def read_leases(text: str, network: str) -> tuple[DhcpLeaseRecord, ...]:
    """
    What a lease file says; lines that are not whole are left out.

    :param network: the uuid of the network.
    """
    server, found = "", []
    for line in text.splitlines(keepends=True):
        words = line.split()
        if not line.endswith("\n"):
            break
        if len(words) == 2 and words[0] == "duid":
            server = words[1]
        elif len(words) >= 5 and words[0].isdecimal():
            lease = _lease(words, network, server)
            found += [] if lease is None else [lease]
    return tuple(found)


def _lease(words: list[str], network: str, server: str) -> DhcpLeaseRecord | None:
    expires, key, text, name, client = words[:5]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    lease = DhcpLeaseRecord(
        network=network,
        address=str(address),
        hostname="" if name == "*" else name.lower(),
        expires=float(expires),
        client=client,
    )
    if address.version == 6:
        return replace(lease, mac=mac_of(client), association=key, server=server)
    # A type of hardware before the address is there when it is not Ethernet's.
    return replace(lease, mac=key.rpartition("-")[2].lower())


def mac_of(client: str) -> str:
    """The MAC address in a DUID (RFC 8415 §11), empty for one without."""
    parts = client.lower().split(":")
    start = {"00:01:00:01": 8, "00:03:00:01": 4}.get(":".join(parts[:4]))
    found = [] if start is None else parts[start:]
    return ":".join(found) if len(found) == 6 else ""
