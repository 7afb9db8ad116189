"""Tests of `twisted_rapi.web.pvc.acls`."""

from tests.unit.web.pvc.network_case import ALL, MAC, MIDDLE, NEWEST, SEED, NetworkCase
from twisted_rapi.testing.cluster import NODES


class AclTests(NetworkCase):
    """``/network/N/acl``."""

    def rules(self) -> list[tuple[str, str]]:
        """Directions and names, in order."""
        found = self.ask("GET", "/100/acl")
        return [(row["direction"], row["description"]) for row in found.json()] if found.status == 200 else []

    def add(self, name: str, direction: str = "in", agent: str = NEWEST, **more: str) -> None:
        """Add a rule."""
        values = {"description": name, "direction": direction, "rule": "accept", **more}
        self.done("POST", "/100/acl", f"Firewall rule '{name}' added successfully!", agent, **values)

    def test_life(self) -> None:
        """Rules come in their direction and order, reach the nodes, and the others move as they go."""
        self.front()
        for agent in ALL:
            for name, way, more in (
                ("a", "in", {}),
                ("b", "out", {}),
                ("c", "in", {"order": "0"}),
                ("d", "in", {"order": "99"}),
            ):
                self.add(name, way, agent, **more)
            self.assertEqual(self.rules(), [("in", "c"), ("in", "a"), ("in", "d"), ("out", "b")])
            self.assertEqual([acl.name for acl in self.told().networks[0].acls_of("in")], ["c", "a", "d"])
            self.done(
                "DELETE", "/100/acl/c", "Firewall rule 'c' removed successfully!", agent, direction="in"
            )
            self.assertEqual([row["order"] for row in self.ask("GET", "/100/acl").json()], [0, 1, 0])
            for name, way in (("a", "in"), ("b", "out"), ("d", "in")):
                text = f"Firewall rule '{name}' removed successfully!"
                self.done("DELETE", f"/100/acl/{name}", text, agent, direction=way)
        self.assertEqual(self.rules(), [])

    def test_element(self) -> None:
        """Later forms add a rule by its name; without a direction it is about what comes in."""
        self.front()
        self.done("POST", "/100/acl/e", "Firewall rule 'e' added successfully!", rule="tcp dport 22 accept")
        row = {"direction": "in", "order": 0, "description": "e", "rule": "tcp dport 22 accept"}
        self.assertEqual(self.ask("GET", "/100/acl/e").json(), [row])
        self.assertEqual(self.ask("GET", "/100/acl/e", MIDDLE).json(), row)
        self.assertEqual(self.ask("GET", "/100/acl/e", SEED).json(), [row])
        self.assertEqual(self.ask("POST", "/100/acl/f", SEED).status, 405)

    def test_listed(self) -> None:
        """Lists by pattern and direction; nothing is an empty list, or not found."""
        self.front()
        self.add("one")
        self.add("two", "out")
        for query, names in (
            ({}, ["one", "two"]),
            ({"direction": "out"}, ["two"]),
            ({"limit": "ne"}, ["one"]),
        ):
            for agent in ALL:
                found = self.browser.ask("GET", "/network/100/acl", query, User_Agent=agent).json()
                self.assertEqual([row["description"] for row in found], names)
        self.assertEqual(self.ask("GET", "/100/acl/zzz", SEED).json(), [])
        self.assertEqual(self.ask("GET", "/100/acl/zzz").json(), {"message": "ACL not found."})
        for agent, text in (
            (SEED, "Direction must be either 'in' or 'out'; for both"),
            (MIDDLE, "up is not a valid choice"),
            (NEWEST, "A valid direction must be specified."),
        ):
            found = self.browser.ask("GET", "/network/100/acl", {"direction": "up"}, User_Agent=agent)
            self.assertEqual(found.status, 400)
            self.assertIn(text, str(found.json()["message"]))
        self.assertIn("'9'", self.ask("GET", "/9/acl", SEED).json()["message"])
        self.assertIn('"9"', self.ask("GET", "/9/acl/a").json()["message"])

    def test_refused(self) -> None:
        """What nft does not understand, what is more than a rule, names that are taken, odd orders."""
        self.front()
        self.add("one")
        good = {"description": "x", "direction": "in", "rule": "accept"}
        for agent in ALL:
            for more, text in (
                ({"rule": "nonsense"}, "nft does not take the rule"),
                ({"rule": "accept; flush ruleset"}, "no ;"),
                ({"rule": "accept\nadd table inet x"}, "one line"),
                ({"rule": "accept }"}, "braces"),
                ({"rule": 'include "/etc/passwd"'}, "includes"),
                ({"rule": "$(reboot)"}, "no $"),
                ({"rule": "x" * 2000}, "characters at most"),
                ({"rule": "ﬀ"}, "ASCII"),
                ({"description": "one"}, "A rule with description 'one' already exists!"),
                ({"description": "a b"}, "whitespace"),
                ({"description": "a/b"}, "slash"),
                ({"order": "first"}, "order"),
                ({"order": "-1"}, "order"),
            ):
                self.refused("POST", "/100/acl", text, agent, **{**good, **more})
            self.refused("POST", "/9/acl", "Could not find network '9'", agent, **good)
            text = "No firewall rule exists matching description 'zzz'!"
            self.refused("DELETE", "/100/acl/zzz", text, agent, direction="in")
        self.refused("DELETE", "/100/acl/one", "No firewall rule", SEED, direction="out")
        self.refused("DELETE", "/100/acl/one", "A direction must be specified for the ACL.", SEED)
        self.refused("DELETE", "/100/acl/one", "either 'in' or 'out'", SEED, direction="up")
        for missing, text in (
            ("description", "A description must be provided."),
            ("direction", "A direction must"),
            ("rule", "NFT rule line"),
        ):
            form = {name: value for name, value in good.items() if name != missing}
            self.refused("POST", "/100/acl", text, SEED, **form)
        self.refused("POST", "/100/acl", "A whitespace-free description", direction="in", rule="accept")
        self.refused("POST", "/100/acl", "A rule must be specified.", direction="in", description="x")

    def test_bridged(self) -> None:
        """A bridged network has neither rules nor leases."""
        self.done("POST", "", "Network 'b' added successfully!", vni="7", description="b", nettype="bridged")
        self.refused("POST", "/7/acl", "A bridged network has no acls", description="x", rule="accept")
        self.refused("POST", "/7/lease", "A bridged network has no", macaddress=MAC, ipaddress="10.100.0.10")

    def test_no_master_node(self) -> None:
        """Rules that cannot be judged at present are not taken."""
        self.front()
        self.cluster.nodes.nodes[NODES[0]].down = True
        self.refused_with(503, "POST", "/100/acl", "at present", description="x", rule="accept")
