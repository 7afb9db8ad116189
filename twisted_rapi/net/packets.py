"""
The packets by which an address is asked for and claimed: ARP (RFC 826, 5227) and neighbour discovery (RFC
4861, 4862), as whole Ethernet frames.  Pure.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

import attrs

BROADCAST = b"\xff" * 6
ETH_ARP = 0x0806
ETH_IPV6 = 0x86DD
_NOBODY = bytes(6)
_REQUEST, _REPLY = 1, 2
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_ICMPV6, _HOPS = 58, 255
_ROUTER, _SOLICITATION, _ADVERTISEMENT = 134, 135, 136
_OVERRIDE = 0x20000000
_TARGET_MAC = 2
ALL_NODES = IPv6Address("ff02::1")
_UNSPECIFIED = IPv6Address("::")

Address = IPv4Address | IPv6Address


@attrs.frozen
class Claim:
    """
    What a frame says of an address.

    :ivar mac: who says it.
    :ivar owns: that it has the address; otherwise that it is about to take it.
    """

    mac: bytes
    owns: bool


def mac_text(mac: bytes) -> str:
    """As people write it."""
    return mac.hex(":")


def group_of(address: IPv6Address) -> IPv6Address:
    """The solicited-node multicast address (RFC 4291 §2.7.1)."""
    return IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:])


def group_mac(group: IPv6Address) -> bytes:
    """The Ethernet address of a multicast group (RFC 2464 §7)."""
    return b"\x33\x33" + group.packed[12:]


def probes(mac: bytes, address: Address) -> tuple[bytes, ...]:
    """Frames that ask whether anybody has the address, and claim nothing yet."""
    if isinstance(address, IPv4Address):
        return (_arp(mac, _REQUEST, IPv4Address(0), _NOBODY, address),)
    group = group_of(address)
    body = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + address.packed
    return (_icmp(mac, _UNSPECIFIED, group, body),)


def announcements(mac: bytes, address: Address) -> tuple[bytes, ...]:
    """
    Frames that make everybody on the link send to `mac` from now on.

    For IPv4 both as a request, as RFC 5227 says, and as a reply, which some devices need.
    """
    if isinstance(address, IPv4Address):
        return (
            _arp(mac, _REQUEST, address, _NOBODY, address),
            _arp(mac, _REPLY, address, BROADCAST, address),
        )
    option = struct.pack("!BB6s", _TARGET_MAC, 1, mac)
    body = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, _OVERRIDE) + address.packed + option
    return (_icmp(mac, address, ALL_NODES, body),)


def retirement(mac: bytes, router: IPv6Address) -> bytes:
    """
    A frame that makes everybody on the link take a host no longer for a router (RFC 4861 §6.2.5).

    :param router: its link-local address.
    """
    return _icmp(mac, router, ALL_NODES, struct.pack("!BBHBBHII", _ROUTER, 0, 0, 0, 0, 0, 0, 0))


def claim_of(frame: bytes, address: Address) -> Claim | None:
    """What a frame says of the address; ``None`` for nothing, also where it is malformed."""
    if len(frame) < 14:
        return None
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETH_ARP and isinstance(address, IPv4Address):
        return _arp_claim(frame[14:], address)
    if kind == ETH_IPV6 and isinstance(address, IPv6Address):
        return _neighbour_claim(frame[6:12], frame[14:], address)
    return None


def _arp(mac: bytes, operation: int, sender: IPv4Address, target_mac: bytes, target: IPv4Address) -> bytes:
    ethernet = BROADCAST + mac + ETH_ARP.to_bytes(2, "big")
    return ethernet + _ARP.pack(1, 0x0800, 6, 4, operation, mac, sender.packed, target_mac, target.packed)


def _arp_claim(body: bytes, address: IPv4Address) -> Claim | None:
    if len(body) < _ARP.size:
        return None
    *kind, operation, mac, sender, _, target = _ARP.unpack_from(body)
    if kind != [1, 0x0800, 6, 4] or operation not in (_REQUEST, _REPLY):
        return None
    if sender == address.packed:
        return Claim(mac, owns=True)
    if operation == _REQUEST and sender == bytes(4) and target == address.packed:
        return Claim(mac, owns=False)
    return None


def _icmp(mac: bytes, source: IPv6Address, target: IPv6Address, body: bytes) -> bytes:
    checked = body[:2] + checksum(source, target, body).to_bytes(2, "big") + body[4:]
    header = _IPV6.pack(6 << 28, len(checked), _ICMPV6, _HOPS, source.packed, target.packed)
    return group_mac(target) + mac + ETH_IPV6.to_bytes(2, "big") + header + checked


def checksum(source: IPv6Address, target: IPv6Address, body: bytes) -> int:
    """Of an ICMPv6 message with its pseudo-header (RFC 4443 §2.3); 0 for one that has it right."""
    whole = source.packed + target.packed + struct.pack("!II", len(body), _ICMPV6) + body
    whole += bytes(len(whole) % 2)
    total: int = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _neighbour_claim(mac: bytes, packet: bytes, address: IPv6Address) -> Claim | None:
    if len(packet) < _IPV6.size + 24:
        return None
    _, length, following, hops, source, target = _IPV6.unpack_from(packet)
    body = packet[_IPV6.size : _IPV6.size + length]
    # A hop limit of 255 says that no router passed it on: it is from this link (RFC 4861 §7.1).
    if following != _ICMPV6 or hops != _HOPS or len(body) < 24 or body[8:24] != address.packed:
        return None
    if checksum(IPv6Address(source), IPv6Address(target), body):
        return None
    if body[0] == _ADVERTISEMENT:
        return Claim(_option(body[24:], _TARGET_MAC) or mac, owns=True)
    if body[0] == _SOLICITATION and source == _UNSPECIFIED.packed:
        return Claim(mac, owns=False)
    return None


def _option(options: bytes, wanted: int) -> bytes | None:
    while len(options) >= 8 and options[1]:
        if options[0] == wanted and options[1] == 1:
            return options[2:8]
        options = options[options[1] * 8 :]
    return None
