"""Tests of `twisted_rapi.plan.pvc.network`."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.network_rules import NetworkRefused, check_network, completed
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, VirtualNetworkRecord
from twisted_rapi.plan.pvc import network as pvc
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.testing.contracts.virtual_networks import OFFICE

BASE = {"vni": "400", "description": "net", "nettype": "managed"}
NUMBERS = ("", "0", "1", "-1", "400", "9" * 5000, "x", "٣")
ADDRESSES = (
    *("10.4.0.0/24", "10.4.0.1", "10.4.0.9/24", "fd00:4::/64", "fd00:4::1", "fd00:5::1", "::", "0.0.0.0/0"),
    *("fe80::1%eth0", "1.1.1.1,ns.example.com", "a b", "\0"),
)
ODD = st.sampled_from(NUMBERS + ADDRESSES) | st.text(max_size=8)
TEXTS = ("vni", "description", "mtu", "name_servers", *pvc._TEXTS)
VALUES = st.fixed_dictionaries(
    {"vni": ODD, "description": ODD, "nettype": st.sampled_from(sorted(pvc.KINDS))},
    optional={**dict.fromkeys(TEXTS[2:], ODD), "dhcp4": st.booleans()},
)


def made(dialect: Dialect = Dialect.V1_0, **values: Any) -> VirtualNetworkRecord:
    """A network as it is asked for."""
    return pvc.made({**BASE, **values}, dialect)


class MadeTests(SynchronousTestCase):
    """From values to networks."""

    def test_managed(self) -> None:
        """All values of a managed network have their place."""
        found = made(
            domain="x.example",
            name_servers=" 1.1.1.1, ,ns.example.com,1.1.1.1",
            ip4_network="10.4.0.0/24",
            ip4_gateway="10.4.0.1",
            dhcp4=True,
            dhcp4_start="10.4.0.100",
            dhcp4_end="10.4.0.199",
            ip6_network="fd00:4::/64",
            mtu="1400",
        )
        self.assertEqual((found.vni, found.name, found.kind, found.mtu), (400, "net", "managed", 1400))
        self.assertEqual(found.name_servers, ("1.1.1.1", "ns.example.com"))
        whole = completed(found)
        check_network(whole)
        self.assertEqual(whole.ip6_gateway, "fd00:4::1")

    def test_bridged(self) -> None:
        """What only managed networks have is given to others in vain; an MTU is not."""
        found = made(nettype="bridged", ip4_network="nonsense", dhcp4=True, domain="x", mtu="9000")
        self.assertEqual(found, replace(found, ip4_network="", dhcp4=False, domain="", mtu=9000))
        check_network(found)

    def test_numbers(self) -> None:
        """What is no number is refused, and so is one without end."""
        for text in ("abc", "", "-1", "1.5", "9" * 5000, "٣"):
            with self.assertRaises(NetworkRefused):
                made(vni=text)
        with self.assertRaises(NetworkRefused):
            made(mtu="big")

    def test_gateway6(self) -> None:
        """A gateway that cannot be gives way in the oldest dialect, and is refused in others."""
        for gateway in ("", "nonsense", "fd00:5::1", "10.4.0.1"):
            found = made(Dialect.SEED, ip6_network="fd00:4::/64", ip6_gateway=gateway)
            self.assertEqual(completed(found).ip6_gateway, "fd00:4::1")
        found = made(Dialect.SEED, ip6_network="fd00:4::/64", ip6_gateway="fd00:4::9")
        self.assertEqual(completed(found).ip6_gateway, "fd00:4::9")
        with self.assertRaises(NetworkRefused):
            check_network(completed(made(ip6_network="fd00:4::/64", ip6_gateway="fd00:5::1")))

    def test_changed(self) -> None:
        """Only what is given changes, and what depends on it."""
        self.assertEqual(pvc.changed(OFFICE, {}, Dialect.V1_0), {})
        found = pvc.changed(OFFICE, {"description": "b", "domain": "x", "mtu": ""}, Dialect.V1_0)
        self.assertEqual(found, {"name": "b", "domain": "x", "mtu": 0})
        found = pvc.changed(OFFICE, {"ip6_network": "fd00:9::/64"}, Dialect.V0_6)
        self.assertEqual(completed(replace(OFFICE, **found)).ip6_gateway, "fd00:9::1")
        found = pvc.changed(OFFICE, {"ip4_network": "", "ip6_network": ""}, Dialect.V1_0)
        without = completed(replace(OFFICE, static_leases=(), **found))
        check_network(without)
        self.assertEqual((without.dhcp4, without.ip4_gateway, without.dhcp6), (False, "", False))

    @settings(max_examples=60, deadline=None)
    @given(VALUES, st.sampled_from(Dialect))
    def test_odd(self, values: dict[str, Any], dialect: Dialect) -> None:
        """Whatever is given is a network that makes sense and is shown as given, or refused."""
        try:
            found = completed(pvc.made(values, dialect))
            check_network(found)
        except NetworkRefused:
            return
        shown = pvc.info(found, dialect)
        self.assertEqual((str(shown["vni"]), shown["description"]), (str(found.vni), values["description"]))
        self.assertEqual(pvc.find([found], str(found.vni)), found)
        self.assertEqual(pvc.find([found], found.name), found)

    @settings(max_examples=60, deadline=None)
    @given(VALUES, st.sampled_from(Dialect))
    def test_odd_changes(self, values: dict[str, Any], dialect: Dialect) -> None:
        """Whatever is given changes a network to one that makes sense, or is refused."""
        try:
            found = completed(replace(OFFICE, **pvc.changed(OFFICE, values, dialect)))
            check_network(found)
        except NetworkRefused:
            return
        self.assertEqual((found.vni, found.kind, found.acls), (OFFICE.vni, OFFICE.kind, OFFICE.acls))


class ShownTests(SynchronousTestCase):
    """From networks to what is shown."""

    def test_forms(self) -> None:
        """The oldest dialect has texts only, later ones numbers and name servers, the newest an MTU."""
        seed, middle, newest = (pvc.info(OFFICE, dialect) for dialect in Dialect)
        self.assertEqual((seed["vni"], middle["vni"], newest["mtu"]), ("101", 101, ""))
        self.assertEqual(set(middle) - set(seed), {"name_servers"})
        self.assertEqual(set(newest) - set(middle), {"mtu"})
        self.assertEqual(middle["name_servers"], [""])
        self.assertEqual(pvc.info(replace(OFFICE, mtu=1400), Dialect.V1_0)["mtu"], "1400")

    def test_nothing(self) -> None:
        """What there is not is the word for it."""
        bare = VirtualNetworkRecord(uuid="b", name="b", kind="bridged", vni=7)
        found = pvc.info(bare, Dialect.V0_6)
        self.assertEqual({*found["ip4"].values(), *found["ip6"].values(), found["domain"]}, {"None", "False"})

    def test_leases(self) -> None:
        """Static ones come first; one that was also given is shown once, those of IPv6 are not."""
        lease = DhcpLeaseRecord(
            network=OFFICE.uuid, address="10.77.1.10", mac="52:54:00:00:00:01", expires=9.5
        )
        others = (
            replace(lease, address="10.77.1.5", mac="52:54:00:00:00:05"),
            replace(lease, address="fd00:77:1::5"),
            replace(lease, network="other"),
        )
        found = pvc.leases(OFFICE, (lease, *others))
        self.assertEqual(
            [(e.address, e.until) for e in found], [("10.77.1.5", "static"), ("10.77.1.10", "9")]
        )
        self.assertEqual(
            [found[0].called(text) for text in ("FIVE", "10.77.1.5", "", "six")], [True, True, False, False]
        )
        self.assertFalse(found[1].called(""))

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(pvc.DIRECTIONS), st.integers(0, 3)), max_size=12))
    def test_rules(self, asked: list[tuple[Any, int]]) -> None:
        """Rules of a direction are numbered from 0 in the order in which they are judged."""
        acls = tuple(Acl(name=f"r{n}", direction=way, rule=f"rule {n}") for n, (way, _) in enumerate(asked))
        rows = pvc.acls(replace(OFFICE, acls=acls))
        for direction in pvc.DIRECTIONS:
            mine = [row for row in rows if row["direction"] == direction]
            self.assertEqual([row["order"] for row in mine], list(range(len(mine))))
            names = [acl.name for acl in acls if acl.direction == direction]
            self.assertEqual([row["description"] for row in mine], names)
