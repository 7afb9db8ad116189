"""Tests of `twisted_rapi.cluster.names` on sockets."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.client import Resolver
from twisted.names.error import DNSQueryRefusedError
from twisted.trial.unittest import TestCase

from twisted_rapi.cluster.names import NameService
from twisted_rapi.model.virtual_network import DhcpLeaseRecord
from twisted_rapi.state.snapshot import load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.contracts.virtual_networks import OFFICE
from twisted_rapi.testing.memory_store import MemoryStore

LEASE = DhcpLeaseRecord(network="v1", address="10.77.1.10", mac="52:54:00:00:01:00", hostname="db")


class NameServiceTests(TestCase):
    """Questions by UDP and TCP."""

    async def test_asked(self) -> None:
        """
        A lease is known as soon as it is kept, the zone's number has grown, a transfer brings the zone, and
        nothing listens any more afterwards.
        """
        store = MemoryStore()
        await store.commit(commit_of([OFFICE]))
        snapshot = await load(store, Clock())
        snapshot.startService()
        self.addCleanup(snapshot.stopService)
        service = NameService(reactor, snapshot, "127.0.0.1", 0, ("127.0.0.0/8",))
        service.startService()
        udp, tcp = (port.getHost().port for port in service.listener.ports)
        self.assertEqual(udp, tcp)
        resolver = Resolver(servers=[("127.0.0.1", udp)], timeout=(5, 10, 10))
        first = await self._serial(resolver)
        await snapshot.reached(await store.commit(commit_of([LEASE])))
        answers, _, _ = await resolver.lookupAddress("db.office.local")
        self.assertEqual([row.payload.dottedQuad() for row in answers], ["10.77.1.10"])
        self.assertGreater(await self._serial(resolver), first)
        with self.assertRaises(DNSQueryRefusedError):
            await resolver.lookupAddress("example.com")
        zone: Any = await resolver.lookupZone("office.local")
        self.assertIn(b"db.office.local", [row.name.name for row in zone[0]])
        service.stopService()
        self.assertEqual(service.listener.ports, [])

    async def _serial(self, resolver: Resolver) -> int:
        answers, _, _ = await resolver.lookupAuthority("office.local")
        [row] = [row for row in answers if row.type == dns.SOA]
        return int(row.payload.serial)

    async def test_address_elsewhere(self) -> None:
        """It begins before the address is here, and an address that cannot be listened on ends nothing."""
        snapshot = await load(MemoryStore(), Clock())
        here = NameService(reactor, snapshot, "192.0.2.77", 0)
        here.startService()
        self.assertEqual(len(here.listener.ports), 2)
        here.stopService()
        taken = NameService(reactor, snapshot, "127.0.0.1", 0)
        taken.startService()
        port = taken.listener.ports[0].getHost().port
        second = NameService(reactor, snapshot, "127.0.0.1", port)
        second.startService()
        self.assertEqual(second.listener.ports, [])
        second.stopService()
        taken.stopService()
