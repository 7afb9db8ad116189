"""What arrives for the floating address while it moves, with this kernel, in network namespaces."""

import socket
import subprocess
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_address, ip_interface
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from twisted_rapi.addressing import listener_among
from twisted_rapi.listening import asked_for
from twisted_rapi.net.kernel import Kernel
from twisted_rapi.net.passage import Passage
from twisted_rapi.testing.namespaces import Link

PORT, SURE = 5080, 20.0


@attrs.frozen
class _Accepted:
    """As a transport has it."""

    socket: Any


class FourTests(TestCase):
    """`Passage` with IPv4."""

    skip = missing("ip", "nft", "netns:")
    network, suffix, floating, family = "192.0.2.", "/24", "192.0.2.100", socket.AF_INET

    def setUp(self) -> None:
        """Two candidates that listen, and a client."""
        self.link, self.keep, self.clock = Link(), ExitStack(), Clock()
        self.addCleanup(self.link.remove)
        self.addCleanup(self.keep.close)
        hosts = ("a", "b", "client")
        self.link.make({host: (f"{self.network}{n}{self.suffix}",) for n, host in enumerate(hosts, 1)})
        self.listening = {host: self.listener(host) for host in ("a", "b")}
        self.passages = {host: self.passage(host) for host in ("a", "b")}

    def passage(self, host: str) -> Passage:
        """The rules of a host."""
        kernel = Kernel(partial(self.link.socket, host))
        listener = listener_among(kernel.addresses(), ip_interface(f"{self.floating}{self.suffix}"))
        feed = partial(self.feed, host)
        return Passage(self.clock, deferToThread, ip_address(self.floating), PORT, listener, feed)

    def feed(self, host: str, rules: str) -> str:
        """Give them to its kernel."""
        command = ("ip", "netns", "exec", f"{self.link.label}-{host}", "nft", "-f", "-")
        return subprocess.run(command, input=rules, capture_output=True, text=True, check=False).stderr

    def made(self, host: str) -> socket.socket:
        """One of a host, with an end to waiting."""
        made = self.keep.enter_context(self.link.socket(host, socket.AF_INET6, socket.SOCK_STREAM))
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.settimeout(SURE)
        return made

    def listener(self, host: str) -> socket.socket:
        """What listens on all addresses of a host."""
        made = self.made(host)
        made.bind(("::", PORT))
        made.listen()
        return made

    def address(self, host: str, what: str) -> None:
        """Give a host the floating address, or take it."""
        plain = " nodad" if ":" in self.floating and what == "add" else ""
        self.link.run(host, f"ip address {what} {self.floating}{self.suffix} dev eth0{plain}")

    def _connect(self) -> socket.socket:
        made = self.keep.enter_context(self.link.socket("client", self.family, socket.SOCK_STREAM))
        made.settimeout(SURE)
        made.connect((self.floating, PORT))
        return made

    def _asked(self, client: socket.socket, server: socket.socket) -> None:
        client.sendall(b"question")
        self.assertEqual(server.recv(10), b"question")
        server.sendall(b"answer")
        self.assertEqual(client.recv(10), b"answer")

    def _accept(self, host: str) -> socket.socket:
        taken, _ = self.listening[host].accept()
        taken.settimeout(SURE)
        return self.keep.enter_context(taken)

    def _move(self) -> None:
        """Have the address on the other host, and the client know it."""
        self.address("b", "add")
        mac = self.link.run("b", "cat /sys/class/net/eth0/address").strip()
        self.link.run("client", f"ip neighbour replace {self.floating} lladdr {mac} dev eth0")

    async def test_move(self) -> None:
        """
        A connection goes on without the address, and after the client has heard of its move; one that is
        begun before that is served by who had it, one that is begun after by who has it.
        """
        for passage in self.passages.values():
            await passage.open()
            self.assertTrue(passage.is_open)
        self.address("a", "add")
        before = await deferToThread(self._connect)
        at_a = await deferToThread(self._accept, "a")
        self.assertIn(asked_for(_Accepted(at_a)), (self.floating, f"::ffff:{self.floating}"))
        await deferToThread(self._asked, before, at_a)
        self.address("a", "delete")
        await deferToThread(self._asked, before, at_a)
        between = await deferToThread(self._connect)
        also_at_a = await deferToThread(self._accept, "a")
        await deferToThread(self._asked, between, also_at_a)
        await self.passages["b"].lead_back(f"{self.network}1")
        await deferToThread(self._move)
        await deferToThread(self._asked, before, at_a)
        await deferToThread(self._asked, between, also_at_a)
        after = await deferToThread(self._connect)
        await deferToThread(self._asked, after, await deferToThread(self._accept, "b"))
        self.passages["b"].stop()

    async def test_reset(self) -> None:
        """Without a wish for the move, connections that were begun before it are reset at once."""
        for passage in self.passages.values():
            await passage.open()
        self.address("a", "add")
        before = await deferToThread(self._connect)
        await deferToThread(self._accept, "a")
        self.address("a", "delete")
        await deferToThread(self._move)
        before.sendall(b"question")
        with self.assertRaises(ConnectionResetError):
            await deferToThread(before.recv, 10)


class SixTests(FourTests):
    """`Passage` with IPv6."""

    network, suffix, floating, family = "2001:db8::", "/64", "2001:db8::100", socket.AF_INET6
