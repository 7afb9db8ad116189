"""Tests of networks: their addresses, and the groups they are connected to."""

from typing import Any

from msgspec.structs import replace

from tests.unit.plan.cases import OpcodeCase
from tests.unit.plan.programs import create, op
from tests.unit.plan.test_create import pair
from twisted_rapi.errors import BadRequest
from twisted_rapi.model.records import GroupRecord, NetworkRecord, NodeRecord
from twisted_rapi.plan.networks import pool
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.world import Ended

BRIDGED = {"network_mode": "bridged", "network_link": "br0"}


class NetworkCase(OpcodeCase):
    """Has a world with one network."""

    def setUp(self) -> None:
        super().setUp()
        self.well("NETWORK_ADD", network_name="net1", network="10.55.0.0/24", gateway="10.55.0.1")

    def refused(self, error: list[Any], op_id: str, **parameters: Any) -> Ended:
        """It ends with exactly this error."""
        ended = self.run_op(op_id, **parameters)
        self.assertEqual(pair(ended), error)
        return ended

    def network(self, name: str = "net1") -> NetworkRecord:
        """The network of this name."""
        return {n.name: n for n in self.world.of(NetworkRecord).values()}[name]

    @property
    def group(self) -> GroupRecord:
        """The only group."""
        return self.world.of(GroupRecord)[GROUP]


