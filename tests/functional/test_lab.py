"""The lab's network on this kernel: what is cut, slowed and lost, and that nothing is left of it."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing_for_lab
from twisted_rapi.testing.lab.addresses import Addresses
from twisted_rapi.testing.lab.commands import LabError, inside, run, within
from twisted_rapi.testing.lab.cutting import EVERYONE, Cut, between
from twisted_rapi.testing.lab.layout import NAME, Layout, Place
from twisted_rapi.testing.lab.network import Network
from twisted_rapi.testing.lab.removal import abandoned, labs, mounts, namespaces, processes, remove
from twisted_rapi.testing.processes import await_true

PORT = 2379
SURE, ENOUGH = 20.0, 0.3  # seconds: what passes has passed; what has not passed does not


class LabNetworkCase(SynchronousTestCase):
    """A network of a lab, without daemons."""

    skip = missing_for_lab()

    def setUp(self) -> None:
        self.layout = Layout(name=f"{NAME}{os.getpid()}")
        remove(self.layout.name)
        self.addCleanup(remove, self.layout.name)
        self.layout.directory.mkdir()
        self.network = Network(self.layout)
        self.network.set_up()
        self.sockets: dict[str, socket.socket] = {}
        for place in self.layout.places:
            for address, family in ((place.address, socket.AF_INET), (place.address6, socket.AF_INET6)):
                made = within(place.namespace, partial(socket.socket, family, socket.SOCK_DGRAM))
                self.addCleanup(made.close)
                made.bind((address, PORT))
                self.sockets[address] = made

    def hears(self, target: str, source: str, seconds: float = SURE) -> bool:
        """Whether what is sent from one address to another arrives."""
        heard = self.sockets[target]
        heard.settimeout(seconds)
        self.sockets[source].sendto(source.encode(), (target, PORT))
        try:
            return heard.recv(100) == source.encode()
        except TimeoutError:
            return False


class NetworkTests(LabNetworkCase):
    """`Network`."""

    def test_whole(self) -> None:
        """Everyone hears everyone, over IPv4 and IPv6; what is there is not made again."""
        for one in self.layout.places:
            for other in self.layout.places:
                self.assertTrue(self.hears(one.address, other.address))
                self.assertTrue(self.hears(one.address6, other.address6))
        self.assertRaises(LabError, self.network.set_up)

    def test_cut(self) -> None:
        """A cut is of one direction, or both, of both protocols, and of nobody else; then it is ended."""
        a, b, c = self.layout.nodes
        # Each knows where the other is, or the answer to that question would be cut, too.
        self.assertTrue(self.hears(b.address, a.address))
        self.assertTrue(self.hears(b.address6, a.address6))
        self.network.cut([Cut("node1", "node2")])
        self.assertFalse(self.hears(b.address, a.address, ENOUGH))
        self.assertFalse(self.hears(b.address6, a.address6, ENOUGH))
        self.assertTrue(self.hears(a.address, b.address))
        self.assertTrue(self.hears(c.address, a.address))
        self.network.cut(between(["node1"], [EVERYONE]))
        self.assertFalse(self.hears(c.address, a.address, ENOUGH))
        self.assertFalse(self.hears(a.address, c.address, ENOUGH))
        self.assertTrue(self.hears(c.address, b.address))
        self.network.cut([])
        self.assertTrue(self.hears(b.address, a.address))

    def test_ports(self) -> None:
        """A cut of some ports lets others through."""
        a, b, _ = self.layout.nodes
        self.network.cut(between(["node1"], ["node2"], (PORT,)))
        for port, passes in ((PORT, False), (PORT + 1, True)):
            with within(a.namespace, partial(socket.create_server, (a.address, port))):
                self.assertEqual(within(b.namespace, partial(_reached, a, port, passes)), passes)

    def test_loss(self) -> None:
        """A share of the frames is lost."""
        a, b, _ = self.layout.nodes
        self.assertTrue(self.hears(b.address, a.address))  # each knows where the other is
        self.network.cut([Cut("node1", EVERYONE, (), 50)])
        for _ in range(200):
            self.sockets[a.address].sendto(b"x", (b.address, PORT))
        heard = self.sockets[b.address]
        heard.settimeout(1.0)
        count = 0
        try:
            while heard.recv(10):
                count += 1
        except TimeoutError:
            pass
        self.assertTrue(40 < count < 160, count)

    def _round(self, a: Place, b: Place) -> float:
        """Seconds there and back."""
        begun = time.monotonic()
        self.assertTrue(self.hears(b.address, a.address))
        self.assertTrue(self.hears(a.address, b.address))
        return time.monotonic() - begun

    def test_delay(self) -> None:
        """Packets take longer each way, whoever makes that, and as long as before when it is ended."""
        a, b, _ = self.layout.nodes
        self._round(a, b)
        by = self.network.delay(a, 0.1, 0.0)
        self.assertIn(by, ("netem", "wire"))
        self.assertGreaterEqual(min(self._round(a, b) for _ in range(3)), 0.2)
        self.assertTrue(self.hears(b.address6, a.address6))
        self.network.cut(between(["node1"], [EVERYONE]))
        self.assertFalse(self.hears(b.address, a.address, 1.0))
        self.network.restore()
        self.assertLess(min(self._round(a, b) for _ in range(20)), 0.2)

    def test_large(self) -> None:
        """What is sent in large pieces comes whole through a delay."""
        a, b, _ = self.layout.nodes
        self.network.delay(a, 0.005, 0.004)
        data = os.urandom(500_000)
        server = within(a.namespace, lambda: socket.create_server((a.address, 99)))
        self.addCleanup(server.close)

        def send() -> None:
            with socket.create_connection((a.address, 99), timeout=SURE) as out:
                out.sendall(data)

        sender = threading.Thread(target=lambda: within(b.namespace, send))
        sender.start()
        server.settimeout(SURE)
        taken, _ = server.accept()
        with taken:
            taken.settimeout(SURE)
            found = hashlib.sha256()
            while part := taken.recv(65536):
                found.update(part)
        sender.join()
        self.assertEqual(found.digest(), hashlib.sha256(data).digest())

    def test_cable(self) -> None:
        """A node whose cable is pulled hears nobody until it is in again."""
        a, b, _ = self.layout.nodes
        self.network.plug(a, False)
        self.assertFalse(self.hears(a.address, b.address, ENOUGH))
        self.network.plug(a, True)
        await_true("it is heard", lambda: self.hears(a.address, b.address, ENOUGH))


def _reached(place: Place, port: int, wanted: bool) -> bool:
    try:
        socket.create_connection((place.address, port), timeout=SURE if wanted else ENOUGH).close()
    except OSError:
        return False
    return True


class AddressesTests(LabNetworkCase):
    """`Addresses`."""

    def _ip(self, place: Place, what: str, address: str) -> None:
        run("ip", "-n", place.namespace, "address", what, address, "dev", "eth0")

    def test_holders(self) -> None:
        """Who has an address is known, also of several, and one who waits is woken when it comes or goes."""
        a, b, _ = self.layout.nodes
        addresses = Addresses({node.name: node.namespace for node in self.layout.nodes})
        self.addCleanup(addresses.close)
        for floating in (self.layout.floating_address, "fd00:213::100"):
            suffix = "/64" if ":" in floating else "/24"
            self.assertEqual(addresses.holders(floating), ())
            begun = time.monotonic()
            self._ip(a, "add", floating + suffix)
            addresses.await_change(SURE)
            self.assertLess(time.monotonic() - begun, SURE)
            self.assertEqual(addresses.holders(floating), (a.name,))
            self._ip(b, "add", floating + suffix)
            self.assertEqual(addresses.holders(floating), (a.name, b.name))
            self._ip(a, "delete", floating + suffix)
            self.assertEqual(addresses.holders(floating), (b.name,))


class RemovalTests(LabNetworkCase):
    """`remove`."""

    def test_everything(self) -> None:
        """Processes, stopped ones too, mounts, links and files are gone; a second time does nothing."""
        node = self.layout.nodes[0]
        child = subprocess.Popen([*inside(node.namespace), "sleep", "1000"])
        self.addCleanup(child.wait)
        await_true("it is in there", lambda: child.pid in processes(node.namespace))
        child.send_signal(signal.SIGSTOP)
        disk = self.layout.directory / "disk"
        disk.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=1m", self.layout.name, str(disk))
        self.network.delay(node, 0.01)
        self.assertIn(self.layout.name, labs())
        self.assertNotIn(self.layout.name, abandoned())
        self.assertIn(str(disk), remove(self.layout.name))
        self.assertEqual(child.wait(), -signal.SIGKILL)
        self.assertEqual(namespaces(f"{self.layout.name}-"), [])
        self.assertEqual([name for name, _ in mounts(NAME) if name == self.layout.name], [])
        self.assertFalse(self.layout.directory.exists())
        self.assertEqual(remove(self.layout.name), [])

    def test_killed(self) -> None:
        """What a process left that was killed while it had a lab is known to be nobody's."""
        program = (
            "import os, signal; from twisted_rapi.testing.lab.layout import *; "
            "from twisted_rapi.testing.lab.network import Network; "
            "layout = Layout(name=f'{NAME}{os.getpid()}'); layout.directory.mkdir(); "
            "Network(layout).set_up(); "
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        killed = subprocess.Popen([sys.executable, "-c", program])
        killed.wait()
        name = f"{NAME}{killed.pid}"
        self.assertIn(name, abandoned())
        self.assertTrue(remove(name))
        self.assertNotIn(name, labs())
        self.assertFalse(Path("/tmp", name).exists())
