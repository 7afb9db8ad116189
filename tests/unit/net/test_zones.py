"""Tests of `twisted_rapi.net.zones` and `twisted_rapi.net.name_answers`."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.records import InstanceRecord, NicRecord
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, StaticLease
from twisted_rapi.net.name_answers import IN_ONE, NameAnswers
from twisted_rapi.net.zones import Row, Zone, answer, transferred, zones_of
from twisted_rapi.testing.contracts.virtual_networks import LAB, OFFICE

FLOATING = "192.0.2.100"
PEER = "192.0.2.53"


def lease(address: str, hostname: str, mac: str = "52:54:00:00:01:00", **more: Any) -> DhcpLeaseRecord:
    """A lease in the office."""
    return DhcpLeaseRecord(network="v1", address=address, mac=mac, hostname=hostname, **more)


def instance(name: str, mac: str, ip: str | None = None) -> InstanceRecord:
    """An instance with one NIC."""
    nics = (NicRecord(uuid="n", mac=mac, ip=ip),)
    return InstanceRecord(
        uuid=name, name=name, hypervisor="kvm", primary_node="p", disk_template="file", nics=nics
    )


LEASES = (
    lease("10.77.1.10", "db"),
    lease("fd00:77:1::10", "db"),
    lease("10.77.1.11", "", "52:54:00:00:01:01"),
    lease("10.77.1.5", "hacker", "52:54:00:00:00:05"),
    lease("10.77.1.12", "five", "52:54:00:00:01:02"),
    lease("10.77.1.13", "ns", "52:54:00:00:01:03"),
    lease("10.77.1.14", "a b", "52:54:00:00:01:04"),
    lease("10.77.1.15", "calls-itself", "52:54:00:00:02:01"),
)
INSTANCES = (
    instance("web.example.com", "52:54:00:00:02:01"),
    instance("mail.example.com", "52:54:00:00:02:02", "10.77.2.7"),
    instance("other.example.com", "52:54:00:00:02:03", "203.0.113.9"),
)


def zones(**more: Any) -> Mapping[str, Zone]:
    """The zones of an office and a lab."""
    given_one = {"networks": (OFFICE, LAB), "leases": LEASES, "instances": INSTANCES, "address": FLOATING}
    return zones_of(**{**given_one, **more})


def values(name: str, kind: str, found: Mapping[str, Zone] | None = None) -> list[str]:
    """What is answered."""
    return [row.value for row in answer(zones() if found is None else found, name, kind).rows]


class ZoneTests(SynchronousTestCase):
    """What is in the zones."""

    def test_hosts(self) -> None:
        """Leases of both kinds, static ones and instances have names, and their addresses lead back."""
        self.assertEqual(values("db.office.local", "A"), ["10.77.1.10"])
        self.assertEqual(values("db.office.local", "AAAA"), ["fd00:77:1::10"])
        self.assertEqual(values("five.office.local", "A"), ["10.77.1.5"])
        self.assertEqual(values("web.office.local", "A"), ["10.77.1.15"])
        self.assertEqual(values("mail.lab.local", "A"), ["10.77.2.7"])
        self.assertEqual(values("10.1.77.10.in-addr.arpa", "PTR"), ["db.office.local"])
        reverse = ".".join(reversed("fd00007700010000" + "0000000000000010")) + ".ip6.arpa"
        self.assertEqual(values(reverse, "PTR"), ["db.office.local"])

    def test_static(self) -> None:
        """A static lease without a host name has that of its instance, before any guest has asked for it."""
        static = tuple(
            StaticLease(mac=mac, address=address, hostname=name)
            for mac, address, name in (
                ("52:54:00:00:02:01", "10.77.1.6", ""),
                ("52:54:00:00:02:02", "10.77.1.7", "web"),
                ("52:54:00:00:02:03", "10.77.1.8", ""),
            )
        )
        found = zones(networks=(replace(OFFICE, static_leases=static),), leases=())
        self.assertEqual(values("other.office.local", "A", found), ["10.77.1.8"])
        self.assertEqual(values("8.1.77.10.in-addr.arpa", "PTR", found), ["other.office.local"])
        self.assertEqual(values("web.office.local", "A", found), ["10.77.1.7"])

    def test_no_theft(self) -> None:
        """A guest has neither the name of a static lease, nor that of an instance, nor the server's."""
        self.assertEqual(values("hacker.office.local", "ANY"), [])
        self.assertEqual(values("calls-itself.office.local", "ANY"), [])
        self.assertEqual(values("ns.office.local", "A"), [FLOATING])
        self.assertEqual(values("5.1.77.10.in-addr.arpa", "PTR"), ["five.office.local"])
        thief = (*LEASES, lease("10.77.1.16", "web", "52:54:00:00:09:09"))
        self.assertEqual(values("web.office.local", "A", zones(leases=thief)), ["10.77.1.15"])

    def test_no_theft_next_door(self) -> None:
        """Nor where that is in another network of the same domain, nor what others look for, nor a zone's."""
        lab = replace(LAB, domain=OFFICE.domain)
        guests = [
            DhcpLeaseRecord(network="v2", address=f"10.77.2.{n}", mac=f"52:54:00:00:08:0{n}", hostname=name)
            for n, name in enumerate(("web", "five", "wpad", "mine"), 3)
        ]
        found = zones(networks=(OFFICE, lab), leases=(*LEASES, *guests))
        self.assertEqual(values("web.office.local", "A", found), ["10.77.1.15"])
        self.assertEqual(values("five.office.local", "A", found), ["10.77.1.5"])
        self.assertEqual(values("wpad.office.local", "A", found), [])
        self.assertEqual(values("mine.office.local", "A", found), ["10.77.2.6"])
        inner = zones(networks=(OFFICE, replace(LAB, domain="db.office.local")))
        self.assertEqual(values("db.office.local", "A", inner), [])

    def test_servers(self) -> None:
        """The zone's servers are those that were named, or this one, with its address."""
        found = answer(zones(), "office.local", "NS")
        self.assertEqual([row.value for row in found.rows], ["ns.office.local"])
        self.assertEqual(found.more, (Row("ns.office.local", "A", FLOATING),))
        named = replace(OFFICE, name_servers=("9.9.9.9", "ns1.example.com"))
        self.assertEqual(values("office.local", "NS", zones(networks=(named,))), ["ns1.example.com"])
        alone = zones(address="")
        self.assertEqual(values("ns.office.local", "A", alone), ["10.77.1.1"])

    def test_not_there(self) -> None:
        """A name without such records, one that is not there, and one of others."""
        self.assertEqual(answer(zones(), "db.office.local", "MX").status, "well")
        self.assertEqual(answer(zones(), "77.10.in-addr.arpa", "A").status, "refused")
        unknown = answer(zones(), "nobody.office.local", "A")
        self.assertEqual((unknown.status, unknown.authority), ("unknown", (Row("office.local", "SOA", ""),)))
        for name in ("", "example.com", "local", "xoffice.local"):
            self.assertEqual(answer(zones(), name, "A").status, "refused", name)
        inner = zones(networks=(replace(OFFICE, domain="a.b"), replace(LAB, domain="b")))
        self.assertEqual(answer(inner, "db.a.b", "A").rows[0].value, "10.77.1.10")
        self.assertEqual(answer(inner, "a.b", "SOA").rows[0].name, "a.b")

    def test_transferred(self) -> None:
        """All of a zone, between two SOA records."""
        rows = transferred(zones(), "office.local") or ()
        self.assertEqual(rows[0], Row("office.local", "SOA", ""))
        self.assertEqual(rows[0], rows[-1])
        self.assertEqual(len({*rows}), len(rows) - 1)
        self.assertIn(Row("web.office.local", "A", "10.77.1.15"), rows)
        self.assertIsNone(transferred(zones(), "example.com"))

    @given(st.lists(st.builds(lease, st.ip_addresses().map(str), st.text(max_size=70), st.text(max_size=20))))
    def test_anything(self, leases: list[DhcpLeaseRecord]) -> None:
        """Whatever guests call themselves, each name can be asked for and be sent."""
        found = zones(leases=leases)
        answers = NameAnswers(lambda: (found, 1), [ip_network(PEER)])
        for zone in found:
            for packet in answers.respond(question(zone, dns.AXFR), PEER, True):
                dns.Message().fromStr(packet)


