"""Tests of `twisted_rapi.cluster.networks` and `twisted_rapi.cluster.network_duty`."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.network_duty import RENEWED, RETRY, SERVING
from twisted_rapi.errors import BadRequest, ServiceUnavailable, StepFailed
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, StaticLease
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, make_cluster
from twisted_rapi.testing.contracts.virtual_networks import LAB, OFFICE

PLAIN = replace(OFFICE, acls=())


class NetworksCase(SynchronousTestCase):
    """Has a cluster."""

    def setUp(self) -> None:
        self.fake = make_cluster()
        self.addCleanup(self.end)
        self.networks = self.fake.cluster.networks

    def end(self) -> None:
        """End the term there is by then."""
        self.fake.stop()

    def now(self, awaitable: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(awaitable))

    def refused(self, awaitable: Any, text: str, kind: type[Exception] = BadRequest) -> None:
        """It is refused with such a text."""
        error = self.failureResultOf(Deferred.fromCoroutine(awaitable), kind)
        self.assertIn(text, str(error.value))

    def told(self, node: int = 0) -> list[MakeNetworks]:
        """What a node was told of networks."""
        done = self.fake.nodes.nodes[NODES[node]].done
        return [step for step in done if isinstance(step, MakeNetworks)]

    def change(self, *records: Any) -> None:
        self.now(self.fake.store.commit(commit_of(records)))


class ChangingTests(NetworksCase):
    """What the API changes."""

    def test_life(self) -> None:
        """Made, found by id and description, changed, removed; names and ids are free again."""
        made = self.now(self.networks.add(PLAIN))
        self.assertNotEqual(made.uuid, PLAIN.uuid)
        self.assertEqual(self.networks.find("101"), made)
        self.assertEqual(self.networks.find("office"), made)
        self.assertIsNone(self.networks.find("102"))
        self.assertIsNone(self.networks.find("off"))
        self.refused(self.networks.add(PLAIN), "A network with VNI '101' already exists!")
        self.refused(self.networks.add(replace(LAB, name="office")), "description 'office'")
        changed = self.now(self.networks.change(made, domain="example.com"))
        self.assertEqual((changed.domain, changed.serial_no), ("example.com", 2))
        self.refused(self.networks.change(made, ip4_gateway="10.99.0.1"), "not in 10.77.1.0/24")
        self.refused(self.networks.change(made, vni=7), "cannot be changed")
        self.now(self.networks.remove(made))
        self.assertEqual(self.networks.every(), ())
        self.refused(self.networks.change(made, domain="x"), "Could not find network 'office'")
        self.now(self.networks.add(PLAIN))

    def test_reservations(self) -> None:
        """Static leases come and go by MAC address, host name or address."""
        made = self.now(self.networks.add(PLAIN))
        lease = StaticLease(mac="52:54:00:00:00:09", address="10.77.1.9", hostname="nine")
        self.refused(self.networks.reserve(made, replace(lease, address="10.88.1.9")), "not in")
        for key in ("52:54:00:00:00:09", "NINE", "10.77.1.9"):
            self.now(self.networks.reserve(made, lease))
            self.refused(self.networks.reserve(made, lease), "already exists")
            changed = self.now(self.networks.unreserve(made, key))
            self.assertNotIn(lease, changed.static_leases)
        self.refused(self.networks.unreserve(made, ""), "No DHCP reservation")

    def test_rules(self) -> None:
        """A rule is judged by nft on the master's node before it is taken."""
        made = self.now(self.networks.add(PLAIN))
        for name, order in (("a", None), ("b", 0)):
            acl = Acl(name=name, direction="in", rule="accept")
            changed = self.now(self.networks.add_acl(made, acl, order))
        self.assertEqual([acl.name for acl in changed.acls], ["b", "a"])
        bad = Acl(name="c", direction="in", rule="nonsense")
        self.refused(self.networks.add_acl(made, bad), "nft does not take the rule")
        self.refused(self.networks.add_acl(made, replace(bad, rule="a;b")), "no ;")
        self.refused(
            self.networks.remove_acl(made, "a", "out"), "No firewall rule exists matching description 'a'!"
        )
        self.assertEqual([a.name for a in self.now(self.networks.remove_acl(made, "b")).acls], ["a"])
        self.fake.nodes.nodes[NODES[0]].down = True
        good = Acl(name="c", direction="in", rule="accept")
        self.refused(self.networks.add_acl(made, good), "at present", ServiceUnavailable)


