"""The resources of networks."""

from tests.unit.web.test_api import CREATION
from tests.unit.web.test_groups import ObjectCase

FIELDS = (
    "name network gateway network6 gateway6 mac_prefix free_count reserved_count map group_list inst_list "
    "external_reservations ctime mtime uuid serial_no tags"
)
NETWORK = {"network_name": "net1", "network": "10.55.0.0/29", "gateway": "10.55.0.1", "tags": ["x"]}
CONNECTION = {"group_name": "default", "network_mode": "bridged", "network_link": "br0"}
IN_USE = "Conflicting IP addresses found;  remove/modify the corresponding network interfaces"
MISSING = ["OpPrereqError", ["Network 'nosuch' not found", "unknown_entity"]]


class NetworkTests(ObjectCase):
    """``/2/networks`` and what is below."""

    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(self.get("/2/networks?bulk=1"), [])
        self.assertIsNone(self.well("POST", "/2/networks", NETWORK))

    def test_read(self) -> None:
        """A network has its fields in order, alone and in bulk."""
        self.assertEqual(self.get("/2/networks"), [{"name": "net1", "uri": "/2/networks/net1"}])
        one = self.get("/2/networks/net1")
        self.assertEqual(list(one), FIELDS.split())
        self.assertEqual((one["map"], one["free_count"], one["reserved_count"]), ("XX.....X", 5, 3))
        self.assertEqual(one["external_reservations"], "10.55.0.0, 10.55.0.1, 10.55.0.7")
        self.assertEqual((one["group_list"], one["inst_list"], one["tags"]), ([], [], ["x"]))
        self.assertEqual(self.get("/2/networks?bulk=1"), [one])
        self.assertEqual(self.browser.ask("GET", "/2/networks/nosuch").status, 404)
        self.assertEqual(self.browser.ask("GET", "/2/networks?bulk=x").status, 400)

    def test_add(self) -> None:
        """By the older key too; what is missing or no address is refused at once."""
        self.well("POST", "/2/networks", {"name": "net2", "network": "10.56.0.0/29"})
        self.wrong("OP_NETWORK_ADD.network", "POST", "/2/networks", {"network_name": "n", "network": "foo"})
        self.wrong("OP_NETWORK_ADD.network", "POST", "/2/networks", {"network_name": "n"})
        self.wrong("OP_NETWORK_ADD.network_name", "POST", "/2/networks")
        outside = {"network_name": "n", "network": "10.0.0.0/24", "gateway": "10.1.0.1"}
        text = "Cannot create IP address pool for network 'n': 10.0.0.0/24 does not contain 10.1.0.1"
        self.fails(["OpExecError", [text]], "POST", "/2/networks", outside)
        self.well("POST", "/2/networks?dry-run=1", {"network_name": "n", "network": "10.0.0.0/24"})
        self.assertEqual(len(self.get("/2/networks")), 2)

    def test_connect(self) -> None:
        """A connection shows in the network, and goes again."""
        self.assertIsNone(self.well("PUT", "/2/networks/net1/connect", CONNECTION))
        self.assertEqual(self.get("/2/networks/net1")["group_list"], [["default", "bridged", "br0", ""]])
        self.wrong(
            "OP_NETWORK_CONNECT.network_mode", "PUT", "/2/networks/net1/connect", {"group_name": "default"}
        )
        self.fails(MISSING, "PUT", "/2/networks/nosuch/connect", CONNECTION)
        self.assertIsNone(self.well("PUT", "/2/networks/net1/disconnect", {"group_name": "default"}))
        self.assertEqual(self.get("/2/networks/net1")["group_list"], [])
        self.fails(MISSING, "PUT", "/2/networks/nosuch/disconnect", {"group_name": "default"})
        self.wrong("OP_NETWORK_DISCONNECT.group_name", "PUT", "/2/networks/net1/disconnect")

    def test_instances(self) -> None:
        """An instance in a network shows there, and the network with it, under its new name too."""
        self.well("PUT", "/2/networks/net1/connect", CONNECTION)
        nics = [{"network": "net1", "ip": "pool"}, {}]
        self.well("POST", "/2/instances", {**CREATION, "nics": nics})
        network = self.get("/2/networks/net1")
        self.assertEqual((network["inst_list"], network["map"]), (["web1.example.com"], "XXX....X"))
        one = self.get("/2/instances/web1")
        self.assertEqual(
            (one["nic.ips"], one["nic.networks"]), (["10.55.0.2", None], [network["uuid"], None])
        )
        self.assertEqual(one["nic.networks.names"], ["net1", None])
        self.assertEqual(one["custom_nicparams"][0], {"mode": "bridged", "link": "br0", "vlan": ""})
        in_use = ["OpPrereqError", [IN_USE, "wrong_state"]]
        self.fails(in_use, "PUT", "/2/networks/net1/disconnect", {"group_name": "default"})
        self.well("PUT", "/2/networks/net1/rename", {"new_name": "front"})
        self.assertEqual(self.get("/2/instances/web1")["nic.networks.names"], ["front", None])
        self.well("DELETE", "/2/instances/web1")
        self.assertEqual(self.get("/2/networks/front")["free_count"], 5)

    def test_modify(self) -> None:
        """Reserved addresses show in the map."""
        self.assertIsNone(self.well("PUT", "/2/networks/net1/modify", {"add_reserved_ips": ["10.55.0.5"]}))
        self.assertEqual(self.get("/2/networks/net1")["map"], "XX...X.X")
        self.wrong("OP_NETWORK_SET_PARAMS.gateway", "PUT", "/2/networks/net1/modify", {"gateway": "zzz"})
        self.well("PUT", "/2/networks/net1/modify", {"mac_prefix": None})
        self.fails(MISSING, "PUT", "/2/networks/nosuch/modify", {"gateway": "10.55.0.2"})

    def test_rename(self) -> None:
        """The result is the new name."""
        self.assertEqual(self.well("PUT", "/2/networks/net1/rename", {"new_name": "net2"}), "net2")
        self.wrong("OP_NETWORK_RENAME.new_name", "PUT", "/2/networks/net2/rename")

    def test_tags(self) -> None:
        """Tags of networks."""
        self.well("PUT", "/2/networks/net1/tags?tag=nt1")
        self.assertEqual(self.get("/2/networks/net1/tags"), ["nt1", "x"])
        self.well("DELETE", "/2/networks/net1/tags?tag=x")
        self.assertEqual(self.get("/2/networks/net1")["tags"], ["nt1"])
        self.fails(MISSING, "PUT", "/2/networks/nosuch/tags?tag=a")
        self.fails(MISSING, "DELETE", "/2/networks/nosuch/tags?tag=a")
        self.assertEqual(self.browser.ask("GET", "/2/networks/nosuch/tags").status, 404)

    def test_remove(self) -> None:
        """It goes, unless it is connected; the body may have force."""
        self.well("PUT", "/2/networks/net1/connect", CONNECTION)
        connected = ["OpPrereqError", ["Network still connected", "wrong_state"]]
        self.fails(connected, "DELETE", "/2/networks/net1", {"force": True})
        self.well("PUT", "/2/networks/net1/disconnect", {"group_name": "default"})
        self.well("DELETE", "/2/networks/net1")
        self.fails(MISSING, "DELETE", "/2/networks/nosuch")

    def test_rights(self) -> None:
        """Changes need the right to write."""
        network = "/2/networks/net1"
        changes = ("connect", "disconnect", "modify", "rename", "tags")
        self.forbidden(
            ("POST", "/2/networks"), ("DELETE", network), *(("PUT", f"{network}/{c}") for c in changes)
        )
