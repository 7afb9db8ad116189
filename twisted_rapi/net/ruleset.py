"""
The nftables ruleset of a virtual network.  Pure.

Each network has a table of its own, replaced as a whole in one transaction: all of it holds, or what was
before.  What passes its gateway goes through its ACLs in their order; what is meant for the node that has the
gateway is answered as far as hosts need it: ICMP, DNS, DHCP and NTP.
"""

import re
from collections.abc import Iterator
from hashlib import sha256

from twisted_rapi.model.virtual_network import Acl, VirtualNetworkRecord
from twisted_rapi.net.dnsmasq import bridge_of

_TABLE = "rapi_net_"
_MADE = "made_"
_NUMBER = re.compile(rf"{_TABLE}(\d+)")
_ANSWERED = (
    "ct state established,related accept",
    "meta l4proto { icmp, ipv6-icmp } accept",
    "udp dport { 53, 67, 123 } accept",
    "tcp dport 53 accept",
    "meta nfproto ipv6 udp dport 547 accept",
)


def table_of(vni: int) -> str:
    """The name of a network's table, of the family ``inet``."""
    return f"{_TABLE}{vni}"


def vni_of(table: str) -> int | None:
    """Whose table has this name; ``None``: not one of ours."""
    found = _NUMBER.fullmatch(table)
    return int(found[1]) if found else None


def digest_of(chain: str) -> str | None:
    """What the name of a table's chain says about how the table was made; ``None`` for the other chains."""
    return chain.removeprefix(_MADE) if chain.startswith(_MADE) else None


def digest(network: VirtualNetworkRecord) -> str:
    """Two networks have the same one if, and only if, their rulesets are the same."""
    return sha256("\n".join(_lines(network)).encode()).hexdigest()[:24]


def ruleset(network: VirtualNetworkRecord) -> str:
    """What ``nft -f`` replaces the table with, whether there is one or not."""
    table = f"inet {table_of(network.vni)}"
    lines = [*_removal(table), *_lines(network), f"add chain {table} {_MADE}{digest(network)}"]
    return "\n".join(lines) + "\n"


def removal(vni: int) -> str:
    """What ``nft -f`` removes the table with, whether there is one or not."""
    return "\n".join(_removal(f"inet {table_of(vni)}")) + "\n"


def trial(acls: tuple[Acl, ...]) -> str:
    """What ``nft -f`` judges rules by: a table with nothing else, where they are reached as in a real one."""
    table, bridge = f"inet {_TABLE}trial", '"nobody"'
    return "\n".join([f"add table {table}", *_forwarding(table, bridge, acls)]) + "\n"


def _removal(table: str) -> Iterator[str]:
    # What is not there cannot be deleted, and what is there can be added again.
    yield f"add table {table}"
    yield f"delete table {table}"


def _lines(network: VirtualNetworkRecord) -> Iterator[str]:
    table, bridge = f"inet {table_of(network.vni)}", f'"{bridge_of(network)}"'
    yield f"add table {table}"
    yield _hook(table, "input")
    yield f"add rule {table} input iifname != {bridge} accept"
    for rule in _ANSWERED:
        yield f"add rule {table} input {rule}"
    yield f"add rule {table} input counter drop"
    yield from _forwarding(table, bridge, network.acls)


def _hook(table: str, hook: str) -> str:
    return f"add chain {table} {hook} {{ type filter hook {hook} priority 0; policy accept; }}"


def _forwarding(table: str, bridge: str, acls: tuple[Acl, ...]) -> Iterator[str]:
    """What passes the gateway, and the rules about it."""
    yield _hook(table, "forward")
    for direction in ("in", "out"):
        yield f"add chain {table} acl_{direction}"
        yield f"add rule {table} acl_{direction} counter"
    # Where the kernel shows bridged frames here, too (br_netfilter), those stay on the bridge.
    yield f"add rule {table} forward iifname != {bridge} oifname {bridge} jump acl_in"
    yield f"add rule {table} forward iifname {bridge} oifname != {bridge} jump acl_out"
    for acl in acls:
        yield f"add rule {table} acl_{acl.direction} counter {acl.rule}"