class DutyTests(NetworksCase):
    """What nodes are told, and what is kept of what they tell."""

    def test_told(self) -> None:
        """All nodes make a network; the master's serves it, and is told so again and again."""
        self.assertEqual([self.told(n) for n in range(3)], [[], [], []])
        made = self.now(self.networks.add(PLAIN))
        for n in range(3):
            [step] = self.told(n)
            self.assertEqual(step.networks, (made,))
            self.assertEqual(step.peers, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
            self.assertEqual((step.local, step.serving), (f"192.0.2.{n + 1}", 0.0 if n else SERVING))
        self.fake.clock.advance(RENEWED)
        self.assertEqual([len(self.told(n)) for n in range(3)], [2, 1, 1])
        self.now(self.networks.remove(made))
        for n in range(3):
            self.assertEqual(self.told(n)[-1].networks, ())
        self.assertEqual(self.told()[-1].serving, 0.0)
        count = len(self.told())
        self.fake.clock.advance(10 * RENEWED)
        self.assertEqual(len(self.told()), count)

    def test_nodes(self) -> None:
        """One that comes back is told again; a dead one and one that is offline are no longer flooded to."""
        self.now(self.networks.add(PLAIN))
        two = self.fake.nodes.nodes[NODES[1]]
        two.down = True
        self.fake.nodes.changed(NODES[1])
        self.change(NodeFateRecord(uuid=NODES[1], fate="suspect", since=1.0))
        self.assertEqual(len(self.told()[-1].peers), 3)
        self.change(NodeFateRecord(uuid=NODES[1], fate="fenced", since=2.0))
        self.assertEqual(self.told()[-1].peers, ("192.0.2.1", "192.0.2.3"))
        count = len(self.told(1))
        two.down = False
        self.fake.nodes.changed(NODES[1])
        self.assertEqual(len(self.told(1)), count + 1)
        node = self.fake.snapshot.nodes[NODES[2]]
        self.change(replace(node, offline=True))
        self.assertEqual(self.told()[-1].peers, ("192.0.2.1",))

    def test_trouble(self) -> None:
        """A node that fails is tried again after a while, and keeps no other from having its networks."""
        self.fake.nodes.nodes[NODES[1]].faults[MakeNetworks] = [StepFailed("no nft", "network")]
        self.now(self.networks.add(PLAIN))
        self.assertEqual([len(self.told(n)) for n in range(3)], [1, 0, 1])
        self.fake.nodes.changed(NODES[1])
        self.assertEqual(len(self.told(1)), 0)
        self.fake.clock.advance(RETRY)
        self.assertEqual(len(self.told(1)), 1)

    def test_leases(self) -> None:
        """
        Leases the master's node tells of are in the store at once; a new master hands them to its own; those
        that ended, and those of a network that is removed, are forgotten.
        """
        made = self.now(self.networks.add(PLAIN))
        one, two = (
            DhcpLeaseRecord(network=made.uuid, address=f"10.77.1.1{n}", mac=f"52:54:00:00:00:1{n}")
            for n in (1, 2)
        )
        self.tell(0, one, two)
        self.assertEqual(self.networks.leases(made), (one, two))
        self.tell(1, one)  # not the master's
        self.assertEqual(len(self.networks.leases(made)), 2)
        longer = replace(one, expires=99.0)
        self.tell(0, longer)
        self.assertEqual(self.networks.leases(made), (longer,))
        self.fake.stop()
        self.fake = make_cluster(self.fake.store, self.fake.nodes, self.fake.clock)
        self.assertEqual(self.told()[-1].leases, (longer,))
        self.networks = self.fake.cluster.networks
        self.now(self.networks.remove(made))
        self.assertEqual(self.fake.snapshot.dhcp_leases, {})

    def tell(self, node: int, *leases: DhcpLeaseRecord) -> None:
        """A node tells of leases."""
        self.fake.nodes.nodes[NODES[node]].leases = leases
        self.fake.nodes.changed(NODES[node])

    def test_left(self) -> None:
        """A node that was away when the last network was removed loses it when it is back."""
        made = self.now(self.networks.add(replace(PLAIN)))
        three = self.fake.nodes.nodes[NODES[2]]
        three.down = True
        self.fake.nodes.changed(NODES[2])
        self.now(self.networks.remove(made))
        self.fake.stop()
        self.fake = make_cluster(self.fake.store, self.fake.nodes, self.fake.clock)
        three.down, three.bridges = False, ("br0", "vmbr101")
        self.fake.nodes.changed(NODES[2])
        self.assertEqual(self.told(2)[-1].networks, ())
