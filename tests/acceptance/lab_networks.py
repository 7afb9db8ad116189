"""What a lab's virtual network is looked at with: a machine on it, the namespaces of nodes, its services."""

import contextlib
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
from twisted.names import dns

from tests.acceptance.dhcp6 import Client, Lease
from twisted_rapi.testing.lab.asking import Silence
from twisted_rapi.testing.lab.commands import inside, run, within
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import Place
from twisted_rapi.testing.lab.removal import processes
from twisted_rapi.testing.processes import await_true

VNI, DOMAIN = 100, "lab.local"
BRIDGE, UPLINK = f"vmbr{VNI}", f"vxlan{VNI}"
NETWORK4, GATEWAY4 = "10.77.0.0/24", "10.77.0.1"
NETWORK6 = "fd00:77::"
PATIENCE = 300.0  # seconds a guest, which is emulated, has for anything
_ECHO = struct.Struct("!BBHHH")


# What a node has of it.


def links(node: Place) -> set[str]:
    """The interfaces of a node that are of virtual networks."""
    told = run("ip", "-n", node.namespace, "-o", "link")
    return set(re.findall(r"^\d+: ((?:vmbr|vxlan|vlan)\d+)", told, re.MULTILINE))


def serves(node: Place) -> bool:
    """Whether a node has the gateway and a DHCP server."""
    told = run("ip", "-n", node.namespace, "-o", "address", "show", "to", GATEWAY4)
    return BRIDGE in told and bool(servers(node))


def servers(node: Place) -> list[int]:
    """A node's DHCP servers."""
    found = []
    for pid in processes(node.namespace):
        try:
            found += [pid] if b"dnsmasq" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] else []
        except OSError:
            continue
    return found


def tables(node: Place) -> list[str]:
    """A node's rules of virtual networks."""
    return re.findall(r"rapi_net_\d+", run(*inside(node.namespace), "nft", "list", "tables"))


def rules(node: Place) -> str:
    """What of the network's rules a node has."""
    return run(*inside(node.namespace), "nft", "list", "table", "inet", f"rapi_net_{VNI}")


def remains(node: Place) -> list[Any]:
    """All that a node has of virtual networks."""
    files = sorted(path.name for path in (node.folder / "networks").glob("*"))
    return [*sorted(links(node)), *tables(node), *servers(node), *files]


def floods(node: Place) -> set[str]:
    """Whom a node's VXLAN floods to."""
    told = run("bridge", "-n", node.namespace, "fdb", "show", "dev", UPLINK)
    return set(re.findall(r"^00:00:00:00:00:00 dst (\S+)", told, re.MULTILINE))


def lose_network(node: Place) -> None:
    """Remove what a restart of the node's machine would not leave."""
    for name in sorted(links(node)):
        run("ip", "-n", node.namespace, "link", "delete", name)
    for name in tables(node):
        run(*inside(node.namespace), "nft", "delete", "table", "inet", name)


# A guest, by what it writes on its serial port.


@attrs.define
class Guest:
    """
    A guest of the OS definition ``minimal``.

    :ivar name: without the domain.
    :ivar watch: what it is to try.
    """

    lab: Lab
    name: str
    watch: tuple[str, ...]

    @property
    def instance(self) -> str:
        """Its whole name."""
        return f"{self.name}.example.com"

    def told(self, since: int = 0) -> str:
        """What it has told after so many characters."""
        files = self.lab.layout.directory.glob(f"node*/serial/{self.name}.*")
        return "".join(file.read_text(errors="replace") for file in files)[since:]

    def now(self) -> int:
        """How much it has told."""
        return len(self.told())

    def await_told(self, *lines: str, since: int = 0) -> None:
        """Wait until it has told each of these lines after that."""
        wanted = set(lines)

        def told() -> bool:
            return wanted <= set(self.told(since).splitlines())

        try:
            await_true(f"{self.name} tells {', '.join(lines)}", told, PATIENCE)
        except TimeoutError as e:
            raise TimeoutError(f"{e}\n{self.told()[-2000:]}") from e

    def await_text(self, text: str) -> None:
        """Wait until it has told something with this in it."""
        await_true(f"{self.name} tells {text}", lambda: text in self.told(), PATIENCE)

    def leases(self, since: int = 0) -> list[str]:
        """The addresses it was given, as often as it was."""
        return re.findall(r"^LEASE=\w+ ([\d.]+)/", self.told(since), re.MULTILINE)

    def await_lease(self, since: int = 0) -> str:
        """Wait until it is given an address, or given it again."""
        await_true(f"{self.name} gets a lease", lambda: bool(self.leases(since)), PATIENCE)
        return self.leases(since)[-1]


# A machine on the network that is no guest.


