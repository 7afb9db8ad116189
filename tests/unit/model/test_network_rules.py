"""Tests of `twisted_rapi.model.network_rules`."""

from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.network_rules import (
    NetworkRefused,
    check_network,
    check_rule,
    completed,
    gateways,
    valid_mac,
    with_acl,
)
from twisted_rapi.model.virtual_network import Acl, StaticLease, VirtualNetworkRecord

NET = VirtualNetworkRecord(
    uuid="v1",
    name="office",
    kind="managed",
    vni=100,
    ip4_network="10.0.0.0/24",
    ip4_gateway="10.0.0.1",
    dhcp4=True,
    dhcp4_start="10.0.0.10",
    dhcp4_end="10.0.0.99",
    ip6_network="fd00:400::/64",
)
BRIDGED = VirtualNetworkRecord(uuid="v2", name="lan", kind="bridged", vni=7)
MAC = "52:54:00:00:00:01"
TEXT = st.text(max_size=30)


def lease(mac: str = MAC, address: str = "10.0.0.5", hostname: str = "") -> StaticLease:
    """A static lease."""
    return StaticLease(mac=mac, address=address, hostname=hostname)


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"name": ""}, "without whitespace"),
    ({"name": "a b"}, "without whitespace"),
    ({"name": "a\u2003b"}, "without whitespace"),
    ({"name": "a" * 129}, "without whitespace"),
    ({"name": "a/b"}, "slash"),
    ({"name": "123"}, "not a number"),
    ({"vni": 0}, "1 to 16777215"),
    ({"vni": 16777216}, "1 to 16777215"),
    ({"mtu": 1279}, "MTU"),
    ({"domain": "no_dots..x"}, "valid domain"),
    ({"domain": "-x.y"}, "valid domain"),
    ({"name_servers": ("a b",)}, "name server"),
    ({"ip4_network": "10.0.0.0"}, "CIDR"),
    ({"ip4_network": "10.0.0.7/24"}, "the network is 10.0.0.0/24"),
    ({"ip4_network": "10.0.0.0/31"}, "prefix"),
    ({"ip4_network": "x"}, "not a valid network"),
    ({"ip4_network": "fd00::/64"}, "IPv4"),
    ({"ip4_network": "127.0.0.0/24", "ip4_gateway": "127.0.0.1"}, "of hosts"),
    ({"ip4_network": ""}, "need an IPv4 network"),
    ({"ip4_gateway": ""}, "gateway is required"),
    ({"ip4_gateway": "10.0.1.1"}, "not in 10.0.0.0/24"),
    ({"ip4_gateway": "10.0.0.255"}, "broadcast"),
    ({"ip4_gateway": "999.1.1.1"}, "not a valid address"),
    ({"dhcp4_start": ""}, "start and end addresses are required"),
    ({"dhcp4_end": ""}, "start and end addresses are required"),
    ({"dhcp4_end": "10.0.1.5"}, "not in"),
    ({"dhcp4_end": "10.0.0.9"}, "before"),
    ({"ip6_network": "fd00::/63"}, "prefix"),
    ({"ip6_network": "fe80::/64"}, "of hosts"),
    ({"ip6_network": "", "ip6_gateway": "fd00::1"}, "needs an IPv6 network"),
    ({"ip6_gateway": "fd00:401::1"}, "not in"),
    ({"ip6_gateway": "fd00:400::1%eth0"}, "IPv6 address"),
    ({"static_leases": (lease(mac="x"),)}, "MAC"),
    ({"static_leases": (lease(mac="01:00:00:00:00:00"),)}, "of a NIC"),
    ({"static_leases": (lease(address="10.0.1.1"),)}, "not in"),
    ({"static_leases": (lease(address="10.0.0.1"),)}, "taken"),
    ({"static_leases": (lease(), lease(address="10.0.0.6"))}, "already exists"),
    ({"static_leases": (lease(), lease(mac="52:54:00:00:00:02"))}, "taken"),
    ({"static_leases": (lease(hostname="a.b"),)}, "host name"),
    ({"static_leases": (lease(hostname="ignore"),)}, "host name"),
    ({"static_leases": (lease(hostname="12h"),)}, "host name"),
    ({"static_leases": (lease(hostname="a"), lease("52:54:00:00:00:02", "10.0.0.6", "A"))}, "taken"),
    ({"acls": (Acl(name="a", direction="in", rule="accept; flush ruleset"),)}, "no ;"),
    ({"acls": (Acl(name=" ", direction="in", rule="accept"),)}, "description"),
    ({"acls": (Acl(name="a", direction="in", rule="accept"),) * 2}, "already exists"),
)


