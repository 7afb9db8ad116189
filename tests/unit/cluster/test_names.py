"""Tests of `twisted_rapi.cluster.names`; what it answers on sockets is tested by functional ones."""

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.names import Names, NameService, as_dnsmasq, name_service
from twisted_rapi.config import DnsSection
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import InstanceRecord, LeftoverRecord, NicRecord
from twisted_rapi.model.virtual_network import DhcpLeaseRecord
from twisted_rapi.state.snapshot import Snapshot, load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.contracts.virtual_networks import OFFICE
from twisted_rapi.testing.memory_store import MemoryStore

LEASE = DhcpLeaseRecord(network="v1", address="10.77.1.10", mac="52:54:00:00:01:00", hostname="db")
INSTANCE = InstanceRecord(
    uuid="i",
    name="web",
    hypervisor="kvm",
    primary_node="n",
    disk_template="diskless",
    nics=(NicRecord(uuid="c", mac="52:54:00:00:02:00", ip="10.77.1.9"),),
)
LEFTOVER = LeftoverRecord(uuid="l", node="n", reason="", steps=())


class NamesTests(SynchronousTestCase):
    """Zones follow the records."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.put(OFFICE)
        self.snapshot: Snapshot = self.successResultOf(Deferred.fromCoroutine(load(self.store, Clock())))
        self.snapshot.startService()
        self.addCleanup(self.snapshot.stopService)

    def put(self, *records: Record) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.store.commit(commit_of(records))))

    def test_number(self) -> None:
        """It grows as the zones change, with nothing else; the next master's is no less."""
        names = Names(self.snapshot, "192.0.2.100")
        self.snapshot.observe(names.changed)
        zones, first = names.zones()
        self.assertIn("office.local", zones)
        self.put(LEFTOVER)
        self.assertEqual(names.zones(), (zones, first))
        self.put(OFFICE)
        self.assertEqual(names.zones()[1], first)
        self.put(LEASE)
        found, second = names.zones()
        self.assertGreater(second, first)
        self.assertIn(("db.office.local", "A"), found["office.local"].hosts)
        following, third = Names(self.snapshot, "192.0.2.100").zones()
        self.assertEqual(following, found)
        self.assertGreaterEqual(third, second)

    def test_made_anew(self) -> None:
        """Zones are made anew where something they show has changed, and for nothing else."""
        names = Names(self.snapshot, "192.0.2.100")
        self.snapshot.observe(names.changed)
        self.put(LEASE, INSTANCE)
        zones, _ = names.zones()
        self.put(replace(LEASE, expires=99.0), replace(INSTANCE, admin_state="up"), replace(OFFICE, acls=()))
        self.assertIs(names.zones()[0], zones)
        for changed in (
            replace(LEASE, hostname="other"),
            replace(INSTANCE, name="mail"),
            replace(INSTANCE, nics=()),
            replace(OFFICE, static_leases=()),
        ):
            self.put(changed)
            before, zones = zones, names.zones()[0]
            self.assertIsNot(zones, before)

    def test_configured(self) -> None:
        """There is a server where the configuration says so, and dnsmasq is told of it in its own way."""
        self.assertIsNone(name_service(None, DnsSection(), self.snapshot))
        section = DnsSection(listen="192.0.2.100:53", transfer=("192.0.2.0/24",))
        self.assertIsInstance(name_service(None, section, self.snapshot), NameService)
        for listen, text in (
            ("", ""),
            ("192.0.2.100:53", "192.0.2.100"),
            ("[2001:db8::1]:5353", "2001:db8::1#5353"),
        ):
            self.assertEqual(as_dnsmasq(listen), text)
