"""Tests of `twisted_rapi.net.dnsmasq` and `twisted_rapi.net.ruleset`."""

from ipaddress import ip_address, ip_network
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.test_topology import bridged, managed
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, StaticLease
from twisted_rapi.net.dnsmasq import (
    configuration,
    hosts,
    lease_file,
    mac_of,
    read_leases,
    reverse_zones,
    served,
)
from twisted_rapi.net.ruleset import digest, digest_of, removal, ruleset, table_of, trial, vni_of

NET = managed(
    1,
    dhcp4=True,
    dhcp4_start="10.0.1.10",
    dhcp4_end="10.0.1.99",
    ip6_network="fd00:1::/64",
    mtu=1400,
    static_leases=(
        StaticLease(mac="52:54:00:00:00:01", address="10.0.1.5", hostname="web"),
        StaticLease(mac="52:54:00:00:00:01", address="fd00:1::5"),
        StaticLease(mac="52:54:00:00:00:02", address="10.0.1.6"),
    ),
    acls=(
        Acl(name="a", direction="in", rule="tcp dport 25 drop"),
        Acl(name="b", direction="out", rule="drop"),
    ),
)
FOLDER = Path("/run/net/101")
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
HEX = st.binary(min_size=4, max_size=12).map(lambda raw: raw.hex(":"))


class ConfigurationTests(SynchronousTestCase):
    """What dnsmasq is told."""

    def test_both(self) -> None:
        """DHCPv4 in its range, IPv6 addresses by DHCPv6 and by the clients, options, the MTU."""
        lines = configuration(NET, FOLDER, 1400).splitlines()
        for line in (
            "interface=vmbr101",
            "dhcp-range=10.0.1.10,10.0.1.99,255.255.255.0,48h",
            "dhcp-range=fd00:1::2,fd00:1::ffff:ffff:ffff:ffff,slaac,64,24h",
            "dhcp-option=option:router,10.0.1.1",
            "dhcp-option=option:dns-server,10.0.1.1",
            "dhcp-option=option6:dns-server,[fd00:1::1]",
            "dhcp-option=26,1400",
            "ra-param=vmbr101,mtu:1400,60,180",
            "local=/net1.local/",
            "enable-ra",
            "dhcp-leasefile=/run/net/101/leases",
        ):
            self.assertIn(line, lines)

    def test_less(self) -> None:
        """Without DHCP only static leases are given; without IPv6 nothing is advertised; bridged: nothing."""
        text = configuration(replace(NET, dhcp4=False, ip6_network="", ip6_gateway=""), FOLDER, 1400)
        self.assertIn("dhcp-range=10.0.1.0,static,255.255.255.0,48h\n", text)
        self.assertNotIn("enable-ra", text)
        text = configuration(managed(2), FOLDER, 1450)
        self.assertNotIn("dhcp-range", text)
        self.assertFalse(served(bridged(1)))
        self.assertFalse(served(managed(1, ip4_network="", ip4_gateway="")))
        text = configuration(managed(1, ip6_network="fd00:1::/96"), FOLDER, 1450)
        self.assertIn("dhcp-range=fd00:1::2,fd00:1::ffff:ffff,96,24h", text)

    def test_name_servers(self) -> None:
        """Clients are told the addresses that were given, in place of the gateway."""
        text = configuration(
            replace(NET, name_servers=("9.9.9.9", "ns.example.com", "fd00::53")), FOLDER, 1400
        )
        self.assertIn("dns-server,9.9.9.9\n", text)
        self.assertIn("dns-server,[fd00::53]\n", text)

    def test_elsewhere(self) -> None:
        """Names and addresses of all the cluster's networks are asked at the authoritative server."""
        text = configuration(NET, FOLDER, 1400, [managed(2), managed(3)], "192.0.2.100")
        for zone in ("net1.local", "net3.local", "2.0.10.in-addr.arpa"):
            self.assertIn(f"server=/{zone}/192.0.2.100\n", text)
        self.assertNotIn("local=/", text)

    def test_hosts(self) -> None:
        """A line for each NIC, with all its addresses."""
        self.assertEqual(
            hosts(NET), "52:54:00:00:00:01,10.0.1.5,[fd00:1::5],web\n52:54:00:00:00:02,10.0.1.6\n"
        )

    @settings(max_examples=60)
    @given(st.ip_addresses().map(str), st.integers(8, 120))
    def test_reverse_zones(self, text: str, length: int) -> None:
        """Each address of a network is in just one of its reverse zones, unless they are whole octets."""
        found = ip_network((text, min(length, 30) if ":" not in text else length), strict=False)
        zones = reverse_zones(str(found))
        for address in (found.network_address, found.broadcast_address, ip_address(text)):
            name = address.reverse_pointer
            self.assertEqual(sum(name.endswith("." + zone) for zone in zones), 1, (found, zones))
        self.assertLessEqual(len(zones), 128)


