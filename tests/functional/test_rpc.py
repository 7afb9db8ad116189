"""The node protocol over real TLS on loopback: who may speak, and what is heard of whom."""

import os
import re
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, wrapServerTLS
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.protocols.portforward import ProxyFactory
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface.verify import verifyObject

from tests.functional.waiting import until
from twisted_rapi.agent.names import TableNames
from twisted_rapi.agent.node import Node
from twisted_rapi.agent.parts import Parts
from twisted_rapi.agent.resource import make_site
from twisted_rapi.agent.settings import Simulated
from twisted_rapi.errors import NodeUnreachable, ProtocolMismatch, StaleTerm, StepFailed
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import DomainChanged, FullReport, Heartbeat, NodeReport, OsSeen, Sighting
from twisted_rapi.model.steps import (
    CreateVolume,
    DiskSpec,
    DomainSpec,
    Outcome,
    RunOs,
    StartDomain,
    StopDomain,
)
from twisted_rapi.rpc import protocol
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.rpc.client import RemoteAgent
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.rpc.nodes import Nodes
from twisted_rapi.rpc.tls import Identity, MasterTLS, agent_tls
from twisted_rapi.storage.file import FileDriver
from twisted_rapi.testing.allocators import FakeAllocators
from twisted_rapi.testing.contracts.node_agent import NodeAgentContract
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.os_runner import FakeOsRunner

CLOCK: Any = reactor


class NoScripts:
    """OS definitions: none; runs are held for as long as the test wants."""

    def __init__(self) -> None:
        self.held: list[Deferred[None]] = []

    def release(self) -> None:
        """Let all end that are held."""
        for d in self.held:
            if not d.called:
                d.callback(None)

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


class OverTLS(TestCase):
    """A node with simulated machines behind its real listener."""

    async def begin(self, runner: Any) -> None:
        """Have the node listen, with this runner of scripts."""
        self.folder = Path(self.mktemp()).resolve()
        self.trust = Cluster()
        self.scripts = runner
        self.node = self.make_node()
        await self.node.begin()
        await self.listen()
        self.pools: list[Any] = []
        self.agent: Any = self.remote(self.trust.identity(Role.MASTER))

    def make_node(self) -> Node:
        hypervisor = SimulatedHypervisor(self.folder / "fake", CLOCK, deferToThread, Random(1))
        return Node(
            Parts(
                hypervisors={"fake": hypervisor},
                volumes={"file": FileDriver("file", self.folder / "files", deferToThread)},
                os_runner=self.scripts,
                allocators=FakeAllocators(),
                names=TableNames({}),
                clock=CLOCK,
                now=time.time,
                in_thread=deferToThread,
                state_dir=self.folder / "state",
                simulated=Simulated(),
            ),
            "test",
        )

    async def listen(self, port: int = 0, role: Role = Role.NODE) -> None:
        tls = agent_tls(self.trust.identity(role))
        endpoint = wrapServerTLS(tls, TCP4ServerEndpoint(CLOCK, port, interface="127.0.0.1"))
        self.site = make_site(self.node, CLOCK)
        self.connections: list[Any] = []
        build = self.site.buildProtocol

        def remember(address: Any) -> Any:
            protocol = build(address)
            self.connections.append(protocol)
            return protocol

        self.site.buildProtocol = remember  # type: ignore[method-assign]
        self.port: Any = await endpoint.listen(self.site)

    def remote(self, identity: Identity, port: int = 0, since: float = 0.0) -> RemoteAgent:
        pool = HTTPConnectionPool(CLOCK, persistent=False)
        self.pools.append(pool)
        tls = MasterTLS(identity, lambda _host, _port: since)
        http = HTTPClient(Agent(CLOCK, tls, connectTimeout=3.0, pool=pool))
        return RemoteAgent(http, f"https://127.0.0.1:{port or self.port.getHost().port}", CLOCK)

    async def cut(self) -> None:
        """End the listener and all connections, as a death would."""
        await self.port.stopListening()
        for connection in self.connections:
            transport = getattr(connection._channel, "transport", None)
            if transport is not None and transport.connected:
                transport.abortConnection()
        await deferLater(CLOCK, 0.05)

    async def tearDown(self) -> None:  # type: ignore[override]
        self.scripts.release()
        await self.cut()
        await self.node.end()
        for pool in self.pools:
            await pool.closeCachedConnections()
        await deferLater(CLOCK, 0.05)

    def disk(self, template: str = "file") -> DiskSpec:
        path = str(self.folder / "files/i1/disk0")
        return DiskSpec(uuid="d", index=0, template=template, size=4, logical_id=("loop", path))

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
        return await self.assertFailure(ensureDeferred(work), kind)

    def record(self, uuid: str = "n1", port: int = 0) -> NodeRecord:
        """A node's record that leads to this listener, or to a port of this machine."""
        return NodeRecord(
            uuid=uuid,
            name=f"node-{uuid}",
            group="g",
            primary_ip="127.0.0.1",
            secondary_ip="127.0.0.1",
            agent_host="127.0.0.1",
            agent_port=port or self.port.getHost().port,
        )


