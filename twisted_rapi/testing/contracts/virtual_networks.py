"""What every `IVirtualNetworks` does."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.network_rules import completed
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, StaticLease, VirtualNetworkRecord
from twisted_rapi.net.virtual_interface import IVirtualNetworks

OFFICE = completed(
    VirtualNetworkRecord(
        uuid="v1",
        name="office",
        kind="managed",
        vni=101,
        ip4_network="10.77.1.0/24",
        ip4_gateway="10.77.1.1",
        dhcp4=True,
        dhcp4_start="10.77.1.10",
        dhcp4_end="10.77.1.20",
        ip6_network="fd00:77:1::/64",
        static_leases=(StaticLease(mac="52:54:00:00:00:05", address="10.77.1.5", hostname="five"),),
        acls=(Acl(name="no mail", direction="out", rule="tcp dport 25 drop"),),
    )
)
LAB = completed(
    VirtualNetworkRecord(
        uuid="v2", name="lab", kind="managed", vni=102, ip4_network="10.77.2.0/24", ip4_gateway="10.77.2.1"
    )
)
LEASE = DhcpLeaseRecord(
    network="v1",
    address="10.77.1.12",
    mac="52:54:00:00:00:12",
    hostname="twelve",
    expires=4e9,
)
GATEWAYS = frozenset({"10.77.1.1/24", "fd00:77:1::1/64"})


class VirtualNetworksContract:
    """
    Mixed in with a test case.

    It needs ``networks`` (the subject on a node), ``step(*networks, **more)`` (for that node),
    ``left(step)`` (what there is still to change), ``seen()`` (a `Topology`), ``damage()`` (removes the
    bridge of `OFFICE`), ``occupy()`` (makes an interface ``vmbr102`` of somebody else), ``vacate()`` (removes
    it), ``wait(seconds)``, and ``done(coroutine)``.
    """

    networks: Any
    step: Any
    left: Any
    seen: Any
    damage: Any
    occupy: Any
    vacate: Any
    wait: Any
    done: Any

    async def test_life(self: Any) -> None:
        """
        Networks come, stay as they are, are put right, serve and stop serving, and go without a trace.
        """
        verifyObject(IVirtualNetworks, self.networks)
        before = await self.seen()
        both = self.step(OFFICE, LAB, peers=("192.0.2.2", "192.0.2.3"))
        await self._make(both)
        self.assertEqual((await self.seen()).addresses, {})
        self.assertIsNone(await self.done(self.networks.leases()))
        self.assertLessEqual({"vmbr101", "vmbr102"}, set(await self.done(self.networks.bridges())))
        await self.done(self.networks.resume(both))
        self.assertEqual(await self.left(both), ())
        await self.damage()
        self.assertNotEqual(await self.left(both), ())
        await self._make(both)
        serving = replace(both, serving=60.0)
        await self._make(serving)
        found = await self.seen()
        self.assertEqual(found.addresses["vmbr101"], GATEWAYS)
        self.assertEqual(set(found.servers), {101, 102})
        self.assertEqual(await self.done(self.networks.leases()), ())
        await self.done(self.networks.end())
        await self.done(self.networks.resume(both))
        self.assertEqual(await self.left(serving), ())
        self.assertEqual(await self.done(self.networks.leases()), ())
        await self._make(self.step(replace(OFFICE, static_leases=()), peers=("192.0.2.3",), serving=60.0))
        found = await self.seen()
        self.assertEqual((set(found.tables), set(found.servers)), ({101}, {101}))
        self.assertEqual(found.floods, {"vxlan101": frozenset({"192.0.2.3"})})
        await self._make(self.step())
        self.assertEqual(await self.seen(), before)

    async def _make(self: Any, step: MakeNetworks) -> None:
        await self.done(self.networks.make(step))
        self.assertEqual(await self.left(step), ())

    async def test_leases(self: Any) -> None:
        """A server begins with the leases that are known, and forgets what it is told to forget."""
        other = replace(LEASE, address="10.77.1.13", mac="52:54:00:00:00:13", hostname="")
        step = self.step(OFFICE, LAB, serving=60.0, leases=(LEASE, other))
        await self._make(step)
        found = await self.done(self.networks.leases())
        self.assertEqual([e.address for e in found], [LEASE.address, other.address])
        await self.done(self.networks.forget("v1", (other.address,)))
        [left] = await self.done(self.networks.leases())
        self.assertEqual((left.address, left.hostname), (LEASE.address, LEASE.hostname))
        self.assertEqual(await self.left(step), ())
        for network in ("v9", "v1"):
            if network == "v1":
                await self._make(replace(step, serving=0.0))
            trying = Deferred.fromCoroutine(self.networks.forget(network, (LEASE.address,)))
            self.assertEqual((await self.done(_failure(trying))).kind, "network")
        await self._make(self.step())

    async def test_given_up(self: Any) -> None:
        """What is not said again ends with its time, and observers are told that leases may be others."""
        told: list[None] = []
        end = self.networks.observe(lambda: told.append(None))
        step = self.step(OFFICE, serving=2.0)
        await self._make(step)
        count = len(told)
        self.assertIn("vmbr101", (await self.seen()).addresses)
        await self.wait(2.0)
        for _ in range(100):
            if len(told) > count:
                break
            await self.wait(0.1)
        self.assertEqual(await self.left(replace(step, serving=0.0)), ())
        self.assertIsNone(await self.done(self.networks.leases()))
        end()
        await self._make(self.step())
        self.assertEqual(len(told), count + 1)

    async def test_strange(self: Any) -> None:
        """Somebody else's interface is not taken, the refusal names it, and the other networks are there."""
        await self.occupy()
        trying = Deferred.fromCoroutine(self.networks.make(self.step(OFFICE, LAB)))
        error: Any = await self.done(_failure(trying))
        self.assertIn("vmbr102", error.text)
        self.assertEqual(error.kind, "network")
        self.assertIn("vmbr101", await self.done(self.networks.bridges()))
        await self.done(self.networks.make(self.step()))
        self.assertIn("vmbr102", (await self.seen()).interfaces)
        await self.vacate()

    async def test_check(self: Any) -> None:
        """Rules are judged, and nothing is changed by that."""
        before = await self.seen()
        good = Acl(name="a", direction="in", rule="tcp dport { 22, 80 } accept")
        bad = Acl(name="b", direction="out", rule="nonsense here")
        self.assertEqual(await self.done(self.networks.check((good,))), "")
        self.assertIn("nonsense", await self.done(self.networks.check((good, bad))))
        self.assertEqual(await self.seen(), before)


async def _failure(trying: "Deferred[None]") -> StepFailed:
    try:
        await trying
    except StepFailed as e:
        return e
    raise AssertionError("it did not fail")
