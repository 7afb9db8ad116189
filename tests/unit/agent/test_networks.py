"""Tests of the steps about virtual networks."""

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from tests.unit.agent.test_machine import MachineCase
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model import steps
from twisted_rapi.model.seen import FullReport, NodeReport, Sighting
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord
from twisted_rapi.net.simulated import SimulatedNetworks
from twisted_rapi.testing.contracts.virtual_networks import OFFICE

STEP = steps.MakeNetworks(instance="", local="192.0.2.1", networks=(OFFICE,), serving=30.0)
LEASE = DhcpLeaseRecord(network="v1", address="10.77.1.10", mac="52:54:00:00:00:01", hostname="web")


class NetworkStepsTests(MachineCase):
    """`MakeNetworks` and `CheckAcls`."""

    def test_made(self) -> None:
        """
        Networks are made; an agent that begins again has them before it is told, and gateways only where they
        still are.
        """
        networks = SimulatedNetworks(self.clock)
        node = self.begun(networks=networks)
        self.assertEqual(networks.topology.interfaces, {})
        self.does(node, STEP)
        self.assertIn(101, networks.topology.servers)
        again = SimulatedNetworks(self.clock)
        self.begun(networks=again)
        self.assertEqual(set(again.topology.interfaces), {"vmbr101", "vxlan101"})
        self.assertEqual((again.topology.servers, again.topology.addresses), ({}, {}))
        self.clock.advance(STEP.serving / 2)
        self.begun(networks=networks)
        self.assertIn(101, networks.topology.servers)
        self.clock.advance(STEP.serving / 2)
        self.assertEqual(networks.topology.servers, {})

    def test_connected(self) -> None:
        """Guests are connected to a bridge that was not there, and to no other."""
        networks = SimulatedNetworks(self.clock)
        node = self.begun(networks=networks)
        [hypervisor] = node._parts.hypervisors.values()
        assert isinstance(hypervisor, SimulatedHypervisor)
        for connected in (1, 1):
            self.does(node, STEP)
            self.assertEqual(hypervisor.connected, ["vmbr101"] * connected)
        networks.remove("vmbr101")
        self.does(node, STEP)
        self.assertEqual(hypervisor.connected, ["vmbr101"] * 2)
        self.does(node, replace(STEP, networks=()))
        self.assertEqual(len(hypervisor.connected), 2)

    def test_sent(self) -> None:
        """The step arrives as it was sent, with all of its networks and leases; so do those that are told."""
        step = replace(STEP, leases=(LEASE,), peers=("192.0.2.1", "192.0.2.2"))
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(step), type=steps.AnyStep), step)
        report = NodeReport(leases=(LEASE,))
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(report), type=NodeReport), report)

    def test_none(self) -> None:
        """A node without virtual networks says so; an odd note keeps no agent from beginning."""
        node = self.begun()
        self.assertEqual(self.fails(node, STEP).kind, "network")
        (self.folder / "state" / "networks.json").write_text("{")
        networks = SimulatedNetworks(self.clock)
        self.does(self.begun(networks=networks), STEP)
        self.assertIn(101, networks.topology.servers)

    def test_checked(self) -> None:
        """What is wrong with a rule is the answer."""
        node = self.begun(networks=SimulatedNetworks(self.clock))
        for rule, text in (("accept", ""), ("nonsense", "syntax error: nonsense")):
            step = steps.CheckAcls(instance="", acls=(Acl(name="a", direction="in", rule=rule),))
            self.assertEqual(self.does(node, step).reason, text)

    def test_forgotten(self) -> None:
        """A lease is forgotten where it was given, and nowhere else."""
        networks = SimulatedNetworks(self.clock)
        node = self.begun(networks=networks)
        forget = steps.ForgetLeases(instance="", network="v1", addresses=(LEASE.address,))
        self.assertEqual(self.fails(node, forget).kind, "network")
        self.does(node, replace(STEP, leases=(LEASE,)))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(networks.leases())), (LEASE,))
        self.does(node, forget)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(networks.leases())), ())

    def test_leases(self) -> None:
        """Leases are told to the master at once, as is that there are no more networks to serve."""
        networks = SimulatedNetworks(self.clock)
        node = self.begun(networks=networks)
        told: list[Sighting] = []
        watching = Deferred.fromCoroutine(node.watch(1, told.append))
        self.assertNoResult(watching)
        self.does(node, STEP)
        networks.give(LEASE)
        self.does(node, replace(STEP, serving=0.0))
        found = [each.report.leases for each in told if isinstance(each, FullReport)]
        self.assertEqual([*dict.fromkeys(found)], [None, (), (LEASE,)])
        self.assertIsNone(found[-1])
        watching.cancel()
        self.failureResultOf(watching)
