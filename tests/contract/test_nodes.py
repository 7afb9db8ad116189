"""The contract of `INodes` on the real one over nodes in memory, and on the fake."""

from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.steps import SetMemory
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.rpc.nodes import Nodes
from twisted_rapi.testing.agents import Cable, make_node
from twisted_rapi.testing.contracts.nodes import NodesContract
from twisted_rapi.testing.nodes import FakeNodes


def record(uuid: str, port: int = 1811, offline: bool = False) -> NodeRecord:
    """A node's record."""
    return NodeRecord(
        uuid=uuid,
        name=f"node-{uuid}",
        group="g",
        primary_ip="192.0.2.1",
        secondary_ip="192.0.2.1",
        agent_host="192.0.2.1",
        agent_port=port,
        offline=offline,
    )


class RealNodesTests(NodesContract, SynchronousTestCase):
    """The real ones; each agent is at the end of a cable."""

    def make(self) -> INodes:
        self.clock = Clock()
        self.cables = {uuid: self.cable(uuid) for uuid in ("a", "b")}
        nodes = Nodes(lambda r: self.cables[r.uuid], self.clock, Random(1), lambda: 1, self.fail)
        nodes.set_nodes(map(record, self.cables))
        nodes.startService()
        self.addCleanup(nodes.stopService)
        return nodes

    def cable(self, uuid: str) -> Cable:
        node = make_node(Path(self.mktemp()) / uuid, self.clock)
        self.successResultOf(Deferred.fromCoroutine(node.begin()))
        return Cable(node)

    def down(self, node: str) -> None:
        self.cables[node].cut()

    def up(self, node: str) -> None:
        self.cables[node].mend()
        self.clock.pump([0.1] * 30)


class FakeNodesTests(NodesContract, SynchronousTestCase):
    """The fake ones."""

    def make(self) -> INodes:
        self.fake = FakeNodes(["a", "b"])
        return self.fake

    def down(self, node: str) -> None:
        self.fake.nodes[node].down = True
        self.fake.changed(node)

    def up(self, node: str) -> None:
        self.fake.nodes[node].down = False
        self.fake.changed(node)

    def plant(self, node: str) -> None:
        self.fake.nodes[node].faults[SetMemory] = [StepFailed("it does not run", "hypervisor")]