@attrs.define
class Machine:
    """A namespace that is connected to the bridge of a node as a guest would be."""

    lab: Lab
    mac: str = "52:54:00:77:00:01"
    name: str = "machine"

    @property
    def namespace(self) -> str:
        """The lab removes it with itself."""
        return f"{self.lab.layout.name}-{self.name}"

    def connect(self, node: Place) -> None:
        """Make it."""
        run("ip", "netns", "add", self.namespace)
        port = ("type", "veth", "peer", "name", self.name, "netns", node.namespace)
        run("ip", "-n", self.namespace, "link", "add", "eth0", "mtu", "1450", "address", self.mac, *port)
        run(*inside(self.namespace), "sysctl", "-q", "net.ipv6.conf.eth0.accept_dad=0")
        run("ip", "-n", node.namespace, "link", "set", self.name, "master", BRIDGE, "up")
        run("ip", "-n", self.namespace, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """Nothing of it stays."""
        run("ip", "netns", "delete", self.namespace)

    def addresses(self) -> set[str]:
        """Those of IPv6 that it has made itself."""
        told = run("ip", "-n", self.namespace, "-6", "address", "show", "dev", "eth0", "scope", "global")
        return set(re.findall(r"inet6 ([^/ ]+)", told))

    def obtain(self) -> Lease:
        """An address by DHCPv6."""
        found: list[Lease | None] = []

        def given() -> bool:
            found[:] = [within(self.namespace, Client(self.mac, self.name).obtain)]
            return found[0] is not None

        await_true("DHCPv6 gives an address", given, 60)
        assert found[0] is not None
        return found[0]


# Asking, from the thread's namespace; `False`: nobody answers in time.


def pings(address: str, patience: float = 1.0) -> bool:
    """Whether an address answers."""
    number = int.from_bytes(os.urandom(2), "big")
    bare = _ECHO.pack(8, 0, 0, number, 1)
    total = sum(struct.unpack("!4H", bare))
    total = (total & 0xFFFF) + (total >> 16)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as asked:
        asked.settimeout(patience)
        try:
            asked.sendto(_ECHO.pack(8, 0, ~total & 0xFFFF, number, 1), (address, 0))
            while True:
                said = asked.recv(200)[20:]
                if said[0] == 0 and said[4:6] == number.to_bytes(2, "big"):
                    return True
        except OSError:
            return False


def resolved(name: str, kind: int, server: str, patience: float = 1.0) -> list[str] | None:
    """What a name server says of a name; ``None``: nothing."""
    asked = dns.Message(id=int.from_bytes(os.urandom(2), "big"), recDes=1)
    asked.addQuery(name.encode(), kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(patience)
        try:
            s.sendto(asked.toStr(), (server, 53))
            said = dns.Message()
            said.fromStr(s.recv(2000))
        except OSError:
            return None
    return [_value(each.payload) for each in said.answers]


def _value(payload: Any) -> str:
    return str(ip_address(payload.address)) if hasattr(payload, "address") else str(payload.name)


def connects(address: str, port: int, patience: float = 3.0) -> bool:
    """Whether somebody accepts connections there and says something."""
    try:
        with socket.create_connection((address, port), patience) as made:
            return bool(made.recv(100))
    except OSError:
        return False


class Service(threading.Thread):
    """
    Asks for one service again and again, until it is told to end.

    :ivar answered: when it was asked, and then answered, each time.
    """

    PAUSE = 0.1  # seconds

    def __init__(self, name: str, namespace: str, ask: Callable[[], bool]) -> None:
        super().__init__(name=name, daemon=True)
        self._namespace, self._ask, self._over = namespace, ask, threading.Event()
        self.answered: list[tuple[float, float]] = []
        self.start()

    def run(self) -> None:
        """Ask."""
        within(self._namespace, self._run)

    def _run(self) -> None:
        while not self._over.wait(self.PAUSE):
            begun = time.monotonic()
            with contextlib.suppress(Silence):
                if self._ask():
                    self.answered.append((begun, time.monotonic()))

    def end(self) -> None:
        """Ask no longer."""
        self._over.set()
        self.join()

    def await_answer(self) -> None:
        """Wait until what is asked from now on is answered."""
        since = time.monotonic()
        await_true(f"{self.name} answers", lambda: self.answered[-1:] > [(since, 0.0)], 60)

    def outage(self, since: float) -> float:
        """The longest time without an answer since then."""
        times = [since, *(at for _, at in self.answered if at > since)]
        return max((b - a for a, b in pairwise(times)), default=0.0)


class Listening:
    """TCP servers in a namespace that say something to whoever connects; a block."""

    def __init__(self, namespace: str, *ports: int) -> None:
        self._command = [*inside(namespace), "busybox", "nc", "-ll", "-p"]
        self._ports, self._running = ports, list[subprocess.Popen[bytes]]()

    def __enter__(self) -> None:
        for port in self._ports:
            started = subprocess.Popen([*self._command, str(port), "-e", "/bin/date"])
            self._running.append(started)

    def __exit__(self, *_: object) -> None:
        for each in self._running:
            each.kill()
            each.wait()
