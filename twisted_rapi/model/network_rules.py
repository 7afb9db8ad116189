"""What a virtual network has to be like, alone and beside the others; pure."""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from msgspec.structs import replace

from twisted_rapi.model.address_pool import is_address
from twisted_rapi.model.virtual_network import Acl, StaticLease, VirtualNetworkRecord

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HIGHEST = {"bridged": 4094, "managed": 16777215}
"""The ids there are, from 1."""
SMALLEST_MTU, LARGEST_MTU = 1280, 65000  # IPv6 needs the smallest; no interface takes more
LONGEST_NAME, LONGEST_RULE, MOST_ACLS = 128, 1000, 1000
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NO_HOST = re.compile(r"ignore|infinite|\d+[smhdw]?")  # words and times to dnsmasq, not names
_QUOTED = re.compile(r'"[^"\\]*"')
_MANAGED_ONLY = (
    *("domain", "name_servers", "ip4_network", "ip4_gateway", "dhcp4", "dhcp4_start", "dhcp4_end"),
    *("ip6_network", "ip6_gateway", "static_leases", "acls"),
)


class NetworkRefused(ValueError):
    """A virtual network, or a part of it, cannot be as it was given; the text says why."""


def completed(record: VirtualNetworkRecord) -> VirtualNetworkRecord:
    """
    The record with what was left to us, and everything written in one way.

    An IPv6 network without a gateway gets its first address as one, a managed network without a domain
    ``NAME.local``.

    :raises NetworkRefused: an address or network cannot be read.
    """
    if record.kind == "bridged":
        return record
    net6 = _network(record.ip6_network, 6) if record.ip6_network else None
    gateway6 = record.ip6_gateway or ("" if net6 is None else str(net6.network_address + 1))
    return replace(
        record,
        domain=(record.domain or f"{record.name}.local").rstrip(".").lower(),
        name_servers=tuple(_name_server(text) for text in record.name_servers),
        ip4_network=str(_network(record.ip4_network, 4)) if record.ip4_network else "",
        ip4_gateway=_text(record.ip4_gateway, 4, "gateway"),
        dhcp4_start=_text(record.dhcp4_start, 4, "DHCP start"),
        dhcp4_end=_text(record.dhcp4_end, 4, "DHCP end"),
        ip6_network="" if net6 is None else str(net6),
        ip6_gateway=_text(gateway6, 6, "gateway"),
        static_leases=tuple(map(_completed_lease, record.static_leases)),
    )


def check_network(record: VirtualNetworkRecord, others: Iterable[VirtualNetworkRecord] = ()) -> None:
    """
    Whether a `completed` record makes sense, alone and beside the other networks.

    Some texts are as observed of PVC.

    :raises NetworkRefused: it does not.
    """
    _check_name(record)
    if record.kind == "bridged":
        _check_bridged(record)
    else:
        _check_domain(record)
        _check_ip4(record)
        _check_ip6(record)
        _check_leases(record)
        _check_acls(record.acls)
    for other in others:
        if other.uuid != record.uuid:
            _check_beside(record, other)


def check_rule(text: str) -> None:
    """
    Whether a text can be one rule of a chain and nothing else; what it says is for ``nft`` to judge.

    :raises NetworkRefused: it could be taken for more than a rule.
    """
    if not text.strip():
        raise NetworkRefused("A rule is needed")
    if len(text) > LONGEST_RULE:
        raise NetworkRefused(f"A rule has {LONGEST_RULE} characters at most")
    if not text.isascii() or not text.isprintable():
        raise NetworkRefused("A rule is one line of printable ASCII characters")
    plain = _QUOTED.sub("", text)
    for sign in ";#\\\"'$@`":
        if sign in plain:
            raise NetworkRefused(f"A rule has no {sign}")
    if re.search(r"\b(include|define|undefine|redefine)\b", plain):
        raise NetworkRefused("A rule includes and defines nothing")
    depth = 0
    for sign in plain:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            break
    if depth:
        raise NetworkRefused("A rule closes the braces it opens, and no others")


def gateways(record: VirtualNetworkRecord) -> tuple[str, ...]:
    """The gateways with the prefixes of their networks, such as ``10.0.0.1/24``."""
    pairs = ((record.ip4_gateway, record.ip4_network), (record.ip6_gateway, record.ip6_network))
    return tuple(f"{gateway}/{network.partition('/')[2]}" for gateway, network in pairs if gateway)