class RemoteAgentTests(NodeAgentContract, OverTLS):
    """The contract of `INodeAgent`, over mutual TLS on loopback."""

    async def setUp(self) -> None:  # type: ignore[override]
        await NodeAgentContract.setUp(self)

    def disk(self, template: str = "file") -> DiskSpec:
        return NodeAgentContract.disk(self, template)

    async def make(self, runner: FakeOsRunner) -> INodeAgent:
        await self.begin(runner)
        self.base = str(self.folder / "files")
        return self.agent

    async def passes(self, seconds: float) -> None:
        await deferLater(CLOCK, seconds)


class RpcTests(OverTLS):
    """Who may speak, and what becomes of those who cannot."""

    async def setUp(self) -> None:  # type: ignore[override]
        await self.begin(NoScripts())

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
        record = self.record()
        nodes = Nodes(lambda _: self.agent, CLOCK, Random(1), lambda: 1, lambda: None)
        nodes.set_nodes([record])
        nodes.startService()
        try:
            await until(lambda: "n1" in nodes.reports, 3)
            await self.cut()
            await until(lambda: "n1" not in nodes.reports, 20)
            step = CreateVolume(instance="i1", disk=self.disk())
            await self.fails(NodeUnreachable, nodes.perform("n1", step))
            waiting = Deferred.fromCoroutine(nodes.perform("n1", step, patience=20.0))
            await self.listen(record.agent_port)
            self.assertEqual((await waiting).path, self.disk().logical_id[1])
            await until(lambda: "n1" in nodes.reports, 5)
            await self.fails(NodeUnreachable, nodes.perform("other", step))
        finally:
            await nodes.stopService()

    async def test_false_roles(self) -> None:
        """The master does not speak to who listens with the API's or a master's certificate."""
        for role in (Role.API, Role.MASTER):
            await self.cut()
            await self.listen(role=role)
            agent = self.remote(self.trust.identity(Role.MASTER))
            error = await self.fails(NodeUnreachable, agent.perform(self.create(), 1))
            self.assertIn("certificate verify failed", str(error))
        self.assertFalse((self.folder / "files").exists())

    async def test_removed_node(self) -> None:
        """A certificate from before the node was registered is that of one that was removed."""
        now = time.time()
        master = self.trust.identity(Role.MASTER)
        for since in (now + 3600, now + 10 * 86400):
            agent = self.remote(master, since=since)
            error = await self.fails(NodeUnreachable, agent.perform(self.create(), 1))
            self.assertIn("certificate verify failed", str(error))
        self.assertFalse((self.folder / "files").exists())
        await self.remote(master, since=now - 3600).perform(self.create(), 1)

    def create(self) -> CreateVolume:
        return CreateVolume(instance="i1", disk=self.disk())

    async def test_role_named(self) -> None:
        """A node that is refused because of its role is told so where that can be."""
        self.site = make_site(self.node, CLOCK, lambda _: Role.NODE)
        await self.port.stopListening()
        tls = agent_tls(self.trust.identity(Role.NODE))
        self.port = await wrapServerTLS(tls, TCP4ServerEndpoint(CLOCK, 0, interface="127.0.0.1")).listen(
            self.site
        )
        agent = self.remote(self.trust.identity(Role.MASTER))
        for work in (agent.perform(self.create(), 1), agent.watch(1, self.fail)):
            self.assertIn("only a master", str(await self.fails(NodeUnreachable, work)))

    async def test_versions(self) -> None:
        """A master of another version of the protocol is told which one is spoken, and nothing is done."""
        self.patch(protocol, "PERFORM", "/rpc/2/perform")
        self.patch(protocol, "WATCH", "/rpc/2/watch")
        for work in (self.agent.perform(self.create(), 1), self.agent.watch(1, self.fail)):
            error = await self.fails(ProtocolMismatch, work)
            self.assertIn("speaks version 1 of the node protocol, which has no /rpc/2/", str(error))
        self.assertFalse((self.folder / "files").exists())

    async def test_large_answer(self) -> None:
        """An answer without end is not kept."""
        self.patch(protocol, "MOST_BYTES", 1000)

        async def perform(step: Any, term: int) -> Outcome:
            return Outcome(text="x" * 100_000)

        self.patch(self.node, "perform", perform)
        error = await self.fails(ProtocolMismatch, self.agent.perform(self.create(), 1))
        self.assertIn("without end", str(error))

    async def test_slow_master(self) -> None:
        """A master that reads no more is cut off once too much waits for it."""
        self.patch(protocol, "MOST_BYTES", 200_000)
        tell: list[Any] = []
        gone: list[int] = []

        async def watch(term: int, seen: Any) -> None:
            tell.append(seen)
            try:
                await Deferred()
            finally:
                gone.append(term)

        self.patch(self.node, "watch", watch)
        heard: list[Sighting] = []
        watching = Deferred.fromCoroutine(self.agent.watch(1, heard.append))
        ended: list[Any] = []
        watching.addBoth(ended.append)
        await until(lambda: tell)
        tell[0](Heartbeat())
        await until(lambda: heard)
        long = FullReport(report=NodeReport(acceleration="x" * 100_000))
        # As many as sockets and buffers take at once: nothing is read as long as we do not return.
        for _ in range(200):
            tell[0](long)
        self.assertLess(len(heard), 200)
        await until(lambda: ended and gone)
        self.assertTrue(ended[0].check(NodeUnreachable), ended)


