"""Listeners of a term, with real connections."""

import socket
import ssl
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapServerTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from twisted_rapi.errors import AddressError
from twisted_rapi.listening import Port, TermDoor, covers, endpoint_of
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.rpc.tls import server_options

REACTOR: Any = reactor
NODE, FLOATING = "127.0.0.1", "127.0.0.2"


class CoversTests(SynchronousTestCase):
    """`covers`."""

    def test_rows(self) -> None:
        """Whoever listens on everything is reached at the address, too."""
        rows = (
            ("[::]:5080", "192.0.2.1", True),
            ("[::]:5080", "2001:db8::1", True),
            ("0.0.0.0:5080", "192.0.2.1", True),
            ("0.0.0.0:5080", "2001:db8::1", False),
            (":5080", "192.0.2.1", True),
            ("192.0.2.1:5080", "192.0.2.1", True),
            ("192.0.2.2:5080", "192.0.2.1", False),
            ("[2001:db8:0::1]:5080", "2001:db8::1", True),
            ("node1.example.com:5080", "192.0.2.1", False),
        )
        for listen, address, expected in rows:
            self.assertEqual(covers(listen, address), expected, (listen, address))


class _Echo(Protocol):
    """Says back what it is told."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class DoorTests(TestCase):
    """`TermDoor`."""

    async def setUp(self) -> None:  # type: ignore[override]
        """A certificate and a free port."""
        ca, ca_key = new_authority("c", time.time())
        key = new_key()
        certificate = issue(ca, ca_key, Role.API, "c", [NODE], new_request(key, "c"), time.time())
        self.tls = server_options(certificate, key)
        with socket.socket() as s:
            s.bind((NODE, 0))
            self.port = s.getsockname()[1]
        self.clients: list[ssl.SSLSocket] = []
        self.addCleanup(self._close)

    def _close(self) -> None:
        for client in self.clients:
            client.close()

    def serve(self, host: str) -> TermDoor:
        """Listen as a node does, with the floating address to come."""
        listen = f"{host}:{self.port}"
        site = Factory.forProtocol(_Echo)
        self.own = Port(wrapServerTLS(self.tls, endpoint_of(REACTOR, listen)), site, listen)
        self.own.startService()
        self.addCleanup(self.own.stopService)
        door = TermDoor(REACTOR, FLOATING, listen, self.tls, site, self.own)
        self.addCleanup(lambda: Deferred.fromCoroutine(door.close()))
        return door

    def connect(self, host: str) -> ssl.SSLSocket:
        """A client's connection; blocks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection((host, self.port), timeout=20)
        client = context.wrap_socket(plain)
        self.clients.append(client)
        return client

    def echoed(self, client: ssl.SSLSocket) -> bytes:
        """What it is told back; nothing from a connection that has ended.  Blocks."""
        try:
            client.send(b"hello")
            return client.recv(10)
        except (ssl.SSLError, ConnectionError):
            return b""

    async def test_own_listener(self) -> None:
        """A listener of the term is there from open to close; the node's goes on, with its connections."""
        door = self.serve(NODE)
        with self.assertRaises(ConnectionRefusedError):
            await deferToThread(self.connect, FLOATING)
        for _ in range(2):
            await door.open()
            await door.open()
            here, there = [await deferToThread(self.connect, host) for host in (NODE, FLOATING)]
            self.assertEqual(await deferToThread(self.echoed, there), b"hello")
            await door.close()
            self.assertEqual(await deferToThread(there.recv, 10), b"")
            self.assertEqual(await deferToThread(self.echoed, here), b"hello")
            with self.assertRaises(ConnectionRefusedError):
                await deferToThread(self.connect, FLOATING)
            await door.close()

    async def test_on_everything(self) -> None:
        """Where the node's listener is reached there, only the connections end."""
        door = self.serve("0.0.0.0")
        await door.open()
        here, there = [await deferToThread(self.connect, host) for host in (NODE, FLOATING)]
        await door.close()
        self.assertEqual(await deferToThread(there.recv, 10), b"")
        self.assertEqual(await deferToThread(self.echoed, here), b"hello")

    async def test_in_use(self) -> None:
        """A port that somebody else has is told as such."""
        door = self.serve(NODE)
        with socket.socket() as taken:
            taken.bind((FLOATING, self.port))
            taken.listen()
            with self.assertRaises(AddressError):
                await door.open()
        await door.open()
