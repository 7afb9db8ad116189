"""Tests of NICs in networks: addresses, MAC prefixes, and what is inherited from the group."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, create, op
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import InstanceRecord, NetworkRecord, NicRecord, name_key
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.networks import pool
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import Ended, World

A, B = NAMES
BRIDGED = {"network_mode": "bridged", "network_link": "br0"}


def connected(world: World, name: str = "net1", network: str = "10.55.0.0/29", **more: Any) -> None:
    """A network that is connected to the only group."""
    for step in (
        op("NETWORK_ADD", network_name=name, network=network, **more),
        op("NETWORK_CONNECT", network_name=name, group_name="default", **BRIDGED),
    ):
        ended = world.run(step)
        assert ended.error is None, ended


class NicCase(SynchronousTestCase):
    """Has a world with a network of five addresses for instances."""

    def setUp(self) -> None:
        self.world = World()
        connected(self.world, gateway="10.55.0.1")

    def run_op(self, what: Opcode) -> Ended:
        ended = self.world.run(what)
        self.assertEqual(ended.unlocked, set())
        self.assertEqual(complaints(self.world), [])
        return ended

    def well(self, what: Opcode) -> Ended:
        """It succeeds."""
        ended = self.run_op(what)
        self.assertIsNone(ended.error)
        return ended

    def refused(self, text: str, code: str, what: Opcode) -> None:
        """It ends with this text in the error, and this code."""
        ended = self.run_op(what)
        assert ended.error is not None, what
        self.assertIn(text, ended.error.text)
        self.assertEqual(ended.error.code, code)

    def nics(self, name: str = A) -> tuple[NicRecord, ...]:
        """The instance's NICs."""
        return self.world.instance(name).nics

    def network(self, name: str = "net1") -> NetworkRecord:
        """The network of this name."""
        return {n.name: n for n in self.world.of(NetworkRecord).values()}[name]


