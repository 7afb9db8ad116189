"""Tests of `twisted_rapi.web.pvc.leases`."""

from tests.unit.web.pvc.network_case import ALL, MAC, MIDDLE, NEWEST, SEED, NetworkCase
from twisted_rapi.model.steps import ForgetLeases
from twisted_rapi.model.virtual_network import DhcpLeaseRecord
from twisted_rapi.net.dnsmasq import hosts
from twisted_rapi.testing.cluster import NODES


class LeaseTests(NetworkCase):
    """``/network/N/lease``."""

    def given(self, *leases: DhcpLeaseRecord) -> None:
        """Have the DHCP server give leases."""
        node = self.cluster.nodes.nodes[NODES[0]]
        node.leases = leases
        self.cluster.nodes.changed(NODES[0])

    def lease(self, n: int, hostname: str = "") -> DhcpLeaseRecord:
        """A lease of the network."""
        [network] = self.told().networks
        mac = f"52:54:00:00:00:0{n}"
        return DhcpLeaseRecord(
            network=network.uuid, address=f"10.100.0.10{n}", mac=mac, hostname=hostname, expires=9e9
        )

    def test_none(self) -> None:
        """A network without leases, and none at all."""
        self.front()
        for path in ("/100/lease", f"/100/lease/{MAC}"):
            self.assertEqual(self.ask("GET", path, SEED).json(), [])
            for agent in (MIDDLE, NEWEST):
                found = self.ask("GET", path, agent)
                self.assertEqual((found.status, found.json()), (404, {"message": "Lease not found."}))
        text = 'ERROR: Could not find network "9" in the cluster!'
        self.assertEqual(self.ask("GET", "/9/lease", SEED).json(), text)
        self.assertEqual(self.ask("GET", "/9/lease").json(), {"message": text})

    def test_static(self) -> None:
        """A static lease reaches the DHCP server, is shown, and goes, in every form."""
        self.front()
        for agent in ALL:
            text = f"DHCP reservation '{MAC}' added successfully!"
            values = {"ipaddress": "10.100.0.10", "hostname": "h10"}
            self.done("POST", "/100/lease", text, agent, macaddress=MAC.upper(), **values)
            self.assertEqual(hosts(self.told().networks[0]), f"{MAC},10.100.0.10,h10\n")
            row = {"hostname": "h10", "ip4_address": "10.100.0.10", "mac_address": MAC, "timestamp": "static"}
            self.assertEqual(self.ask("GET", f"/100/lease/{MAC}", agent).json(), [row])
            listed = self.browser.ask("GET", "/network/100/lease", {"static": "true"}, User_Agent=agent)
            self.assertEqual(listed.json(), [row])
            self.refused("POST", "/100/lease", "already exists!", agent, macaddress=MAC, **values)
            word = "reservation" if agent == SEED else "static reservation"
            self.done("DELETE", "/100/lease/H10", f"DHCP {word} '{MAC}' removed successfully!", agent)
            self.assertEqual(hosts(self.told().networks[0]), "")
        self.done(
            "POST",
            f"/100/lease/{MAC}",
            f"DHCP reservation '{MAC}' added successfully!",
            ipaddress="10.100.0.10",
        )
        self.assertEqual(self.shown(f"/100/dhcp/{MAC}")["hostname"], "")
        self.done("DELETE", f"/100/dhcp/{MAC}", f"DHCP reservation '{MAC}' removed successfully!", SEED)

    def test_refused(self) -> None:
        """What is no address, is in no network, or is taken."""
        self.front()
        good = {"macaddress": MAC, "ipaddress": "10.100.0.10"}
        for agent in ALL:
            for more, text in (
                ({"macaddress": "52-54-00-00-0a-0a"}, "Always use ':' as a separator."),
                ({"macaddress": "ff:ff:ff:ff:ff:ff"}, "cannot be the MAC address of a NIC"),
                ({"ipaddress": "999.1.1.1"}, "IP address '999.1.1.1' is not valid!"),
                ({"ipaddress": "fd00::1"}, "IP address 'fd00::1' is not valid!"),
                ({"ipaddress": "10.99.0.10"}, "not in 10.100.0.0/24"),
                ({"ipaddress": "10.100.0.1"}, "taken"),
                ({"ipaddress": "10.100.0.0"}, "own address"),
                ({"hostname": "no host"}, "not a valid host name"),
            ):
                self.refused("POST", "/100/lease", text, agent, **{**good, **more})
            self.refused("POST", "/9/lease", "Could not find network '9'", agent, **good)
            self.refused("DELETE", "/100/lease/zz", "exists matching 'zz'!", agent)
            self.refused("DELETE", "/9/lease/zz", "Could not find network '9'", agent)
        self.refused("POST", "/100/lease", "A MAC address must be specified", SEED, ipaddress="10.100.0.10")
        self.refused("POST", "/100/lease", "An IP address must be specified", SEED, macaddress=MAC)
        self.refused("POST", "/100/lease", "Missing required parameter", macaddress=MAC)

    def test_dynamic(self) -> None:
        """What the DHCP server gave is shown at once; later forms have it forget one."""
        self.front()
        self.given(self.lease(1, "web1"), self.lease(2))
        self.assertEqual([e["hostname"] for e in self.ask("GET", "/100/lease").json()], ["web1", ""])
        found = self.browser.ask("GET", "/network/100/lease", {"limit": "0:01"}, User_Agent=MIDDLE).json()
        self.assertEqual([e["timestamp"] for e in found], ["9000000000"])
        self.refused("DELETE", "/100/lease/web1", "No DHCP reservation exists matching 'web1'!", SEED)
        mac = self.lease(1).mac
        self.done("DELETE", "/100/lease/WEB1", f"DHCP dynamic lease '{mac}' removed successfully!", MIDDLE)
        self.assertIsInstance(self.cluster.nodes.nodes[NODES[0]].done[-1], ForgetLeases)
        self.assertEqual([e["ip4_address"] for e in self.ask("GET", "/100/lease").json()], ["10.100.0.102"])
        self.cluster.nodes.nodes[NODES[0]].down = True
        self.refused_with(503, "DELETE", "/100/lease/10.100.0.102", "at present")

    def test_both(self) -> None:
        """Static and other leases; 0.6 shows static ones only where they are asked for."""
        self.front()
        self.done(
            "POST",
            "/100/lease",
            f"DHCP reservation '{MAC}' added successfully!",
            macaddress=MAC,
            ipaddress="10.100.0.10",
        )
        self.given(self.lease(1))
        for agent, static, count in (
            (SEED, "", 2),
            (SEED, "1", 1),
            (MIDDLE, "", 1),
            (MIDDLE, "true", 1),
            (NEWEST, "false", 2),
            (NEWEST, "yes", 1),
        ):
            query = {"static": static} if static else {}
            found = self.browser.ask("GET", "/network/100/lease", query, User_Agent=agent).json()
            self.assertEqual(len(found), count, (agent, static))