class Relay(ProxyFactory):
    """A way to a port that can lose everything that is sent, as a network does."""

    noisy = False

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.ends: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        """Remember it."""
        end = super().buildProtocol(addr)
        self.ends.append(end)
        return end

    def drop(self) -> None:
        """From now on nothing arrives."""
        for end in self.ends:
            for side in (end, end.peer):
                if side is not None and side.transport is not None:
                    side.transport.pauseProducing()
                    side.dataReceived = lambda _: None

    def close(self) -> None:
        """End all that goes through."""
        for end in self.ends:
            for side in (end, end.peer):
                if side is not None and side.transport is not None:
                    side.transport.abortConnection()


class LostPacketsTests(OverTLS):
    """A node that nothing arrives from any more, next to one that is well."""

    async def setUp(self) -> None:  # type: ignore[override]
        await self.begin(NoScripts())
        self.relay = Relay(self.port.getHost().port)
        self.relayed: Any = CLOCK.listenTCP(0, self.relay, interface="127.0.0.1")
        self.addCleanup(self.relayed.stopListening)
        identity = self.trust.identity(Role.MASTER)
        ports = {"near": self.port.getHost().port, "far": self.relayed.getHost().port}
        agents = {uuid: self.remote(identity, port) for uuid, port in ports.items()}
        self.nodes = Nodes(lambda r: agents[r.uuid], CLOCK, Random(1), lambda: 1, self.fail)
        self.nodes.set_nodes([self.record(uuid, port) for uuid, port in ports.items()])
        self.nodes.startService()

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.nodes.stopService()
        self.relay.close()
        await super().tearDown()

    async def test_dropped(self) -> None:
        """It is shown as down soon; the other one is watched and reached all the time."""
        await until(lambda: len(self.nodes.reports) == 2)
        lost: list[str] = []
        self.nodes.observe(lambda uuid: None if uuid in self.nodes.reports else lost.append(uuid))
        begun = time.monotonic()
        self.relay.drop()
        stop = StopDomain(instance="i1", hypervisor="fake", instance_uuid="u1")
        # It may be back at once: what it is asked anew arrives.
        while not lost:
            self.assertLess(time.monotonic() - begun, 20.0)
            sent = time.monotonic()
            await self.nodes.perform("near", stop)
            self.assertLess(time.monotonic() - sent, 5.0)
            await deferLater(CLOCK, 0.1)
        self.assertEqual(lost, ["far"])
        age = self.nodes.age("near")
        assert age is not None
        self.assertLess(age, 2.0)


