"""The contract of `IVirtualNetworks` on the simulated ones."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.net.simulated import SimulatedNetworks, wanted_of
from twisted_rapi.net.topology import Change, Topology, changes
from twisted_rapi.testing.contracts.virtual_networks import VirtualNetworksContract


class SimulatedTests(VirtualNetworksContract, TestCase):
    """On a clock that the test holds."""

    def setUp(self) -> None:
        """A node."""
        self.clock = Clock()
        self.node = self.networks = SimulatedNetworks(self.clock)

    def step(self, *networks: Any, **more: Any) -> MakeNetworks:
        return MakeNetworks(instance="", local="192.0.2.1", networks=networks, **more)

    async def left(self, step: MakeNetworks) -> tuple[Change, ...]:
        return changes(wanted_of(step), self.networks.topology)

    async def seen(self) -> Topology:
        return self.node.topology

    async def damage(self) -> None:
        self.networks.remove("vmbr101")

    async def occupy(self) -> None:
        self.networks.occupy("vmbr102")

    async def vacate(self) -> None:
        self.networks.remove("vmbr102")

    async def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def done(self, work: Any) -> Any:
        waiting: Deferred[Any] = ensureDeferred(work)
        return self.successResultOf(waiting)