class CreateTests(NicCase):
    """``OP_INSTANCE_CREATE`` with NICs in networks."""

    def test_pool(self) -> None:
        """It gets the lowest free address and what the connection says; both are told (as observed)."""
        ended = self.well(create(pnode="node1", nics=[{"network": "net1", "ip": "pool"}]))
        self.assertEqual(
            ended.log[:2],
            [
                " - INFO: NIC/0 inherits netparams ['br0', 'bridged', '']",
                " - INFO: Chose IP 10.55.0.2 from network net1",
            ],
        )
        [nic] = self.nics()
        self.assertEqual((nic.ip, nic.network), ("10.55.0.2", self.network().uuid))
        self.assertEqual(nic.params, {"mode": "bridged", "link": "br0", "vlan": ""})
        self.assertEqual(pool(self.world.view(), self.network()).map, "XXX....X")
        key = name_key(f"ip/{nic.network}", "10.55.0.2")
        self.assertEqual(self.world.names[key], self.world.instance(A).uuid)
        self.well(op("INSTANCE_REMOVE", instance_name=A))
        self.assertEqual(pool(self.world.view(), self.network()).map, "XX.....X")

    def test_several(self) -> None:
        """NICs of one instance do not take each other's; one without an address takes none."""
        nics = [{"network": "net1", "ip": ip} for ip in ("pool", "pool", "10.55.0.2", "none")]
        self.well(create(pnode="node1", nics=nics))
        self.assertEqual([n.ip for n in self.nics()], ["10.55.0.3", "10.55.0.4", "10.55.0.2", None])

    def test_prefix(self) -> None:
        """New MAC addresses have the network's prefix, where it has one."""
        connected(self.world, "net2", "10.56.0.0/24", mac_prefix="aa:00:11")
        self.well(create(pnode="node1", nics=[{"network": "net2"}, {"network": "net1"}]))
        self.assertEqual([n.mac[:8] for n in self.nics()], ["aa:00:11", "aa:00:00"])

    def test_refused(self) -> None:
        """What cannot be given is refused, and nothing is left of it."""
        self.well(op("NETWORK_ADD", network_name="lonely", network="10.60.0.0/24"))
        self.well(create(B, pnode="node1", nics=[{"network": "net1", "ip": "10.55.0.4"}]))
        taken = "is in use, reserved, or not one of network net1"
        for nic, text, code in (
            ({"network": "nosuch"}, "Network 'nosuch' not found", "unknown_entity"),
            ({"network": "lonely"}, "is not connected to node group default", "wrong_input"),
            ({"network": "net1", "mode": "bridged"}, "cannot be passed", "wrong_input"),
            ({"network": "net1", "link": "br0"}, "cannot be passed", "wrong_input"),
            ({"network": "net1", "ip": "10.55.0.4"}, taken, "already_exists"),
            ({"network": "net1", "ip": "10.55.0.1"}, taken, "already_exists"),
            ({"network": "net1", "ip": "10.99.0.1"}, taken, "already_exists"),
            ({"network": "net1", "ip": "x"}, "Invalid IP address 'x'", "wrong_input"),
            ({"ip": "pool"}, "Only a NIC with a network", "wrong_input"),
            ({"ip": "10.55.0.5"}, "is one of network net1, which the NIC is not in", "wrong_state"),
        ):
            self.refused(text, code, create(pnode="node1", nics=[nic]))
        twice = [{"network": "net1", "ip": "10.55.0.5"}] * 2
        self.refused(taken, "already_exists", create(pnode="node1", nics=twice))
        self.assertEqual(len(self.world.of(InstanceRecord)), 1)

    def test_unchecked(self) -> None:
        """Without a check for conflicts, kept addresses can be used; those of other instances cannot."""
        self.well(
            create(B, pnode="node1", nics=[{"network": "net1", "ip": "10.55.0.1"}], conflicts_check=False)
        )
        self.well(create(pnode="node1", nics=[{"ip": "10.55.0.5"}], conflicts_check=False))
        again = create("c.example.com", pnode="node1", nics=[{"network": "net1", "ip": "10.55.0.1"}])
        self.refused("is in use", "already_exists", replace(again, conflicts_check=False))

    def test_exhausted(self) -> None:
        """A network without a free address gives none."""
        self.well(create(B, pnode="node1", nics=[{"network": "net1", "ip": "pool"}] * 5))
        text = "Network net1 has no free IP address for NIC 0"
        self.refused(text, "wrong_state", create(pnode="node1", nics=[{"network": "net1", "ip": "pool"}]))

    def test_routed(self) -> None:
        """Where the connection is routed an address is needed."""
        self.well(op("NETWORK_ADD", network_name="r", network="10.61.0.0/24"))
        routed = {"network_mode": "routed", "network_link": "100"}
        self.well(op("NETWORK_CONNECT", network_name="r", group_name="default", **routed))
        self.refused(
            "Routed nic mode requires", "wrong_input", create(pnode="node1", nics=[{"network": "r"}])
        )
        self.well(create(pnode="node1", nics=[{"network": "r", "ip": "pool"}]))

    def test_ipv6(self) -> None:
        """Addresses of the IPv6 network are taken by one instance too."""
        connected(self.world, "six", "10.62.0.0/24", network6="fd77::/64")
        nic = {"network": "six", "ip": "fd77::5"}
        self.well(create(B, pnode="node1", nics=[nic]))
        self.refused("is in use", "already_exists", create(pnode="node1", nics=[nic]))

    def test_told(self) -> None:
        """The node is told of the network, for the scripts of the OS."""
        self.well(create(pnode="node1", nics=[{"network": "net1", "ip": "pool"}]))
        [nic] = domain_spec(self.world.view(), self.world.instance(A)).nics
        self.assertEqual(
            nic.network,
            {
                "name": "net1",
                "uuid": self.network().uuid,
                "subnet": "10.55.0.0/29",
                "gateway": "10.55.0.1",
                "tags": [],
            },
        )


