"""The contract of `INodeAgent` on the node itself; that of `RemoteAgent` is with the functional tests."""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.testing.agents import make_node
from twisted_rapi.testing.contracts.node_agent import NodeAgentContract
from twisted_rapi.testing.os_runner import FakeOsRunner


class NodeTests(NodeAgentContract, TestCase):
    """The node, on a clock that is held."""

    async def make(self, runner: FakeOsRunner) -> INodeAgent:
        self.clock = Clock()
        node = make_node(Path(self.mktemp()), self.clock, os_runner=runner)
        await node.begin()
        self.addCleanup(lambda: Deferred.fromCoroutine(node.end()))
        return node

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