class LeaseTests(SynchronousTestCase):
    """The file dnsmasq keeps leases in."""

    @settings(max_examples=60)
    @given(
        st.lists(
            st.builds(
                DhcpLeaseRecord,
                network=st.just("v1"),
                address=st.ip_addresses(v=4).map(str),
                mac=MACS,
                hostname=st.sampled_from(["", "web", "db-1"]),
                expires=st.integers(0, 1 << 40).map(float),
                client=st.just("*") | HEX,
            ),
            unique_by=lambda lease: lease.address,
        ),
        st.lists(
            st.builds(
                DhcpLeaseRecord,
                network=st.just("v1"),
                address=st.ip_addresses(v=6).map(str),
                expires=st.integers(0, 1 << 40).map(float),
                client=HEX,
                association=st.sampled_from(["7", "T9"]),
                server=st.just("00:01:00:01:aa"),
            ),
            unique_by=lambda lease: lease.address,
        ),
    )
    def test_round_trip(self, four: list[DhcpLeaseRecord], six: list[DhcpLeaseRecord]) -> None:
        """What is written is read again."""
        six = [replace(lease, mac=mac_of(lease.client)) for lease in six]
        text = lease_file([*four, *six])
        self.assertEqual({e.uuid: e for e in read_leases(text, "v1")}, {e.uuid: e for e in (*four, *six)})

    def test_as_seen(self) -> None:
        """As dnsmasq 2.90 writes them; what is not whole is left out."""
        text = (
            "1700000000 52:54:00:AA:00:01 10.0.1.20 Web01 01:52:54:00:aa:00:01\n"
            "0 06-52:54:00:aa:00:02 10.0.1.21 * *\n"
            "duid 00:01:00:01:2c:aa:bb:cc:52:54:00:00:00:99\n"
            "1700000001 5439489 fd00:1::77 db 00:01:00:01:2c:00:00:00:52:54:00:aa:00:03\n"
            "garbage\n\n1 2 3 4 5\n"
            "1700000000 52:54:00:aa:00:04 10.0.1.2"
        )
        web, plain, db = read_leases(text, "v1")
        self.assertEqual((web.mac, web.hostname, web.expires), ("52:54:00:aa:00:01", "web01", 1.7e9))
        self.assertEqual((plain.mac, plain.hostname, plain.expires), ("52:54:00:aa:00:02", "", 0.0))
        self.assertEqual((db.mac, db.association), ("52:54:00:aa:00:03", "5439489"))
        self.assertTrue(db.server.startswith("00:01:00:01:2c"))

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """No file is too odd to be read."""
        for lease in read_leases(text, "v1"):
            self.assertEqual(str(ip_address(lease.address)), lease.address)


class RulesetTests(SynchronousTestCase):
    """What nft is told."""

    def test_order(self) -> None:
        """A transaction that replaces the network's own table; rules of both directions in their order."""
        lines = ruleset(NET).splitlines()
        self.assertEqual(lines[:3], [f"{word} table inet rapi_net_101" for word in ("add", "delete", "add")])
        self.assertTrue(all(" inet rapi_net_101" in line for line in lines))
        self.assertIn("add rule inet rapi_net_101 acl_in counter tcp dport 25 drop", lines)
        self.assertIn("add rule inet rapi_net_101 acl_out counter drop", lines)
        drop = lines.index("add rule inet rapi_net_101 input counter drop")
        self.assertTrue(any("53, 67" in line for line in lines[:drop]))
        self.assertEqual(removal(101).splitlines(), lines[:2])
        jumps = [line.partition(" forward ")[2] for line in lines if "jump" in line]
        self.assertEqual(
            jumps,
            [
                'iifname != "vmbr101" oifname "vmbr101" jump acl_in',
                'iifname "vmbr101" oifname != "vmbr101" jump acl_out',
            ],
        )

    def test_digest(self) -> None:
        """It changes with the rules and is found in the table again."""
        other = replace(NET, acls=NET.acls[::-1])
        swapped = replace(NET, acls=(replace(NET.acls[0], name="z"), NET.acls[1]))
        same = replace(NET, name="other", ctime=5.0)
        self.assertEqual(digest(NET), digest(same))
        self.assertEqual(digest(NET), digest(swapped))
        self.assertNotEqual(digest(NET), digest(replace(NET, acls=NET.acls[:1])))
        self.assertNotEqual(digest(NET), digest(other))
        chain = ruleset(NET).splitlines()[-1].split()[-1]
        self.assertEqual(digest_of(chain), digest(NET))
        self.assertIsNone(digest_of("input"))

    def test_names(self) -> None:
        """Tables of others are not taken for ours."""
        self.assertEqual(vni_of(table_of(16777215)), 16777215)
        for name in ("filter", "rapi_net_", "rapi_net_x", "rapi_net_trial", "my_rapi_net_1"):
            self.assertIsNone(vni_of(name))

    def test_trial(self) -> None:
        """Rules are tried in a table that is nobody's."""
        self.assertIn("rapi_net_trial acl_out counter drop", trial(NET.acls))