class ModifyTests(NicCase):
    """``OP_INSTANCE_SET_PARAMS`` of NICs in networks."""

    def setUp(self) -> None:
        super().setUp()
        self.well(create(pnode="node1", nics=[{"network": "net1", "ip": "pool"}]))

    def modify(self, *edits: Any, **more: Any) -> Opcode:
        """The opcode with these edits of NICs."""
        return op("INSTANCE_SET_PARAMS", instance_name=A, nics=[list(e) for e in edits], **more)

    def test_add(self) -> None:
        """A NIC that is added gets an address; the result says all of it."""
        ended = self.well(self.modify(("add", -1, {"network": "net1", "ip": "pool"})))
        [_, nic] = self.nics()
        self.assertEqual(nic.ip, "10.55.0.3")
        told = f"add:mac={nic.mac},ip=10.55.0.3,mode=bridged,link=br0,network={self.network().uuid}"
        self.assertEqual(ended.result, [("nic.1", told)])

    def test_moved(self) -> None:
        """The address is given back when the NIC has another, leaves the network, or goes."""
        view = self.world.view
        self.well(self.modify(("modify", 0, {"ip": "10.55.0.6"})))
        self.assertEqual(pool(view(), self.network()).map, "XX....XX")
        self.well(self.modify(("modify", 0, {"ip": "pool"})))
        self.assertEqual(pool(view(), self.network()).map, "XXX....X")
        connected(self.world, "net2", "10.56.0.0/24")
        ended = self.well(self.modify(("modify", 0, {"network": "net2", "ip": "pool"})))
        self.assertIn(("nic.network/0", self.network("net2").uuid), ended.result)
        self.assertEqual((self.nics()[0].ip, pool(view(), self.network()).free_count), ("10.56.0.1", 5))
        self.well(self.modify(("modify", 0, {"network": "none", "ip": "none"})))
        self.assertEqual((self.nics()[0].params, self.nics()[0].network), ({}, None))
        self.well(self.modify(("modify", 0, {"network": "net1", "ip": "pool"})))
        self.well(self.modify(("remove", 0, {})))
        self.assertEqual(pool(view(), self.network()).free_count, 5)

    def test_refused(self) -> None:
        """The old address does not go along into another network, nor out of it."""
        connected(self.world, "net2", "10.56.0.0/24")
        text = "not one of network net2"
        self.refused(text, "already_exists", self.modify(("modify", 0, {"network": "net2"})))
        text = "which the NIC is not in"
        self.refused(text, "wrong_state", self.modify(("modify", 0, {"network": "none"})))
        self.refused("cannot be passed", "wrong_input", self.modify(("modify", 0, {"link": "br1"})))

    def test_kept(self) -> None:
        """A NIC keeps its address when something else changes, and under the same address."""
        self.well(self.modify(("modify", 0, {"name": "front"})))
        self.well(self.modify(("modify", 0, {"ip": "10.55.0.2", "mac": "auto"})))
        self.assertEqual((self.nics()[0].ip, self.nics()[0].name), ("10.55.0.2", "front"))

    def test_disconnect(self) -> None:
        """A network stays connected while an instance of the group has a NIC in it (as observed)."""
        ended = self.run_op(op("NETWORK_DISCONNECT", network_name="net1", group_name="default"))
        self.assertEqual(
            ended.log,
            [
                (
                    " - WARNING: IP addresses from network 'net1', which is about to disconnect from node "
                    "group 'default', are in use: a.example.com: nic0/10.55.0.2"
                )
            ],
        )
        assert ended.error is not None
        self.assertEqual(ended.error.code, "wrong_state")


ips = st.sampled_from(["pool", "none", *(f"10.55.0.{n}" for n in range(8)), "10.55.1.2"])
network_nics = st.builds(lambda n, ip: {"network": n, "ip": ip}, st.sampled_from(["net1", "net2"]), ips)
any_name = st.sampled_from([A, B, "c.example.com"])
edits = st.one_of(
    network_nics.map(lambda nic: ["add", -1, nic]),
    network_nics.map(lambda nic: ["modify", 0, nic]),
    ips.map(lambda ip: ["modify", 0, {"ip": ip}]),
    st.just(["modify", 0, {"network": "none", "ip": "none"}]),
    st.just(["remove", -1, {}]),
)
programs = st.one_of(
    st.builds(
        lambda name, nics: create(name, pnode="node1", nics=nics, disks=[], disk_template="diskless"),
        any_name,
        st.lists(network_nics, max_size=3),
    ),
    st.builds(
        lambda name, found: op("INSTANCE_SET_PARAMS", instance_name=name, nics=found),
        any_name,
        st.lists(edits, min_size=1, max_size=3),
    ),
    any_name.map(lambda name: op("INSTANCE_REMOVE", instance_name=name)),
    st.builds(
        lambda key, ip: op("NETWORK_SET_PARAMS", network_name="net1", **{key: [f"10.55.0.{ip}"]}),
        st.sampled_from(["add_reserved_ips", "remove_reserved_ips"]),
        st.integers(0, 8),
    ),
)


class PoolPropertyTests(SynchronousTestCase):
    """Whatever is done, and wherever the master dies meanwhile."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(programs, min_size=2, max_size=8), st.sets(st.integers(0, 60), max_size=4))
    def test_owners(self, ops: list[Opcode], crashes: set[int]) -> None:
        """
        An address of a network has at most one owner, reservations are those of the records, counts are
        those of the maps, and nothing is left to do.
        """
        world = World(crashes=set())
        connected(world, gateway="10.55.0.1")
        connected(world, "net2", "10.55.0.0/28")
        world.crashes = {world.moments + n for n in crashes}
        for what in ops:
            world.run(what)
        self.assertEqual(complaints(world), [])
        had = [
            (nic.network, nic.ip)
            for instance in world.of(InstanceRecord).values()
            for nic in instance.nics
            if nic.network and nic.ip
        ]
        self.assertEqual(len(had), len(set(had)))
        self.assertNotIn("pool", [ip for _, ip in had])
        for network in world.of(NetworkRecord).values():
            free = pool(world.view(), network)
            self.assertEqual(free.map.count("."), free.free_count)
            self.assertEqual(free.used, {ip for uuid, ip in had if uuid == network.uuid})
            self.assertFalse(any(free.keeps(ip) for ip in free.used) and not network.reserved)