def with_acl(record: VirtualNetworkRecord, acl: Acl, order: int | None = None) -> VirtualNetworkRecord:
    """
    The record with one more rule.

    :param order: its place among those of its direction, from 0; others move on.  Without one, or beyond
        the last, it becomes the last.
    :raises NetworkRefused: there is one of that name, or it could not be asked for by its name.
    """
    if not _is_description(acl.name) or "/" in acl.name or acl.name in (".", ".."):
        raise NetworkRefused(
            f"A rule needs a description of at most {LONGEST_NAME} characters, no whitespace and no slash"
        )
    if any(known.name == acl.name for known in record.acls):
        raise NetworkRefused(f"A rule with description '{acl.name}' already exists!")
    same = list(record.acls_of(acl.direction))
    rest = [known for known in record.acls if known.direction != acl.direction]
    same.insert(len(same) if order is None or not 0 <= order < len(same) else order, acl)
    both = (*same, *rest) if acl.direction == "in" else (*rest, *same)
    changed = replace(record, acls=both)
    _check_acls(changed.acls)
    return changed


def valid_mac(text: str) -> str:
    """
    A NIC's MAC address in lower case.

    :raises NetworkRefused: it is none.
    """
    mac = text.strip().lower()
    if not _MAC.fullmatch(mac):
        raise NetworkRefused(f"MAC address '{text}' is not valid! Always use ':' as a separator.")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise NetworkRefused(f"'{text}' cannot be the MAC address of a NIC")
    return mac


# One after the other.


def _network(text: str, version: int) -> Network:
    try:
        found = ip_network(text.strip())
    except ValueError as e:
        try:
            meant = ip_interface(text.strip()).network
        except ValueError:
            raise NetworkRefused(f"'{text}' is not a valid network") from e
        raise NetworkRefused(f"'{text}' is an address in a network; the network is {meant}") from e
    if found.version != version or "/" not in text:
        raise NetworkRefused(f"'{text}' is not an IPv{version} network in CIDR form")
    return found


def _address(text: str, version: int, what: str) -> Address:
    try:
        found = ip_address(text.strip())
    except ValueError as e:
        raise NetworkRefused(f"The {what} '{text}' is not a valid address") from e
    if found.version != version or getattr(found, "scope_id", None):
        raise NetworkRefused(f"The {what} '{text}' is not an IPv{version} address")
    return found


def _text(text: str, version: int, what: str) -> str:
    return str(_address(text, version, what)) if text else ""


