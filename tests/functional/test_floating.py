"""The contract of `IFloatingAddress` with this kernel, in network namespaces; what is particular to it."""

import errno
import re
import socket
import time
from functools import partial
from ipaddress import ip_address
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.functional.waiting import until
from tests.requirements import missing
from twisted_rapi.errors import AddressElsewhere, AddressError, NoInterface
from twisted_rapi.net.floating import FollowedAddress, OwnAddress
from twisted_rapi.net.kernel import Kernel
from twisted_rapi.testing.contracts.floating import FloatingAddressContract
from twisted_rapi.testing.namespaces import Link

REACTOR: Any = reactor
PORT = 5080


class OnALink:
    """Mixed in: two hosts and a client on a bridge."""

    skip = missing("ip", "netns:")
    text, network = "192.0.2.100", "192.0.2.{}/24"
    hosts = ("a", "b", "client")
    lifetime = 12

    def setUp(self: Any) -> None:
        """Make the link."""
        if self._testMethodName == "test_ends_by_itself":
            self.lifetime = 2
        self.link = Link()
        self.addCleanup(self.link.remove)
        self.link.make({host: (self.network.format(n),) for n, host in enumerate(self.hosts, 1)})
        self.prefix = int(self.network.partition("/")[2])
        self.held: list[OwnAddress] = []
        self.addCleanup(self._release)

    async def _release(self: Any) -> None:
        for address in self.held:
            await address.release()

    def make(self: Any, host: str, interface: str = "eth0") -> OwnAddress:
        """The address as a host has it."""
        made = OwnAddress(
            REACTOR,
            deferToThread,
            partial(self.link.socket, host),
            self.text,
            interface,
            self.prefix,
            self.lifetime,
        )
        self.held.append(made)
        return made

    def listens(self: Any, host: str) -> None:
        """Have a host greet whoever connects with its name."""
        family = socket.AF_INET6 if ":" in self.text else socket.AF_INET
        server = self.link.socket(host, family, socket.SOCK_STREAM)
        self.addCleanup(server.close)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", PORT))
        server.listen()
        server.settimeout(5)
        setattr(self, f"server_{host}", server)

    def talk(self: Any) -> str:
        """The host that the client reaches; blocks."""
        family = socket.AF_INET6 if ":" in self.text else socket.AF_INET
        client = self.link.socket("client", family, socket.SOCK_STREAM)
        client.settimeout(0.5)  # less than what the client's kernel needs to find out that a host is gone
        try:
            client.connect((self.text, PORT))
            port = client.getsockname()[1]
            for host in ("a", "b"):
                server = getattr(self, f"server_{host}")
                server.setblocking(False)
                try:
                    connection, peer, *_ = server.accept()
                except BlockingIOError:
                    continue
                connection.close()
                if peer[1] == port:
                    return host
            return "nobody"
        finally:
            client.close()


