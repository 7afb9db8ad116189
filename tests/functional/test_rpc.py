"""The node protocol over real TLS on loopback: who may speak, and what is heard of whom."""

import time
from pathlib import Path
from random import Random
from typing import Any

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, wrapServerTLS
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface.verify import verifyObject

from twisted_rapi.agent.node import Node
from twisted_rapi.agent.parts import Parts
from twisted_rapi.agent.resource import make_site
from twisted_rapi.agent.settings import Simulated
from twisted_rapi.errors import NodeUnreachable, StaleTerm, StepFailed
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import DomainChanged, FullReport, Heartbeat, OsSeen, Sighting
from twisted_rapi.model.steps import CreateVolume, DiskSpec, DomainSpec, RunOs, StartDomain, StopDomain
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.rpc.client import RemoteAgent
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.rpc.nodes import Nodes
from twisted_rapi.rpc.tls import Identity, MasterTLS, agent_tls
from twisted_rapi.storage.file import FileDriver

CLOCK: Any = reactor


class NoScripts:
    """OS definitions: none; runs are held for as long as the test wants."""

    def __init__(self) -> None:
        self.held: list[Deferred[None]] = []

    async def discover(self) -> tuple[OsSeen, ...]:
        """None."""
        return ()

    async def verify(self, os: str, osparams: Any) -> None:
        """Whatever it is."""

    async def run(self, step: Any, paths: Any) -> None:
        """Take until the test says so."""
        d: Deferred[None] = Deferred()
        self.held.append(d)
        await d


class Cluster:
    """An authority, and identities of it."""

    def __init__(self) -> None:
        self.ca, self.key = new_authority("test", time.time())

    def identity(self, role: Role) -> Identity:
        key = new_key()
        request = new_request(key, role.value)
        pem = issue(self.ca, self.key, role, role.value, ["127.0.0.1", "localhost"], request, time.time())
        return Identity(self.ca, pem, key)


