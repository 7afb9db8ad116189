"""Virtual networks when the master's node dies: another has the gateways and knows the leases."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.network_duty import SERVING
from twisted_rapi.errors import NodeUnreachable
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.model.steps import ForgetLeases, MakeNetworks, Outcome, Step
from twisted_rapi.model.virtual_network import DhcpLeaseRecord
from twisted_rapi.net.simulated import SimulatedNetworks
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, FakeCluster, make_cluster
from twisted_rapi.testing.contracts.virtual_networks import GATEWAYS, OFFICE
from twisted_rapi.testing.nodes import FakeNodes

MAC = "52:54:00:00:00:77"


class NetworkNodes(FakeNodes):
    """
    Nodes with simulated virtual networks.

    :ivar networks: by the node's uuid.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(NODES)
        self.networks = {uuid: SimulatedNetworks(clock) for uuid in NODES}
        for uuid, networks in self.networks.items():
            networks.observe(lambda uuid=uuid: self.changed(uuid))  # type: ignore[misc]

    @property
    def reports(self) -> dict[str, NodeReport]:
        """See `INodes.reports`."""
        return {uuid: replace(found, leases=self.leases(uuid)) for uuid, found in super().reports.items()}

    def leases(self, uuid: str) -> tuple[DhcpLeaseRecord, ...] | None:
        """What a node's DHCP servers gave."""
        found: list[Any] = []
        Deferred.fromCoroutine(self.networks[uuid].leases()).addCallback(found.append)
        leases: tuple[DhcpLeaseRecord, ...] | None = found[0]
        return leases

    async def perform(self, node: str, step: Step, patience: float = 0.0, offline: bool = False) -> Outcome:
        """See `INodes.perform`."""
        if isinstance(step, MakeNetworks | ForgetLeases) and self.nodes[node].down:
            raise NodeUnreachable("it is down")
        match step:
            case MakeNetworks():
                await self.networks[node].make(step)
            case ForgetLeases():
                await self.networks[node].forget(step.network, step.addresses)
            case _:
                return await super().perform(node, step, patience, offline)
        return Outcome()


class FailoverTests(SynchronousTestCase):
    """A network that is served by one node and then by another."""

    def setUp(self) -> None:
        """The first master's node serves a network and has given a lease."""
        self.clock = Clock()
        self.nodes = NetworkNodes(self.clock)
        self.fake = make_cluster(nodes=self.nodes, clock=self.clock)
        self.addCleanup(self.end)
        self.office = self.now(self.fake.cluster.networks.add(replace(OFFICE, acls=())))
        self.lease = DhcpLeaseRecord(network=self.office.uuid, address="10.77.1.15", mac=MAC, expires=9e9)
        self.nodes.networks[NODES[0]].give(self.lease)

    def end(self) -> None:
        """End the term there is by then."""
        self.fake.stop()

    def now(self, work: Any) -> Any:
        """What needs no waiting."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fail_over(self, to: int, clean: bool) -> FakeCluster:
        """Have another node's daemon be master; the one before hands over, or its node is just gone."""
        old = self.fake.snapshot.cluster.master_node
        self.fake.stop()
        self.nodes.nodes[old].down = not clean
        cluster = replace(self.fake.snapshot.cluster, master_node=NODES[to])
        election = ElectionRecord(term=1, node=NODES[to])
        self.now(self.fake.store.commit(commit_of([cluster, election])))
        self.fake = make_cluster(self.fake.store, self.nodes, self.clock)
        return self.fake

    def serving(self) -> list[int]:
        """The nodes that have the gateways."""
        bridges = [self.nodes.networks[uuid].topology.addresses.get("vmbr101") for uuid in NODES]
        return [n for n, addresses in enumerate(bridges) if addresses == GATEWAYS]

    def test_dead_node(self) -> None:
        """
        Another node has gateways and leases at once; the dead one's agent gives its own up in time, and when
        the node is back it is no second server.
        """
        self.assertEqual(self.serving(), [0])
        self.fail_over(1, clean=False)
        self.assertEqual(self.serving(), [0, 1])  # the dead one's, which nobody reaches
        self.assertEqual(self.nodes.leases(NODES[1]), (self.lease,))
        self.clock.advance(SERVING)
        self.assertEqual(self.serving(), [1])
        self.nodes.nodes[NODES[0]].down = False
        self.nodes.changed(NODES[0])
        self.assertEqual(self.serving(), [1])
        self.assertIsNone(self.nodes.leases(NODES[0]))
        self.assertEqual(self.fake.cluster.networks.leases(self.office), (self.lease,))

    def test_handed_over(self) -> None:
        """A master that hands over loses the gateways as the next one gets them; leases go along and back."""
        self.fail_over(1, clean=True)
        self.assertEqual(self.serving(), [1])
        second = replace(self.lease, address="10.77.1.16", mac="52:54:00:00:00:78")
        self.nodes.networks[NODES[1]].give(self.lease, second)
        self.fail_over(0, clean=True)
        self.assertEqual(self.serving(), [0])
        self.assertEqual(self.nodes.leases(NODES[0]), (self.lease, second))

    def test_ended_lease(self) -> None:
        """A lease that was ended is unknown to the next master's node, too."""
        self.now(self.fake.cluster.networks.release(self.office, [self.lease.address]))
        self.assertEqual(self.nodes.leases(NODES[0]), ())
        self.assertEqual(self.fake.cluster.networks.leases(self.office), ())
        self.fail_over(2, clean=False)
        self.assertEqual(self.nodes.leases(NODES[2]), ())