class NetworkTests(SynchronousTestCase):
    """Which networks there can be."""

    def test_completed(self) -> None:
        """What was left to us is filled in, all is written in one way, and what comes out makes sense."""
        given_one = replace(NET, ip6_network="FD00:400:0::/64", static_leases=(lease(MAC.upper()),))
        found = completed(given_one)
        check_network(found)
        self.assertEqual(found.domain, "office.local")
        self.assertEqual((found.ip6_network, found.ip6_gateway), ("fd00:400::/64", "fd00:400::1"))
        self.assertEqual(found.static_leases, (lease(),))
        self.assertEqual(completed(found), found)
        self.assertEqual(gateways(found), ("10.0.0.1/24", "fd00:400::1/64"))
        self.assertTrue(found.dhcp6)

    def test_refused(self) -> None:
        """Whatever makes no sense is refused, and the text says what it is."""
        for changes, text in REFUSED:
            with self.assertRaises(NetworkRefused, msg=changes) as caught:
                check_network(completed(replace(NET, **changes)))
            self.assertIn(text, str(caught.exception), changes)

    def test_bridged(self) -> None:
        """A VLAN has an id of its own range, and nothing of a managed network."""
        check_network(completed(BRIDGED))
        with self.assertRaisesRegex(NetworkRefused, "1 to 4094"):
            check_network(replace(BRIDGED, vni=4095))
        for changes in ({"domain": "x"}, {"ip4_network": "10.0.0.0/24"}, {"static_leases": (lease(),)}):
            with self.assertRaisesRegex(NetworkRefused, "bridged network has no"):
                check_network(replace(BRIDGED, **changes))

    def test_beside(self) -> None:
        """Ids, names and addresses belong to one network; a network is not beside itself."""
        other = completed(NET)
        mine = replace(other, uuid="v3", vni=101, name="lab", ip4_network="", ip4_gateway="", ip6_network="")
        mine = replace(mine, dhcp4=False, dhcp4_start="", dhcp4_end="", ip6_gateway="")
        check_network(mine, [other, mine])
        for changes, text in (
            ({"vni": 100}, "A network with VNI '100' already exists!"),
            ({"name": "office"}, "A network with description 'office' already exists!"),
            ({"ip4_network": "10.0.0.128/25", "ip4_gateway": "10.0.0.129"}, "overlaps"),
            ({"ip6_network": "fd00:400::/72", "ip6_gateway": "fd00:400::9"}, "overlaps"),
        ):
            with self.assertRaisesRegex(NetworkRefused, text):
                check_network(replace(mine, **changes), [other])

    @given(
        name=TEXT,
        vni=st.integers(),
        domain=TEXT,
        network=TEXT | st.ip_addresses().map(str),
        start=TEXT | st.ip_addresses(network="10.0.0.0/24").map(str),
        mac=TEXT,
        rule=TEXT,
    )
    def test_anything(
        self, name: str, vni: int, domain: str, network: str, start: str, mac: str, rule: str
    ) -> None:
        """Whatever is given is accepted, and then holds together, or refused in words."""
        record = replace(NET, name=name, vni=vni, domain=domain, ip6_network=network, dhcp4_start=start)
        leases = (lease(mac),) if mac else ()
        acls = (Acl(name="a", direction="in", rule=rule),) if rule else ()
        try:
            found = completed(replace(record, static_leases=leases, acls=acls))
            check_network(found)
        except NetworkRefused as e:
            self.assertTrue(str(e))
            return
        self.assertIn(ip_address(found.dhcp4_start), ip_network(found.ip4_network))
        self.assertLessEqual(IPv4Address(found.dhcp4_start), IPv4Address(found.dhcp4_end))
        self.assertNotIn("\n", found.domain + found.name + rule)


class RuleTests(SynchronousTestCase):
    """Texts of rules and their order."""

    def test_rules(self) -> None:
        """What people write is taken."""
        for text in (
            "tcp dport 25 drop",
            "ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport 1-1024 counter accept",
            'log prefix "all; of # it: " accept',
            "ct state established,related accept",
        ):
            check_rule(text)

    def test_more_than_a_rule(self) -> None:
        """What could end the rule, or bring in something else, is refused."""
        for text in (
            *(
                "",
                "  ",
                "accept\ndrop",
                "accept;drop",
                "} chain x { accept",
                "accept }",
                "{",
                'log prefix "a',
            ),
            *("accept # x", "accept \\", 'include "/etc/passwd"', "$x accept", "ip saddr @s", "x" * 1001),
            *('log prefix "a" include "/etc/x"', "accept\u2028drop", "define x = 1", "acc\x00ept"),
        ):
            self.assertRaises(NetworkRefused, check_rule, text)

    def test_order(self) -> None:
        """A rule comes to its place, others move on; the other direction is not touched."""
        found = replace(NET, acls=(Acl(name="o", direction="out", rule="accept"),))
        for name, order in (("a", None), ("c", 99), ("b", 1), ("first", 0), ("last", -1)):
            found = with_acl(found, Acl(name=name, direction="in", rule="accept"), order)
        self.assertEqual([acl.name for acl in found.acls_of("in")], ["first", "a", "b", "c", "last"])
        self.assertEqual([acl.name for acl in found.acls_of("out")], ["o"])
        with self.assertRaisesRegex(NetworkRefused, "already exists"):
            with_acl(found, Acl(name="o", direction="in", rule="accept"))

    @given(st.lists(st.tuples(st.sampled_from(["in", "out"]), st.integers(-2, 8)), max_size=12))
    def test_orders(self, wanted: list[tuple[Any, int]]) -> None:
        """As inserting into two lists would do."""
        found, lists = NET, {"in": [], "out": []}  # type: tuple[VirtualNetworkRecord, dict[str, list[str]]]
        for n, (direction, order) in enumerate(wanted):
            rows = lists[direction]
            rows.insert(order if 0 <= order < len(rows) else len(rows), str(n))
            found = with_acl(found, Acl(name=str(n), direction=direction, rule="accept"), order)
        for direction, rows in lists.items():
            self.assertEqual([acl.name for acl in found.acls_of(direction)], rows)  # type: ignore[arg-type]

    def test_mac(self) -> None:
        """Addresses of NICs are written in lower case; groups' and odd ones are refused."""
        self.assertEqual(valid_mac(" 52:54:00:AA:00:01 "), "52:54:00:aa:00:01")
        for text in ("", "52:54:00:aa:00", "52-54-00-aa-00-01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"):
            self.assertRaises(NetworkRefused, valid_mac, text)