def question(name: str, kind: int, **more: Any) -> bytes:
    """A question as it is sent."""
    asked = dns.Message(id=7, recDes=1)
    asked.queries = [dns.Query(name.encode(), kind)]
    for key, value in more.items():
        setattr(asked, key, value)
    return bytes(asked.toStr())


class AnswerTests(SynchronousTestCase):
    """From bytes to bytes."""

    def setUp(self) -> None:
        self.found = zones()
        self.answers = NameAnswers(lambda: (self.found, 99), [ip_network("192.0.2.0/24")])

    def ask(self, packet: bytes, peer: str = PEER, stream: bool = False) -> dns.Message:
        """The one answer there is."""
        [told] = self.answers.respond(packet, peer, stream)
        found = dns.Message()
        found.fromStr(told)
        self.assertEqual((found.answer, found.recAv), (1, 0))
        return found

    def test_known(self) -> None:
        """An answer with authority and without recursion; letters' case does not matter and comes back."""
        found = self.ask(question("DB.Office.local", dns.A))
        self.assertEqual((found.id, found.rCode, found.auth, found.recDes), (7, dns.OK, 1, 1))
        row: Any = found.answers[0]
        self.assertEqual(len(found.answers), 1)
        self.assertEqual(row.payload.dottedQuad(), "10.77.1.10")
        self.assertEqual(found.queries[0].name.name, b"DB.Office.local")

    def test_not_there(self) -> None:
        """No such name, with the zone's SOA; no zone of ours: refused; another class: refused."""
        found = self.ask(question("x.office.local", dns.A))
        about: Any = found.authority[0]
        self.assertEqual((found.rCode, about.payload.serial), (dns.ENAME, 99))
        self.assertEqual(self.ask(question("example.com", dns.A)).rCode, dns.EREFUSED)
        chaos = dns.Query(b"db.office.local", dns.A, dns.CH)
        self.assertEqual(self.ask(question("x", dns.A, queries=[chaos])).rCode, dns.EREFUSED)

    def test_transfer(self) -> None:
        """A zone goes only to who may have it, by TCP, in as many messages as it takes."""
        asked = question("office.local", dns.AXFR)
        self.assertEqual(self.ask(asked).rCode, dns.EREFUSED)
        self.assertEqual(self.ask(asked, "203.0.113.5", True).rCode, dns.EREFUSED)
        self.assertEqual(self.ask(asked, "odd", True).rCode, dns.EREFUSED)
        self.assertEqual(self.ask(question("example.com", dns.AXFR), PEER, True).rCode, dns.EREFUSED)
        many = [lease(f"10.77.1.{n}", f"h{n}", f"52:54:00:00:07:{n:02x}") for n in range(20, 250)]
        self.found = zones(leases=many)
        packets = self.answers.respond(asked, f"::ffff:{PEER}", True)
        rows = []
        for packet in packets:
            found = dns.Message()
            found.fromStr(packet)
            rows += found.answers
        self.assertEqual(len(packets), -(-len(rows) // IN_ONE))
        self.assertEqual((rows[0].type, rows[-1].type), (dns.SOA, dns.SOA))
        self.assertGreater(len(rows), 230)

    def test_size(self) -> None:
        """What does not fit in a datagram is asked again by TCP; who says that he can take more gets more."""
        many = [lease(f"10.77.1.{n}", "big", "52:54:00:00:01:00") for n in range(20, 70)]
        self.found = zones(leases=many)
        asked = question("big.office.local", dns.A)
        short = self.ask(asked)
        self.assertEqual((short.trunc, short.answers), (1, []))
        self.assertEqual(len(self.ask(asked, stream=True).answers), 50)
        edns = dns.RRHeader(b"", 41, 4096, 0, dns.UnknownRecord(b""))
        more = self.ask(question("big.office.local", dns.A, additional=[edns]))
        self.assertEqual((more.trunc, len(more.answers)), (0, 50))
        self.assertEqual([each.type for each in more.additional], [41])

    def test_odd(self) -> None:
        """What is no question is not answered; what is an odd one is told so."""
        self.assertEqual(self.answers.respond(question("a.b", dns.A, answer=1), PEER, False), [])
        self.assertEqual(self.answers.respond(b"short", PEER, False), [])
        self.assertEqual(self.ask(question("a.b", dns.A, queries=[])).rCode, dns.EFORMAT)
        self.assertEqual(self.ask(question("a.b", dns.A, opCode=dns.OP_NOTIFY)).rCode, dns.ENOTIMP)
        self.assertEqual(self.ask(question("a.b", dns.A)[:-3]).rCode, dns.EFORMAT)

    @given(st.binary(max_size=600), st.booleans())
    def test_any_bytes(self, packet: bytes, stream: bool) -> None:
        """No packet is too odd: it is answered by something that can be read, or not at all."""
        for told in self.answers.respond(packet, PEER, stream):
            found = dns.Message()
            found.fromStr(told)
            self.assertEqual(told[:2], packet[:2])

    @given(st.data())
    def test_damaged(self, data: Any) -> None:
        """Questions with a few bytes changed, pointers in names that lead in circles among them."""
        packet = bytearray(question("db.office.local", data.draw(st.sampled_from([1, 6, 12, 252, 255]))))
        for _ in range(data.draw(st.integers(1, 4))):
            packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.sampled_from([0, 12, 192, 255]))
        for told in self.answers.respond(bytes(packet), PEER, True):
            dns.Message().fromStr(told)
