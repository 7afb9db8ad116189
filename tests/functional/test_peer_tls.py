"""Candidates that hand requests on to each other: whose certificates do, at which end."""

import socket
import time
from types import SimpleNamespace
from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import URI, Agent, HTTPConnectionPool, readBody
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.resource import Resource
from zope.interface import implementer

from twisted_rapi.proxying import DEAD, Ways, internal_port
from twisted_rapi.rpc import authority
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.rpc.tls import Identity, PeerTLS
from twisted_rapi.testing.processes import free_port

CLOCK: Any = reactor
DAY = 86400


class Greeting(Resource):
    """Answers everybody who gets that far, and counts them."""

    isLeaf = True
    count = 0

    def render(self, request: Any) -> bytes:
        """Answer."""
        self.count += 1
        return b"hello" if request.site.trusted(request) else b"who?"


@implementer(IPolicyForHTTPS)
class Nobody:
    """A client without a certificate of its own."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """See `IPolicyForHTTPS`."""
        return optionsForClientTLS("127.0.0.1", trustRoot=self._identity.trusted())


class PeerTLSTests(TestCase):
    """The internal listener on loopback, and clients of it."""

    def setUp(self) -> None:
        self.ca, self.key = new_authority("test", time.time())
        self.greeting = Greeting()

    def identity(self, role: Role, ago: float = 0.0, days: int = 1) -> Identity:
        """One of the cluster's, issued so many seconds ago."""
        key = new_key()
        request = new_request(key, "x")
        pem = issue(self.ca, self.key, role, "x", ["127.0.0.1"], request, time.time() - ago, days)
        return Identity(self.ca, pem, key)

    def unfit(self, usage: list[Any]) -> Identity:
        """A master's that was made for something else."""
        patched = self.patch(authority, "_USAGE", {Role.MASTER: usage})
        found = self.identity(Role.MASTER)
        patched.restore()
        return found

    def stranger(self) -> Identity:
        """A master of another cluster that says that it trusts this one."""
        ca, key = new_authority("test", time.time())
        mine, self.ca, self.key = (self.ca, self.key), ca, key
        other = self.identity(Role.MASTER)
        self.ca, self.key = mine
        return Identity(self.ca, other.certificate, other.key)

    def wrong(self) -> dict[str, Identity]:
        """Certificates that do at neither end."""
        found = {role.value: self.identity(role) for role in Role if role is not Role.MASTER}
        return {
            **found,
            "expired": self.identity(Role.MASTER, 10 * DAY, 9),
            "not yet": self.identity(Role.MASTER, -10 * DAY),
            "stranger": self.stranger(),
        }

    async def serve(self, identity: Identity) -> int:
        """Listen as this one until the test ends; the port."""
        port = free_port()
        config: Any = SimpleNamespace(proxy=SimpleNamespace(listen=f"127.0.0.1:{port}"))
        resource: Any = self.greeting
        service = internal_port(CLOCK, config, identity, resource)
        service.startService()
        self.addCleanup(deferLater, CLOCK, 0.01)
        self.addCleanup(service.stopService)
        return port

    async def ask(self, port: int, policy: Any) -> bytes | None:
        """What is answered; ``None`` when no connection comes about."""
        agent = Agent(CLOCK, policy, connectTimeout=10, pool=HTTPConnectionPool(CLOCK, persistent=False))
        try:
            response = await agent.request(b"GET", b"https://127.0.0.1:%d/" % port)
        except Exception:  # noqa: BLE001 -- they are of many kinds
            return None
        return bytes(await readBody(response))

    async def test_clients(self) -> None:
        """Only a master's certificate, of this authority, in time and made for clients, is let in."""
        port = await self.serve(self.identity(Role.MASTER))
        self.assertEqual(await self.ask(port, PeerTLS(self.identity(Role.MASTER))), b"hello")
        policies = {name: PeerTLS(identity) for name, identity in self.wrong().items()}
        policies["server"] = PeerTLS(self.unfit([ExtendedKeyUsageOID.SERVER_AUTH]))
        policies["nobody"] = Nobody(self.identity(Role.MASTER))  # type: ignore[assignment]
        answers = {name: await self.ask(port, policy) for name, policy in policies.items()}
        self.assertEqual(answers, dict.fromkeys(policies))
        self.assertEqual(self.greeting.count, 1)

    async def test_watched(self) -> None:
        """The kernel ends a connection to a machine that is gone, also one on which nothing is sent."""
        port = await self.serve(self.identity(Role.MASTER))
        way = Ways(CLOCK, PeerTLS(self.identity(Role.MASTER)))
        endpoint = way.endpointForURI(URI.fromBytes(b"https://127.0.0.1:%d/" % port))
        protocol: Any = await endpoint.connect(Factory.forProtocol(Protocol))
        connection = protocol.transport.transport.getHandle()
        options = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
        found = [connection.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        self.assertEqual(found, [DEAD * 1000, 2, 1])
        self.assertTrue(connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        protocol.transport.abortConnection()

    async def test_servers(self) -> None:
        """A request is sent only to who has a master's certificate, in time and made for servers."""
        policy = PeerTLS(self.identity(Role.MASTER))
        servers = {**self.wrong(), "client": self.unfit([ExtendedKeyUsageOID.CLIENT_AUTH])}
        answers = {name: await self.ask(await self.serve(each), policy) for name, each in servers.items()}
        self.assertEqual(answers, dict.fromkeys(servers))
        self.assertEqual(self.greeting.count, 0)
