"""The contract of `IVirtualNetworks` with this kernel, nft and dnsmasq, in network namespaces."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.network_rules import with_acl
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, Direction, VirtualNetworkRecord
from twisted_rapi.net.dnsmasq import PID
from twisted_rapi.net.kernel_networks import KernelNetworks, NetworkTools
from twisted_rapi.net.topology import Change, Topology, changes
from twisted_rapi.net.virtual import NodeNetworks
from twisted_rapi.testing.contracts.virtual_networks import LAB, OFFICE, VirtualNetworksContract
from twisted_rapi.testing.namespaces import Link

REACTOR: Any = reactor
NEEDS = ("ip", "netns:", "nft", "dnsmasq", "busybox")
ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2"}
TAKES_LEASE = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
/bin/busybox ip address flush dev eth0 scope global
/bin/busybox ip address add "$ip/$mask" dev eth0
/bin/busybox ip route add default via "$router"
/bin/busybox ip link set eth0 mtu "$mtu"
"""


class NodesCase(TestCase):
    """Has two nodes on a link."""

    skip = missing(*NEEDS)

    def setUp(self) -> None:
        """Make them."""
        self.link = Link()
        self.addCleanup(self.link.remove)
        self.link.make({host: (f"{address}/24",) for host, address in ADDRESSES.items()})
        # dnsmasq gives up being root and reads its files again: all folders above have to be open to it.
        self.folder = Path(tempfile.mkdtemp(prefix="rapi-networks-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.begun: list[NodeNetworks] = []
        self.addCleanup(self._end)

    async def _end(self) -> None:
        for networks in self.begun:
            await networks.make(MakeNetworks(instance="", local=""))
            await networks.end()

    def tools(self, host: str) -> NetworkTools:
        """Where a node's are run."""
        return NetworkTools(folder=self.folder / host, within=partial(self.link.within, host))

    def begin(self, host: str) -> NodeNetworks:
        """The networks of a node."""
        made = NodeNetworks(self.tools(host), REACTOR, deferToThread)
        self.begun.append(made)
        return made


class KernelTests(VirtualNetworksContract, NodesCase):
    """`NodeNetworks`."""

    def setUp(self) -> None:
        """Begin on one node."""
        super().setUp()
        self.networks = self.begin("a")
        self.kernel = KernelNetworks(self.tools("a"))

    def step(self, *networks: VirtualNetworkRecord, **more: Any) -> MakeNetworks:
        return MakeNetworks(instance="", local=ADDRESSES["a"], networks=networks, **more)

    async def left(self, step: MakeNetworks) -> tuple[Change, ...]:
        def look() -> tuple[Change, ...]:
            return changes(self.kernel.wanted(step), self.kernel.seen())

        return await deferToThread(look)

    async def seen(self) -> Topology:
        return await deferToThread(self.kernel.seen)

    async def damage(self) -> None:
        self.link.run("a", "ip link delete vmbr101")

    async def occupy(self) -> None:
        self.link.run("a", "ip link add vmbr102 type bridge")

    async def vacate(self) -> None:
        self.link.run("a", "ip link delete vmbr102")

    async def wait(self, seconds: float) -> None:
        await deferLater(REACTOR, seconds, lambda: None)

    async def done(self, work: Any) -> Any:
        return await work

    async def test_refused_late(self) -> None:
        """What the kernel refuses only when a table is committed is refused before, and nothing is left."""
        before = self.link.run("a", "nft list ruleset")
        good = Acl(name="a", direction="in", rule="tcp dport { 22, 80 } ct state new accept")
        for rules in (
            ("masquerade",),
            ("jump acl_in",),
            ("jump acl_out", "jump acl_in"),
            ('iif "eth9" drop',),
        ):
            ways: tuple[Direction, ...] = ("in", "out")
            acls = [Acl(name=rule, direction=way, rule=rule) for way, rule in zip(ways, rules, strict=False)]
            self.assertNotEqual(await self.networks.check((good, *acls)), "", rules)
        self.assertEqual(await self.networks.check((good,)), "")
        self.assertEqual(self.link.run("a", "nft list ruleset"), before)


class ServingTests(NodesCase):
    """What guests have of it."""

    def guest(self, name: str, host: str, mac: str) -> None:
        """A guest on a host's bridge."""
        self.link._add(name)
        tap = f"tap-{name}"
        self.link.run(
            name, f"ip link add eth0 address {mac} type veth peer name {tap} netns {self.link.label}-{host}"
        )
        self.link.run(host, f"ip link set {tap} master vmbr101 up")
        self.link.run(name, "ip link set lo up")
        self.link.run(name, "ip link set eth0 up")

    def leased(self, name: str) -> str:
        """The address a guest gets by DHCP; blocks."""
        script = self.folder / "takes-lease"
        script.write_text(TAKES_LEASE)
        script.chmod(0o755)
        self.link.run(
            name, f"busybox udhcpc -i eth0 -n -q -f -t 60 -T 1 -O mtu -x hostname:{name} -s {script}"
        )
        return str(re.findall(r"inet ([\d.]+)/", self.link.run(name, "ip address show dev eth0"))[0])

    def reaches(self, name: str, address: str) -> bool:
        """Whether a guest gets an answer from an address; blocks."""
        command = ["ip", "netns", "exec", f"{self.link.label}-{name}", "ping", "-c1", "-W3", address]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    async def leases(self, networks: NodeNetworks, count: int) -> dict[str, str]:
        """Addresses by host name, once there are so many."""
        changed: list[Deferred[None]] = [Deferred()]

        def told() -> None:
            before, changed[0] = changed[0], Deferred()
            before.callback(None)

        end = networks.observe(told)
        try:
            while True:
                waiting = changed[0]
                found = {lease.hostname: lease.address for lease in await networks.leases() or ()}
                if len(found) >= count:
                    return found
                await waiting
        finally:
            end()

    async def test_guests(self) -> None:
        """
        Guests on two nodes get leases from the one that serves, are known by name and reach each other and
        the gateway; a rule stops what it names; a dnsmasq that is killed, and one of another agent, go on
        with the leases; the other node takes all of it over.
        """
        a, b = self.begin("a"), self.begin("b")
        step = MakeNetworks(instance="", local="", networks=(OFFICE, LAB), peers=tuple(ADDRESSES.values()))
        on_a, on_b = (replace(step, local=address) for address in ADDRESSES.values())
        serving = replace(on_a, serving=60.0)
        await a.make(serving)
        await b.make(on_b)
        for name, host, mac in (("five", "a", "52:54:00:00:00:05"), ("six", "b", "52:54:00:00:00:06")):
            await deferToThread(self.guest, name, host, mac)
        self.assertEqual(await deferToThread(self.leased, "five"), "10.77.1.5")
        address = await deferToThread(self.leased, "six")
        self.assertEqual(await self.leases(a, 2), {"five": "10.77.1.5", "six": address})
        self.assertIn("mtu 1450", self.link.run("six", "ip link show dev eth0"))
        for guest, there in (("six", "10.77.1.5"), ("five", address), ("six", "10.77.1.1")):
            self.assertTrue(await deferToThread(self.reaches, guest, there), (guest, there))
        answer = await deferToThread(self.link.run, "six", "busybox nslookup five.office.local 10.77.1.1")
        self.assertIn("10.77.1.5", answer)
        await self._addressed("six")
        await self._ruled(a, serving)
        await self._killed(a, address)
        await self._taken_over(a, b, on_a, on_b, address)

    async def _addressed(self, guest: str) -> None:
        """The guest has made itself an address of what the router advertises, and reaches the gateway."""
        await self._until(
            lambda: (
                "fd00:77:1:" in self.link.run(guest, "ip -6 address show dev eth0 scope global -tentative")
            )
        )
        self.assertEqual(self._routers(guest), self._routed("a"))
        self.assertTrue(await deferToThread(self.reaches, guest, "fd00:77:1::1"))
        # The nodes themselves make nothing of it: they are no hosts of the network.
        self.assertNotIn("fd00:77:1:", self.link.run("b", "ip -6 address show dev vmbr101"))
        # Guests on it have changed nothing about who the gateway is.
        self.assertIn("link/ether 0e:", self.link.run("a", "ip link show dev vmbr101"))

    async def _until(self, holds: Callable[[], bool]) -> None:
        for _ in range(120):
            if holds():
                return
            await deferLater(REACTOR, 0.5, lambda: None)

    def _routers(self, guest: str) -> set[str]:
        """What the guest takes for routers of IPv6."""
        return set(re.findall(r"via (\S+)", self.link.run(guest, "ip -6 route show default")))

    def _routed(self, host: str) -> set[str]:
        """What a node is called as a router."""
        told = self.link.run(host, "ip -6 address show dev vmbr101 scope link")
        return set(re.findall(r"inet6 ([^/]+)/", told))

    async def _ruled(self, a: NodeNetworks, serving: MakeNetworks) -> None:
        """A rule stops what it names on its way out of the network, and nothing else."""
        for address in ("192.0.2.9/24", "192.0.2.10/24"):
            self.link.run("link", f"ip address add {address} dev br0")
        self.link.run("link", "ip route add 10.77.1.0/24 via 192.0.2.1")
        self.assertTrue(await deferToThread(self.reaches, "six", "192.0.2.9"))
        rule = Acl(name="x", direction="out", rule="ip daddr 192.0.2.9 icmp type echo-request drop")
        await a.make(replace(serving, networks=(with_acl(OFFICE, rule), LAB)))
        self.assertFalse(await deferToThread(self.reaches, "six", "192.0.2.9"))
        self.assertTrue(await deferToThread(self.reaches, "six", "192.0.2.10"))
        bad = replace(OFFICE, acls=(Acl(name="x", direction="in", rule="nonsense"),))
        trying = Deferred.fromCoroutine(a.make(replace(serving, networks=(bad, LAB))))
        error: Any = await self.assertFailure(trying, StepFailed)
        self.assertIn("nonsense", str(error))
        # What was before still holds.
        self.assertFalse(await deferToThread(self.reaches, "six", "192.0.2.9"))
        await a.make(serving)
        self.assertTrue(await deferToThread(self.reaches, "six", "192.0.2.9"))

    def _pid(self, host: str) -> int:
        return int((self.folder / host / "101" / PID).read_text())

    async def _killed(self, a: NodeNetworks, address: str) -> None:
        """A dnsmasq that dies is run again by itself, with its leases."""
        before = self._pid("a")
        a._begun -= 60.0  # as if it had run for long
        restarted: Deferred[None] = Deferred()
        end = a.observe(lambda: None if restarted.called else restarted.callback(None))
        os.kill(before, signal.SIGKILL)
        await restarted
        end()
        self.assertNotEqual(self._pid("a"), before)
        self.assertEqual((await self.leases(a, 2))["six"], address)

    async def _taken_over(
        self, a: NodeNetworks, b: NodeNetworks, on_a: MakeNetworks, on_b: MakeNetworks, address: str
    ) -> None:
        """An agent that begins anew finds what runs; then the other node goes on with what the first knew."""
        await a.end()
        pid = self._pid("a")
        again = self.begin("a")
        await again.resume(on_a)
        self.assertTrue(await deferToThread(self.reaches, "six", "10.77.1.1"))
        await again.make(replace(on_a, serving=60.0))
        self.assertEqual(self._pid("a"), pid)
        known = await again.leases() or ()
        await again.make(on_a)
        await b.make(replace(on_b, serving=60.0, leases=known))
        self.assertTrue(await deferToThread(self.reaches, "six", "10.77.1.1"))
        self.assertEqual(await b.leases(), known)
        await self._until(lambda: self._routers("six") == self._routed("b"))
        self.assertEqual(self._routers("six"), self._routed("b"))
        self.assertEqual(await deferToThread(self.leased, "six"), address)
        self.assertFalse((self.folder / "a" / "101").exists())


class FailingTests(NodesCase):
    """What cannot be had."""

    async def test_no_programs(self) -> None:
        """
        Without nft and dnsmasq their names are told, all else is there; nothing is known of leases then.
        """
        tools = attrs.evolve(self.tools("a"), nft="/no/nft", dnsmasq="/no/dnsmasq")
        networks = NodeNetworks(tools, REACTOR, deferToThread)
        self.begun.append(networks)
        serving = MakeNetworks(instance="", local=ADDRESSES["a"], networks=(LAB,), serving=60.0)
        trying = Deferred.fromCoroutine(networks.make(serving))
        error: Any = await self.assertFailure(trying, StepFailed)
        for text in ("nft is not installed", "dnsmasq is not installed"):
            self.assertIn(text, str(error))
        self.assertIn("10.77.2.1/24", self.link.run("a", "ip address show dev vmbr102"))
        await self.assertFailure(Deferred.fromCoroutine(networks.check(())), StepFailed)

    async def test_vlan(self) -> None:
        """
        A VLAN is on the interface with the node's address, or the kernel that has no VLANs says so.
        """
        networks = self.begin("a")
        lan = VirtualNetworkRecord(uuid="b1", name="lan", kind="bridged", vni=7)
        step = MakeNetworks(instance="", local=ADDRESSES["a"], networks=(lan,))
        try:
            await networks.make(step)
        except StepFailed as e:
            self.assertIn("not supported", str(e))
            return
        self.assertIn("vlan7@eth0", self.link.run("a", "ip -d link show master vmbr7"))

    async def test_no_address(self) -> None:
        """A node that has not the address it is said to have makes nothing."""
        networks = self.begin("a")
        step = MakeNetworks(instance="", local="203.0.113.1", networks=(LAB,))
        error: Any = await self.assertFailure(Deferred.fromCoroutine(networks.make(step)), StepFailed)
        self.assertIn("203.0.113.1", str(error))