def _name_server(text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text.strip().rstrip(".").lower()


def _completed_lease(lease: StaticLease) -> StaticLease:
    version = 6 if ":" in lease.address else 4
    return replace(
        lease,
        mac=valid_mac(lease.mac),
        address=str(_address(lease.address, version, "address of a lease")),
        hostname=lease.hostname.strip().lower(),
    )


def _check_name(record: VirtualNetworkRecord) -> None:
    name, highest = record.name, HIGHEST[record.kind]
    if not _is_description(name):
        raise NetworkRefused(
            f"A description of at most {LONGEST_NAME} characters is needed, without whitespace"
        )
    if "/" in name or name.isdigit() or name in (".", ".."):
        raise NetworkRefused("A description has no slash, and is not a number")
    if not 1 <= record.vni <= highest:
        raise NetworkRefused(f"The VNI of a {record.kind} network is a number from 1 to {highest}")
    if record.mtu and not SMALLEST_MTU <= record.mtu <= LARGEST_MTU:
        raise NetworkRefused(f"The MTU is a number from {SMALLEST_MTU} to {LARGEST_MTU}")


def _is_description(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and not any(map(str.isspace, text))


def _check_bridged(record: VirtualNetworkRecord) -> None:
    for name in _MANAGED_ONLY:
        if getattr(record, name):
            raise NetworkRefused(f"A bridged network has no {name.replace('_', ' ')}")


def _is_domain(text: str) -> bool:
    return len(text) <= 240 and all(_LABEL.fullmatch(label) for label in text.split("."))


def _check_domain(record: VirtualNetworkRecord) -> None:
    if not _is_domain(record.domain):
        raise NetworkRefused(f"'{record.domain}' is not a valid domain")
    for text in record.name_servers:
        if not _is_domain(text) and not is_address(text):
            raise NetworkRefused(f"'{text}' is neither the name nor the address of a name server")


def _check_size(found: Network, shortest: int, longest: int) -> None:
    if not shortest <= found.prefixlen <= longest:
        raise NetworkRefused(f"The prefix of {found} is not from {shortest} to {longest}")
    reserved = found.version == 4 and found.is_reserved
    if found.is_multicast or found.is_loopback or found.is_unspecified or reserved:
        raise NetworkRefused(f"{found} cannot be the network of hosts")


def check_host(address: Address, found: Network, what: str) -> None:
    """
    Whether a host of the network can have the address.

    :raises NetworkRefused: it cannot.
    """
    if address not in found:
        raise NetworkRefused(f"The {what} {address} is not in {found}")
    if address == found.network_address or (found.version == 4 and address == found.broadcast_address):
        raise NetworkRefused(f"The {what} {address} is the network's own address or its broadcast address")


def _check_ip4(record: VirtualNetworkRecord) -> None:
    if not record.ip4_network:
        if record.ip4_gateway or record.dhcp4 or record.dhcp4_start or record.dhcp4_end:
            raise NetworkRefused("An IPv4 gateway and DHCPv4 need an IPv4 network.")
        return
    found = _network(record.ip4_network, 4)
    _check_size(found, 8, 30)
    if not record.ip4_gateway:
        raise NetworkRefused("An IPv4 gateway is required for an IPv4 network.")
    check_host(_address(record.ip4_gateway, 4, "gateway"), found, "gateway")
    if record.dhcp4 and not (record.dhcp4_start and record.dhcp4_end):
        raise NetworkRefused("DHCPv4 start and end addresses are required for a DHCPv4-enabled network.")
    ends = [IPv4Address(text) for text in (record.dhcp4_start, record.dhcp4_end) if text]
    for end in ends:
        check_host(end, found, "DHCP address")
    if len(ends) == 2 and ends[0] > ends[1]:
        raise NetworkRefused(f"The DHCP addresses end at {ends[1]} before they start at {ends[0]}")


def _check_ip6(record: VirtualNetworkRecord) -> None:
    if not record.ip6_network:
        if record.ip6_gateway:
            raise NetworkRefused("An IPv6 gateway needs an IPv6 network.")
        return
    found = _network(record.ip6_network, 6)
    _check_size(found, 64, 120)
    if found.is_link_local:
        raise NetworkRefused(f"{found} cannot be the network of hosts")
    check_host(_address(record.ip6_gateway, 6, "gateway"), found, "gateway")


def _networks_of(record: VirtualNetworkRecord) -> tuple[Network, ...]:
    pairs = ((record.ip4_network, 4), (record.ip6_network, 6))
    return tuple(_network(text, version) for text, version in pairs if text)


def _check_leases(record: VirtualNetworkRecord) -> None:
    nets = {net.version: net for net in _networks_of(record)}
    taken = {record.ip4_gateway, record.ip6_gateway}
    seen: set[tuple[str, int]] = set()
    named: dict[tuple[str, int], str] = {}
    for lease in record.static_leases:
        address = ip_address(lease.address)
        if address.version not in nets:
            raise NetworkRefused(f"The network has no IPv{address.version} network for {address}")
        check_host(address, nets[address.version], "address")
        if (lease.mac, address.version) in seen:
            raise NetworkRefused(f"A reservation with MAC '{lease.mac}' already exists!")
        if lease.address in taken:
            raise NetworkRefused(f"The address {lease.address} is taken")
        if lease.hostname and (not _HOST.fullmatch(lease.hostname) or _NO_HOST.fullmatch(lease.hostname)):
            raise NetworkRefused(f"'{lease.hostname}' is not a valid host name")
        if lease.hostname and (lease.hostname, address.version) in named:
            raise NetworkRefused(f"The host name '{lease.hostname}' is taken")
        seen.add((lease.mac, address.version))
        taken.add(lease.address)
        named[lease.hostname, address.version] = lease.mac


def _check_acls(acls: tuple[Acl, ...]) -> None:
    names: set[str] = set()
    if len(acls) > MOST_ACLS:
        raise NetworkRefused(f"A network has {MOST_ACLS} rules at most")
    for acl in acls:
        if not acl.name.strip() or len(acl.name) > LONGEST_NAME or not acl.name.isprintable():
            raise NetworkRefused("A rule needs a description of printable characters")
        if acl.name in names:
            raise NetworkRefused(f"A rule with description '{acl.name}' already exists!")
        if acl.direction not in ("in", "out"):
            raise NetworkRefused("The direction of a rule is in or out")
        names.add(acl.name)
        check_rule(acl.rule)


def _check_beside(record: VirtualNetworkRecord, other: VirtualNetworkRecord) -> None:
    if record.vni == other.vni:
        raise NetworkRefused(f"A network with VNI '{record.vni}' already exists!")
    if record.name == other.name:
        raise NetworkRefused(f"A network with description '{record.name}' already exists!")
    for mine in _networks_of(record):
        for theirs in _networks_of(other):
            if mine.version == theirs.version and mine.overlaps(theirs):
                raise NetworkRefused(f"{mine} overlaps {theirs} of the network '{other.name}'")