class OwnIPv4Tests(OnALink, FloatingAddressContract, TestCase):
    """`OwnAddress`, IPv4."""

    async def address(self, host: str) -> Any:
        return self.make(host)

    async def done(self, work: Any) -> Any:
        return await work

    async def has(self, host: str) -> bool:
        kernel = Kernel(partial(self.link.socket, host))
        return bool(await deferToThread(kernel.find, ip_address(self.text)))

    async def remove(self, host: str) -> None:
        self.link.run(host, f"ip address delete {self.text}/{self.prefix} dev eth0")

    async def leave(self, host: str) -> None:
        self.link.run(host, f"ip address add {self.text}/{self.prefix} dev eth0")

    async def left(self, host: str) -> float:
        shown = self.link.run(host, f"ip address show dev eth0 to {self.text}")
        [seconds] = re.findall(r"valid_lft (\d+)sec", shown)
        return float(seconds)

    def now(self) -> float:
        return time.monotonic()

    async def live(self, seconds: float) -> None:
        await deferLater(REACTOR, seconds, lambda: None)

    async def reached(self) -> str:
        for host in ("a", "b"):
            if not hasattr(self, f"server_{host}"):
                self.listens(host)
        return str(await deferToThread(self.talk))

    async def test_as_ip_shows_it(self) -> None:
        """Other programs see it on the interface, with its prefix and what is left of its time."""
        await self.make("a").take(lambda: True)
        shown = self.link.run("a", f"ip address show dev eth0 to {self.text}")
        self.assertIn(f"{self.text}/{self.prefix}", shown)
        self.assertRegex(shown, r"valid_lft \d+sec")

    async def test_probes(self) -> None:
        """Two hosts that want it at the same moment do not both get it."""
        taking = [Deferred.fromCoroutine(self.make(host).take(lambda: True)) for host in ("a", "b")]
        for one in taking:
            one.addErrback(lambda f: f.trap(AddressError) and None)
            await one
        self.assertLess(await self.has("a") + await self.has("b"), 2)

    async def test_no_interface(self) -> None:
        """An interface that is not there, or is down, is named in the error."""
        missing_one = self.make("a", "eth7").take(lambda: True)
        error: Any = await self.assertFailure(Deferred.fromCoroutine(missing_one), NoInterface)
        self.assertIn("eth7", str(error))
        self.link.run("a", "ip link set eth0 down")
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.make("a").take(lambda: True)), NoInterface
        )
        self.assertIn("down", str(error))

    async def test_interface_goes(self) -> None:
        """An interface that goes away ends the holding."""
        address = self.make("a")
        await address.take(lambda: True)
        holding = Deferred.fromCoroutine(address.hold(lambda: True))
        holding.addErrback(lambda f: f.trap(AddressError) and "refused")
        self.link.run("a", "ip link delete eth0")
        self.assertTrue(await holding)

    async def test_not_permitted(self) -> None:
        """What the kernel refuses is told as it is."""

        def refuses(family: int, kind: int, protocol: int) -> socket.socket:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        address = OwnAddress(REACTOR, deferToThread, refuses, self.text, "eth0", self.prefix, self.lifetime)
        error: Any = await self.assertFailure(
            Deferred.fromCoroutine(address.take(lambda: True)), AddressError
        )
        self.assertIn("not permitted", str(error))

    async def test_defended(self) -> None:
        """Who claims an address that is held is answered, so that clients come back."""
        address = self.make("a")
        await address.take(lambda: True)
        holding = Deferred.fromCoroutine(address.hold(lambda: True))
        self.assertEqual(await self._reached_after_announcing(address), "a")
        await self.leave("b")
        rogue = self.make("b")
        rogue._held = await deferToThread(rogue._kernel.link, "eth0")
        rogue._announce_once()
        await self.live(0.5)
        self.assertEqual(await self.reached(), "a")
        self.assertNoResult(holding)
        self.flushLoggedErrors()
        await self.remove("b")
        holding.cancel()
        holding.addErrback(lambda _: None)

    async def _reached_after_announcing(self, address: OwnAddress) -> str:
        announcing = Deferred.fromCoroutine(address.announce())
        announcing.addErrback(lambda _: None)
        await self.live(0.1)
        announcing.cancel()
        return await self.reached()


class OwnIPv6Tests(OwnIPv4Tests):
    """`OwnAddress`, IPv6."""

    text, network = "2001:db8::100", "2001:db8::{}/64"


class FollowedTests(OnALink, TestCase):
    """`FollowedAddress`."""

    def setUp(self) -> None:
        """An address that host ``a`` is given and deprived of."""
        super().setUp()
        make = partial(self.link.socket, "a")
        self.followed = FollowedAddress(REACTOR, deferToThread, make, self.text, "eth0")

    async def test_moves(self) -> None:
        """It is had while it is there; its coming and going are told; it is never removed."""
        told: list[str] = []
        looking = Deferred.fromCoroutine(self.followed.able(told.append))
        looking.addErrback(lambda f: f.trap(CancelledError) and None)
        self.addCleanup(looking.cancel)
        for _ in range(2):
            taking = Deferred.fromCoroutine(self.followed.take(lambda: True))
            await self.assertFailure(taking, AddressElsewhere)
            arrival = Deferred.fromCoroutine(self.followed.arrival())
            self.link.run("a", f"ip address add {self.text}/32 dev eth0")
            await arrival
            await self.followed.clean()
            await self.followed.take(lambda: True)
            await self.followed.announce()
            holding = Deferred.fromCoroutine(self.followed.hold(lambda: True))
            await self.followed.release()
            await deferLater(REACTOR, 0.1, lambda: None)
            self.assertNoResult(holding)
            self.link.run("a", f"ip address delete {self.text}/32 dev eth0")
            self.assertIn(self.text, await holding)
        await until(lambda: len(told) == 5)
        elsewhere = f"{self.text} is not on this host"
        self.assertEqual(told, [elsewhere, "", elsewhere, "", elsewhere])