class AddTests(NetworkCase):
    """``OP_NETWORK_ADD``."""

    def test_whole(self) -> None:
        """Everything that is given is kept, in one form."""
        self.well(
            "NETWORK_ADD",
            network_name="net2",
            network="10.56.0.0/29",
            network6="FD77::/64",
            gateway6="fd77:0::1",
            add_reserved_ips=["10.56.0.5", "10.56.0.3"],
            mac_prefix="AA:00:11",
            tags=["b", "a"],
        )
        network = self.network("net2")
        self.assertEqual((network.network6, network.gateway6), ("fd77::/64", "fd77::1"))
        self.assertEqual((network.mac_prefix, network.tags), ("aa:00:11", ("a", "b")))
        self.assertEqual(network.reserved, ("10.56.0.3", "10.56.0.5"))
        self.assertEqual(pool(self.world.view(), network).map, "X..X.X.X")

    def test_taken(self) -> None:
        """A name belongs to one network."""
        text = f"Desired network name 'net1' already exists as a network (UUID: {self.network().uuid})"
        error = ["OpPrereqError", [text, "already_exists"]]
        self.refused(error, "NETWORK_ADD", network_name="net1", network="10.58.0.0/24")

    def test_refused(self) -> None:
        """Addresses have to fit together (texts as observed)."""
        cannot = "Cannot create IP address pool for network 'n': 10.0.0.0/24 does not contain 10.1.0.1"
        self.refused(
            ["OpExecError", [cannot]],
            "NETWORK_ADD",
            network_name="n",
            network="10.0.0.0/24",
            gateway="10.1.0.1",
        )
        outside = "Cannot reserve IP address '10.9.0.1': 10.0.0.0/24 does not contain 10.9.0.1"
        self.refused(
            ["OpExecError", [outside]],
            "NETWORK_ADD",
            network_name="n",
            network="10.0.0.0/24",
            add_reserved_ips=["10.9.0.1"],
        )
        for network in ("10.0.0.0/31", "10.0.0.1", "10.0.0.0/8"):
            ended = self.run_op("NETWORK_ADD", network_name="n", network=network)
            assert ended.error is not None
            self.assertIn("Cannot create IP address pool for network 'n'", ended.error.text)
        for prefix in ("zz:00:00", "aa:00", "01:00:00", "aa:00:00:00"):
            error = ["OpPrereqError", [f"Invalid MAC address prefix '{prefix}'", "wrong_input"]]
            self.refused(error, "NETWORK_ADD", network_name="n", network="10.0.0.0/24", mac_prefix=prefix)

    def test_nodes(self) -> None:
        """Addresses of nodes are kept from instances, unless nobody is to look."""
        node = self.world.of(NodeRecord)[NODES[2]]
        self.world.put(replace(node, secondary_ip="198.51.100.3"))
        ended = self.well(
            "NETWORK_ADD", network_name="a", network="192.0.2.0/24", add_reserved_ips=["192.0.2.2"]
        )
        self.assertEqual(
            ended.log,
            [
                " - INFO: Reserved IP address of node 'node1.example.com' (192.0.2.1)",
                (
                    " - WARNING: Cannot reserve IP address '192.0.2.2' of node 'node2.example.com': "
                    "IP 192.0.2.2 is already externally reserved"
                ),
                " - INFO: Reserved IP address of node 'node3.example.com' (192.0.2.3)",
            ],
        )
        self.assertEqual(self.network("a").reserved, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        self.well("NETWORK_ADD", network_name="b", network="192.0.2.0/24", conflicts_check=False)
        self.assertEqual(self.network("b").reserved, ())

    def test_requests(self) -> None:
        """What is no address never becomes a job."""
        for name, value in (
            ("network", "10.0.0.1/24"),
            ("network", "10.0.0.0/33"),
            ("network", "300.0.0.0/8"),
            ("network", "foo"),
            ("gateway", "300.0.0.1"),
            ("gateway", "zzz"),
            ("network6", "fd77::1/64"),
            ("network6", ":::/64"),
            ("gateway6", "fd77::1::2"),
            ("add_reserved_ips", ["10.0.0.1", "10.0.0.256"]),
        ):
            values = {"network_name": "n", "network": "10.0.0.0/24", name: value}
            error = self.assertRaises(BadRequest, op, "NETWORK_ADD", **values)
            self.assertIn(f"OP_NETWORK_ADD.{name}", str(error))


class ChangeTests(NetworkCase):
    """Changing, renaming and removing."""

    def test_reserved(self) -> None:
        """What can be reserved is, the rest is warned of; and the other way round."""
        ended = self.well(
            "NETWORK_SET_PARAMS",
            network_name="net1",
            add_reserved_ips=["10.55.0.9", "10.99.0.1", "10.55.0.9"],
        )
        self.assertEqual(
            ended.log,
            [
                " - WARNING: Cannot reserve IP address 10.99.0.1: 10.55.0.0/24 does not contain 10.99.0.1",
                (
                    " - WARNING: Cannot reserve IP address 10.55.0.9: "
                    "IP 10.55.0.9 is already externally reserved"
                ),
            ],
        )
        self.assertEqual((self.network().reserved, self.network().serial_no), (("10.55.0.9",), 2))
        ended = self.well(
            "NETWORK_SET_PARAMS", network_name="net1", remove_reserved_ips=["10.55.0.9", "10.55.0.1"]
        )
        self.assertEqual(
            ended.log, [" - WARNING: Cannot release IP address 10.55.0.1: IP 10.55.0.1 is always kept"]
        )
        self.assertEqual(self.network().reserved, ())

    def test_addresses(self) -> None:
        """Gateway, IPv6 network and prefix are changed; the old gateway is free again."""
        self.well(
            "NETWORK_SET_PARAMS",
            network_name="net1",
            gateway="10.55.0.2",
            network6="fd77::/64",
            gateway6="fd77::1",
            mac_prefix="aa:00:22",
        )
        network = self.network()
        self.assertEqual((network.network6, network.mac_prefix), ("fd77::/64", "aa:00:22"))
        self.assertEqual(pool(self.world.view(), network).kept, ("10.55.0.0", "10.55.0.2", "10.55.0.255"))

    def test_refused(self) -> None:
        """Gateways that are taken or outside, and both kinds of change at once."""
        both = ["OpPrereqError", ["Cannot modify gateway and reserved ips at once", "wrong_input"]]
        more = {"gateway": "10.55.0.2", "add_reserved_ips": ["10.55.0.3"]}
        self.refused(both, "NETWORK_SET_PARAMS", network_name="net1", **more)
        self.well("NETWORK_SET_PARAMS", network_name="net1", add_reserved_ips=["10.55.0.3"])
        for gateway in ("10.55.0.3", "10.55.0.0"):
            taken = f"Gateway IP address '{gateway}' is already reserved"
            error = ["OpPrereqError", [taken, "wrong_state"]]
            self.refused(error, "NETWORK_SET_PARAMS", network_name="net1", gateway=gateway)
        outside = "Cannot change network 'net1': 10.55.0.0/24 does not contain 10.56.0.1"
        error = ["OpPrereqError", [outside, "wrong_input"]]
        self.refused(error, "NETWORK_SET_PARAMS", network_name="net1", gateway="10.56.0.1")
        unknown = ["OpPrereqError", ["Network 'nosuch' not found", "unknown_entity"]]
        for op_id, parameters in (
            ("NETWORK_SET_PARAMS", {}),
            ("NETWORK_REMOVE", {}),
            ("NETWORK_RENAME", {"new_name": "x"}),
            ("NETWORK_CONNECT", {"group_name": "default", **BRIDGED}),
            ("NETWORK_DISCONNECT", {"group_name": "default"}),
        ):
            self.refused(unknown, op_id, network_name="nosuch", **parameters)

    def test_rename(self) -> None:
        """The result is the new name; another network's is refused."""
        self.assertEqual(self.well("NETWORK_RENAME", network_name="net1", new_name="net2").result, "net2")
        uuid = self.network("net2").uuid
        text = f"Desired new name 'net2' clashes with existing network (UUID: {uuid})"
        error = ["OpPrereqError", [text, "already_exists"]]
        self.refused(error, "NETWORK_RENAME", network_name="net2", new_name="net2")
        self.well("NETWORK_ADD", network_name="net1", network="10.55.0.0/24")

    def test_remove(self) -> None:
        """A network that is connected stays, be it forced."""
        self.well("NETWORK_CONNECT", network_name="net1", group_name="default", **BRIDGED)
        error = ["OpPrereqError", ["Network still connected", "wrong_state"]]
        ended = self.refused(error, "NETWORK_REMOVE", network_name="net1", force=True)
        self.assertEqual(
            ended.log, [" - WARNING: Network 'net1' is connected to the following node groups: default"]
        )
        self.refused(error, "NETWORK_REMOVE", network_name="net1", dry_run=True)
        self.well("NETWORK_DISCONNECT", network_name="net1", group_name="default")
        self.well("NETWORK_REMOVE", network_name="net1")
        self.assertEqual(self.world.of(NetworkRecord), {})


class ConnectTests(NetworkCase):
    """Connecting to groups."""

    def test_whole(self) -> None:
        """A group has mode, link and VLAN of its networks; doing it again is only warned of."""
        self.well("NETWORK_CONNECT", network_name="net1", group_name="default", **BRIDGED)
        params = {"mode": "bridged", "link": "br0", "vlan": ""}
        self.assertEqual(self.group.networks, {self.network().uuid: params})
        ended = self.well("NETWORK_CONNECT", network_name="net1", group_name="default", **BRIDGED)
        self.assertEqual(ended.log, [" - WARNING: Network 'net1' is already mapped to group 'default'"])
        self.well("NETWORK_DISCONNECT", network_name="net1", group_name="default")
        self.assertEqual(self.group.networks, {})
        ended = self.well("NETWORK_DISCONNECT", network_name="net1", group_name="default")
        self.assertEqual(ended.log, [" - WARNING: Network 'net1' is not mapped to group 'default'"])

    def test_refused(self) -> None:
        """The group is there, and the mode is one of a NIC."""
        unknown = ["OpPrereqError", ["Node group 'nosuch' not found", "unknown_entity"]]
        self.refused(unknown, "NETWORK_CONNECT", network_name="net1", group_name="nosuch", **BRIDGED)
        mode = {**BRIDGED, "network_mode": "pool"}
        ended = self.run_op("NETWORK_CONNECT", network_name="net1", group_name="default", **mode)
        self.assertIn("Invalid NIC mode 'pool'", str(ended.error))

    def test_strangers(self) -> None:
        """Addresses of the network that instances have outside of it are in its way, unless nobody looks."""
        self.assertIsNone(self.world.run(create(pnode="node1", nics=[{"ip": "192.0.2.77"}])).error)
        self.well("NETWORK_ADD", network_name="net2", network="192.0.2.0/24")
        text = "Conflicting IP addresses found;  remove/modify the corresponding network interfaces"
        error = ["OpPrereqError", [text, "wrong_state"]]
        connect: dict[str, Any] = {"network_name": "net2", "group_name": "default", **BRIDGED}
        ended = self.refused(error, "NETWORK_CONNECT", **connect)
        self.assertEqual(
            ended.log,
            [
                (
                    " - WARNING: IP addresses from network 'net2', which is about to connect to node group "
                    "'default', are in use: a.example.com: nic0/192.0.2.77"
                )
            ],
        )
        self.well("NETWORK_CONNECT", conflicts_check=False, **connect)