class RpcTests(TestCase):
    """A node with simulated machines behind its real listener."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp()).resolve()
        self.trust = Cluster()
        self.scripts = NoScripts()
        self.node = self.make_node()
        await self.node.begin()
        await self.listen()
        self.pools: list[Any] = []
        self.agent = self.remote(self.trust.identity(Role.MASTER))

    def make_node(self) -> Node:
        hypervisor = SimulatedHypervisor(self.folder / "fake", CLOCK, deferToThread, Random(1))
        return Node(
            Parts(
                hypervisors={"fake": hypervisor},
                volumes={"file": FileDriver("file", self.folder / "files", deferToThread)},
                os_runner=self.scripts,  # type: ignore[arg-type]
                clock=CLOCK,
                now=time.time,
                in_thread=deferToThread,
                state_dir=self.folder / "state",
                simulated=Simulated(),
            ),
            "test",
        )

    async def listen(self, port: int = 0) -> None:
        tls = agent_tls(self.trust.identity(Role.NODE))
        endpoint = wrapServerTLS(tls, TCP4ServerEndpoint(CLOCK, port, interface="127.0.0.1"))
        self.site = make_site(self.node)
        self.connections: list[Any] = []
        build = self.site.buildProtocol

        def remember(address: Any) -> Any:
            protocol = build(address)
            self.connections.append(protocol)
            return protocol

        self.site.buildProtocol = remember  # type: ignore[method-assign]
        self.port: Any = await endpoint.listen(self.site)

    def remote(self, identity: Identity) -> RemoteAgent:
        pool = HTTPConnectionPool(CLOCK, persistent=False)
        self.pools.append(pool)
        http = HTTPClient(Agent(CLOCK, MasterTLS(identity), connectTimeout=3.0, pool=pool))
        return RemoteAgent(http, f"https://127.0.0.1:{self.port.getHost().port}", CLOCK)

    async def cut(self) -> None:
        """End the listener and all connections, as a death would."""
        await self.port.stopListening()
        for protocol in self.connections:
            transport = getattr(protocol._channel, "transport", None)
            if transport is not None and transport.connected:
                transport.abortConnection()
        await deferLater(CLOCK, 0.05)

    async def tearDown(self) -> None:  # type: ignore[override]
        for d in self.scripts.held:
            if not d.called:
                d.callback(None)
        await self.cut()
        await self.node.end()
        for pool in self.pools:
            await pool.closeCachedConnections()
        await deferLater(CLOCK, 0.05)

    def disk(self, size: int = 4) -> DiskSpec:
        path = str(self.folder / "files/i1/disk0")
        return DiskSpec(uuid="d", index=0, template="file", size=size, logical_id=("loop", path))

    def domain(self) -> DomainSpec:
        return DomainSpec(
            name="i1",
            instance_uuid="u1",
            hypervisor="fake",
            memory=64,
            minmem=64,
            vcpus=1,
            disks=(self.disk(),),
        )

    async def fails(self, kind: type[Exception], work: Any) -> Any:
        try:
            await work
        except kind as e:
            return e
        raise self.failureException(f"{kind.__name__} was not raised")

    def test_interfaces(self) -> None:
        """Both ends are agents."""
        verifyObject(INodeAgent, self.agent)
        verifyObject(INodeAgent, self.node)

    async def test_steps(self) -> None:
        """A machine is made and started; doing it again changes nothing."""
        for _ in range(2):
            outcome = await self.agent.perform(CreateVolume(instance="i1", disk=self.disk()), 1)
            self.assertEqual(outcome.path, str(self.folder / "files/i1/disk0"))
        first = await self.agent.perform(StartDomain(instance="i1", domain=self.domain()), 1)
        again = await self.agent.perform(StartDomain(instance="i1", domain=self.domain()), 1)
        self.assertEqual(first.boot, again.boot)
        stop = StopDomain(instance="i1", hypervisor="fake", instance_uuid="u1")
        await self.agent.perform(stop, 1)
        await self.agent.perform(stop, 1)

    async def test_step_fails(self) -> None:
        """The reason of a failure arrives."""
        error = await self.fails(
            StepFailed, self.agent.perform(StartDomain(instance="i1", domain=self.domain()), 1)
        )
        self.assertEqual(error.kind, "storage")
        self.assertIn("does not exist", error.text)

    async def test_roles(self) -> None:
        """A node's own certificate, the API's, and one of another authority cannot act as master."""
        step = CreateVolume(instance="i1", disk=self.disk())
        for identity in (self.trust.identity(Role.NODE), self.trust.identity(Role.API)):
            await self.fails(NodeUnreachable, self.remote(identity).perform(step, 1))
        other = Cluster().identity(Role.MASTER)
        foreign = Identity(self.trust.ca, other.certificate, other.key)
        await self.fails(NodeUnreachable, self.remote(foreign).perform(step, 1))
        self.assertFalse((self.folder / "files").exists())

    async def test_false_node(self) -> None:
        """The master does not speak to an agent of another authority."""
        other = Cluster().identity(Role.MASTER)
        await self.fails(
            NodeUnreachable, self.remote(other).perform(CreateVolume(instance="i1", disk=self.disk()), 1)
        )

    async def test_terms(self) -> None:
        """An older term is refused, also after the agent was started anew."""
        step = CreateVolume(instance="i1", disk=self.disk())
        await self.agent.perform(step, 5)
        error = await self.fails(StaleTerm, self.agent.perform(step, 4))
        self.assertEqual((error.term, error.newest), (4, 5))
        restarted = self.make_node()
        await restarted.begin()
        await self.fails(StaleTerm, restarted.perform(step, 4))
        await restarted.perform(step, 5)
        await restarted.end()

    async def test_watch(self) -> None:
        """A full report, then changes as they happen, then a heartbeat."""
        seen: list[Sighting] = []
        watching = Deferred.fromCoroutine(self.agent.watch(1, seen.append))
        await self.agent.perform(CreateVolume(instance="i1", disk=self.disk()), 1)
        while not seen:
            await deferLater(CLOCK, 0.02)
        await self.agent.perform(StartDomain(instance="i1", domain=self.domain()), 1)
        for _ in range(100):
            if any(isinstance(s, DomainChanged) for s in seen):
                break
            await deferLater(CLOCK, 0.02)
        self.assertIsInstance(seen[0], FullReport)
        [change] = [s for s in seen if isinstance(s, DomainChanged)]
        self.assertEqual((change.name, change.seen is not None and change.seen.running), ("i1", True))
        await deferLater(CLOCK, 1.2)
        self.assertTrue(any(isinstance(s, Heartbeat) for s in seen))
        watching.cancel()
        watching.addErrback(lambda _: None)

    async def test_in_turn(self) -> None:
        """Steps of one instance wait for each other, and go on when who asked has gone."""
        await self.agent.perform(CreateVolume(instance="i1", disk=self.disk()), 1)
        run = Deferred.fromCoroutine(
            self.agent.perform(RunOs(instance="i1", action="create", domain=self.domain()), 1)
        )
        while not self.scripts.held:
            await deferLater(CLOCK, 0.02)
        following = Deferred.fromCoroutine(
            self.agent.perform(StopDomain(instance="i1", hypervisor="fake", instance_uuid="u1"), 1)
        )
        run.cancel()
        run.addErrback(lambda _: None)
        await deferLater(CLOCK, 0.1)
        self.assertNoResult(following)
        self.scripts.held[0].callback(None)
        await following

    async def test_lost_and_back(self) -> None:
        """A node that dies is missed within five seconds and found again; a step waits if asked to."""
        record = NodeRecord(
            uuid="n1",
            name="node1",
            group="g",
            primary_ip="127.0.0.1",
            secondary_ip="127.0.0.1",
            agent_host="127.0.0.1",
            agent_port=self.port.getHost().port,
        )
        nodes = Nodes(lambda _: self.agent, CLOCK, Random(1), lambda: 1, lambda: None)
        nodes.set_nodes([record])
        nodes.startService()
        try:
            await self._until(lambda: "n1" in nodes.reports, 3)
            await self.cut()
            await self._until(lambda: "n1" not in nodes.reports, 5)
            step = CreateVolume(instance="i1", disk=self.disk())
            await self.fails(NodeUnreachable, nodes.perform("n1", step))
            waiting = Deferred.fromCoroutine(nodes.perform("n1", step, patience=20.0))
            await self.listen(record.agent_port)
            self.assertEqual((await waiting).path, self.disk().logical_id[1])
            await self._until(lambda: "n1" in nodes.reports, 5)
            await self.fails(NodeUnreachable, nodes.perform("other", step))
        finally:
            await nodes.stopService()

    async def _until(self, holds: Any, seconds: float) -> None:
        for _ in range(int(seconds / 0.05)):
            if holds():
                return
            await deferLater(CLOCK, 0.05)
        raise self.failureException("it did not come to that in time")
