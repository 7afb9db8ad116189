"""Tests of `twisted_rapi.web.pvc.networks`."""

from tests.unit.web.pvc.network_case import ALL, FRONT, MIDDLE, NEWEST, SEED, NetworkCase
from twisted_rapi.testing.cluster import NODES


class NetworkTests(NetworkCase):
    """``/network`` and ``/network/N``."""

    def test_none(self) -> None:
        """Without networks the oldest form answers an empty list, later ones that there is none."""
        for path in ("", "/100", "/nosuch"):
            self.assertEqual(self.ask("GET", path, SEED).json(), [])
            for agent in (MIDDLE, NEWEST):
                found = self.ask("GET", path, agent)
                self.assertEqual((found.status, found.json()), (404, {"message": "Network not found."}))

    def test_life(self) -> None:
        """A network is made on the nodes, found by id and name, counted, renamed, and removed."""
        self.front()
        [network] = self.told().networks
        self.assertEqual((network.vni, network.dhcp4, network.dhcp4_end), (100, True, "10.100.0.199"))
        for name in ("100", "front"):
            self.assertEqual(self.shown(f"/{name}")["ip4"]["dhcp_flag"], "True")
        self.assertEqual(self.ask("GET", "/100", MIDDLE).json()["vni"], 100)
        self.assertEqual(self.shown("/100", SEED)["vni"], "100")
        self.assertEqual(self.browser.ask("GET", "/status", User_Agent=NEWEST).json()["networks"], 1)
        self.done("PUT", "/front", "Network 'front' modified successfully!", description="back", mtu="1400")
        self.assertEqual([self.shown("/back")[name] for name in ("description", "mtu")], ["back", "1400"])
        self.assertEqual(self.ask("GET", "/front").status, 404)
        self.refused(
            "POST",
            "",
            "A network with description 'back' already exists!",
            vni="7",
            description="back",
            nettype="bridged",
        )
        self.done(
            "POST", "", "Network 'front' added successfully!", vni="7", description="front", nettype="bridged"
        )
        self.refused("PUT", "/7", "A network with description 'back' already exists!", description="back")
        self.done("DELETE", "/back", "Network 'back' removed successfully!")
        self.assertEqual([network.vni for network in self.told().networks], [7])

    def test_present(self) -> None:
        """It is answered once the nodes have the bridge, or soon, and is there in any case."""
        form, nodes = "vni=7&description=lan&nettype=bridged", self.cluster.nodes

        def made(most: int) -> bytes:
            kind = "application/x-www-form-urlencoded"
            path = "/api/v1/network"
            return self.browser.waited("POST", path, form.encode(), kind, most, User_Agent=NEWEST)

        nodes.hold()
        self.assertEqual(made(8), b"")
        self.assertEqual(self.shown("/lan")["vni"], 7)
        nodes.release()
        self.assertIn("vmbr7", nodes.reports[NODES[0]].bridges)
        self.done("DELETE", "/lan", "Network 'lan' removed successfully!")
        nodes.hold()
        self.assertIn(b" 200 ", made(12).partition(b"\r\n")[0])
        nodes.release()
        self.done("DELETE", "/lan", "Network 'lan' removed successfully!")
        self.assertIn(b" 200 ", made(0).partition(b"\r\n")[0])

    def test_patterns(self) -> None:
        """Ids and names are looked for; 0.6 looks at their beginnings; what has both is listed once."""
        self.front()
        self.done(
            "POST", "", "Network 'n100' added successfully!", vni="7", description="n100", nettype="bridged"
        )
        for agent, limit, count in (
            (SEED, "100", 2),
            (MIDDLE, "100", 1),
            (NEWEST, "100", 2),
            (NEWEST, "ront", 1),
            (SEED, "^n", 1),
            (NEWEST, "(a+)+$", 1),
        ):
            found = self.browser.ask("GET", "/network", {"limit": limit}, User_Agent=agent)
            found_count = len(found.json()) if found.status == 200 else 0
            self.assertEqual(found_count, 0 if limit == "(a+)+$" else count, (agent, limit))
        found = self.browser.ask("GET", "/network", {"limit": "["}, User_Agent=NEWEST)
        self.assertEqual(found.status, 400)

    def test_forms(self) -> None:
        """Every form makes networks; later ones also by the element, with several name servers."""
        values = {**FRONT, "domain": "x.example"}
        for agent in ALL:
            self.done("POST", "", "Network 'front' added successfully!", agent, **values)
            self.done("PUT", "/100", "Network '100' modified successfully!", agent, domain="y.example")
            self.assertEqual(self.told().networks[0].domain, "y.example")
            self.done("PUT", "/100", "Network '100' modified successfully!", agent)
            self.done("DELETE", "/100", "Network 'front' removed successfully!", agent)
        named = {name: value for name, value in FRONT.items() if name != "vni"}
        for agent in (MIDDLE, NEWEST):
            query = "name_servers=1.1.1.1&name_servers=8.8.8.8,ns.example.com"
            sent = self.browser.ask("POST", f"/network/100?{query}", form=named, User_Agent=agent)
            self.assertEqual(sent.json(), {"message": "Network 'front' added successfully!"})
            [shown] = [self.ask("GET", "/100", agent).json()]
            shown = shown[0] if agent == NEWEST else shown
            self.assertEqual(shown["name_servers"], ["1.1.1.1", "8.8.8.8", "ns.example.com"])
            self.done("DELETE", "/100", "Network 'front' removed successfully!", agent)
        self.assertEqual(self.ask("POST", "/100", SEED).status, 405)

    def test_needed(self) -> None:
        """What is missing is told as each form does."""
        for form, text in (
            ({}, "A VNI must be specified"),
            ({"vni": "5"}, "A description must be specified"),
            ({"vni": "5", "description": "x"}, "A nettype must be specified"),
            ({"vni": "5", "description": "x", "nettype": "managed,bridged"}, "A valid nettype"),
        ):
            self.refused_with(520, "POST", "", text, SEED, **form)
        for agent, text in (
            (MIDDLE, "in the JSON body or the post body"),
            (NEWEST, "in the query string or"),
        ):
            self.refused("POST", "", text, agent, nettype="managed")
            self.refused("POST", "", "A valid nettype must be specified", agent, vni="5", description="x")

    def test_checked(self) -> None:
        """What the first documentation asks for is asked for by all forms."""
        wrong = (
            ({"vni": "abc"}, "VNI"),
            ({"vni": "0"}, "VNI"),
            ({"vni": "16777216"}, "VNI"),
            ({"vni": "4095", "nettype": "bridged"}, "VNI"),
            ({"description": "two words"}, "whitespace"),
            ({"description": "12"}, "number"),
            ({"ip4_network": "nonsense"}, "not a valid network"),
            ({"ip4_network": "10.100.0.9/24"}, "the network is 10.100.0.0/24"),
            ({"ip4_gateway": ""}, "gateway is required"),
            ({"ip4_gateway": "10.99.0.1"}, "not in 10.100.0.0/24"),
            ({"ip4_gateway": "10.100.0.255"}, "broadcast"),
            ({"dhcp4_start": ""}, "start and end addresses are required"),
            ({"dhcp4_end": ""}, "start and end addresses are required"),
            ({"dhcp4_end": "10.100.1.1"}, "not in"),
            ({"dhcp4_start": "10.100.0.200"}, "before they start"),
            ({"ip6_network": "10.0.0.0/8"}, "IPv6"),
            ({"domain": "no domain"}, "domain"),
        )
        for agent in ALL:
            for more, text in wrong:
                self.refused("POST", "", text, agent, **{**FRONT, **more})
        self.refused("POST", "", "not in", ip6_network="fd00:1::/64", ip6_gateway="fd00:2::1", **FRONT)
        self.front(ip6_network="fd00:1::/64")
        self.assertEqual(self.shown()["ip6"]["gateway"], "fd00:1::1")
        self.refused("POST", "", "overlaps", **{**FRONT, "vni": "5", "description": "five"})

    def test_changes(self) -> None:
        """Changes are checked as new networks are; in the newest form what is given empty is taken away."""
        self.front()
        self.refused("PUT", "/100", "not in", ip4_gateway="10.99.0.1")
        self.refused("PUT", "/999", "Could not find network '999' in the cluster!", MIDDLE, domain="x")
        self.refused("DELETE", "/999", "Could not find network '999' in the cluster!")
        self.done("PUT", "/100", "Network '100' modified successfully!", MIDDLE, dhcp4="false")
        self.assertEqual(self.shown()["ip4"]["dhcp_flag"], "False")
        self.done("PUT", "/100", "Network '100' modified successfully!", MIDDLE, ip4_network="")
        self.assertEqual(self.shown()["ip4"]["network"], "10.100.0.0/24")
        self.done("PUT", "/100", "Network '100' modified successfully!", ip4_network="")
        self.assertEqual(
            self.shown()["ip4"], dict.fromkeys(self.shown()["ip4"], "None") | {"dhcp_flag": "False"}
        )

    def test_json(self) -> None:
        """0.6 takes JSON, with numbers, flags and lists."""
        body = (
            b'{"vni": 100, "description": "front", "nettype": "managed", "dhcp4": false,'
            b' "name_servers": ["1.1.1.1", "8.8.8.8"]}'
        )
        self.browser.raw("POST", "/api/v1/network", body, "application/json")
        found = self.ask("GET", "/100", MIDDLE).json()
        self.assertEqual((found["vni"], found["name_servers"]), (100, ["1.1.1.1", "8.8.8.8"]))