class StoppedAgentTests(TestCase):
    """Agents as processes, one of which stops."""

    def setUp(self) -> None:
        self.cluster = LocalCluster(Path(self.mktemp()).resolve(), nodes=2, nursery=Nursery())
        self.cluster.directory.mkdir(parents=True)
        self.cluster.set_up()
        self.addCleanup(self.cluster.remove)
        self.addCleanup(self.resume)

    def resume(self) -> None:
        for agent in self.cluster.agents:
            if agent.running:
                os.kill(agent.pid, signal.SIGCONT)

    def make_nodes(self) -> Nodes:
        """Both nodes, as the master reaches them."""
        pem = [(self.cluster.config / name).read_bytes() for name in ("ca.pem", "master.pem", "master.key")]
        pool = HTTPConnectionPool(CLOCK, persistent=False)
        http = HTTPClient(Agent(CLOCK, MasterTLS(Identity(*pem)), connectTimeout=3.0, pool=pool))

        def connect(record: NodeRecord) -> RemoteAgent:
            return RemoteAgent(http, f"https://127.0.0.1:{record.agent_port}", CLOCK)

        nodes = Nodes(connect, CLOCK, Random(1), lambda: 1, self.fail)
        nodes.set_nodes([self.record(n) for n in (1, 2)])
        return nodes

    def record(self, n: int) -> NodeRecord:
        settings = (self.cluster.directory / f"node{n}/agent.toml").read_text()
        [port] = re.findall(r'listen = "127.0.0.1:(\d+)"', settings)
        return NodeRecord(
            uuid=f"n{n}",
            name=f"node{n}",
            group="g",
            primary_ip="127.0.0.1",
            secondary_ip="127.0.0.1",
            agent_host="127.0.0.1",
            agent_port=int(port),
        )

    async def test_stopped(self) -> None:
        """An agent that is stopped is shown as down within five seconds, hurts no other, and comes back."""
        for agent in self.cluster.agents:
            await deferToThread(agent.start)
        nodes = self.make_nodes()
        nodes.startService()
        step = StopDomain(instance="i1", hypervisor="fake", instance_uuid="u1")
        try:
            await until(lambda: len(nodes.reports) == 2, 10)
            os.kill(self.cluster.agents[0].pid, signal.SIGSTOP)
            stuck = Deferred.fromCoroutine(nodes.perform("n1", step))
            await until(lambda: "n1" not in nodes.reports, 20)
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(10):
                sent = time.monotonic()
                await nodes.perform("n2", step)
                self.assertLess(time.monotonic() - sent, 5.0)
                await deferLater(CLOCK, 0.4)
            self.assertLessEqual(len(os.listdir("/proc/self/fd")), before + 3)
            self.assertEqual(list(nodes.reports), ["n2"])
            self.assertNoResult(stuck)
            self.resume()
            await stuck
            await until(lambda: len(nodes.reports) == 2, 10)
        finally:
            await nodes.stopService()
            await deferLater(CLOCK, 0.1)
