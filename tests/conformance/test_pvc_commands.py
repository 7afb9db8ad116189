"""What nodes are to have for virtual networks is what PVC's nodes had, as their commands were recorded."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.pvc.networks import BACKEND, DMZ, FRONTEND
from twisted_rapi.model.network_rules import with_acl
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, VirtualNetworkRecord
from twisted_rapi.net.dnsmasq import configuration
from twisted_rapi.net.ruleset import ruleset
from twisted_rapi.net.simulated import SimulatedNetworks

_NTP = "option:ntp-server"
CAPTURES = Path(__file__).parent / "pvc" / "captures"
FILES = ("network-commands-v05", "network-commands-v06")
NETWORKS = (FRONTEND, BACKEND, DMZ)
MOVED = replace(FRONTEND, ip4_gateway="10.100.0.254")
STEPS: tuple[tuple[str, tuple[VirtualNetworkRecord, ...], float], ...] = (
    ("network 300 created", NETWORKS, 60.0),
    ("gateway changed", (MOVED, BACKEND, DMZ), 60.0),
    ("become secondary", (MOVED, BACKEND, DMZ), 0.0),
    ("network 100 removed", (BACKEND, DMZ), 0.0),
    ("network 300 removed", (), 0.0),
)
"""The last command of a phase, and what we are told by then."""


def recorded(file: str) -> Iterator[dict[str, Any]]:
    """The lines of a recording."""
    for line in (CAPTURES / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


class Node:
    """
    What a node of the original has after its commands.

    :ivar interfaces: kind, number, MTU and bridge, by name; `addresses`: by bridge.
    """

    def __init__(self) -> None:
        self.interfaces: dict[str, tuple[str, int, int, str]] = {}
        self.addresses: dict[str, set[str]] = {}

    def run(self, words: list[str]) -> None:
        """Carry a command out."""
        match words:
            case ["ip", "link", "add", name, "type", "vxlan", "id", number, "dstport", "4789", *_]:
                self.interfaces[name] = ("vxlan", int(number), 0, "")
            case ["ip", "link", "add", "link", _, "name", name, "type", "vlan", "id", number]:
                self.interfaces[name] = ("vlan", int(number), 0, "")
            case ["brctl", "addbr", name]:
                self.interfaces[name] = ("bridge", 0, 0, "")
            case ["ip", "link", "set", name, "mtu", mtu, "up"]:
                kind, vni, _, bridge = self.interfaces[name]
                self.interfaces[name] = (kind, vni, int(mtu), bridge)
            case ["brctl", "addif", bridge, name]:
                self.interfaces[name] = (*self.interfaces[name][:3], bridge)
            case ["brctl", "delbr", name] | ["ip", "link", "delete", name]:
                del self.interfaces[name]
            case ["ip", "address", "add", address, "dev", name]:
                self.addresses.setdefault(name, set()).add(address)
            case ["ip", "address", "delete", address, "dev", name]:
                self.addresses[name].remove(address)

    def shown(self) -> tuple[object, object]:
        """All of it."""
        return self.interfaces, {name: found for name, found in self.addresses.items() if found}


class CommandTests(SynchronousTestCase):
    """Two versions of the original's nodes."""

    def test_interfaces(self) -> None:
        """Bridges, VXLANs, VLANs, their MTUs and the gateways are the same in every phase."""
        for file in FILES:
            node, ours = Node(), SimulatedNetworks(Clock())
            compared = 0
            phases = [line["phase"] for line in recorded(file) if "cmd" in line]
            for n, line in enumerate(each for each in recorded(file) if "cmd" in each):
                node.run(line["cmd"])
                if n + 1 == len(phases) or phases[n] != phases[n + 1]:
                    compared += self._compare(phases[n], node, ours)
            self.assertEqual(compared, len(STEPS))

    def _compare(self, phase: str, node: Node, ours: SimulatedNetworks) -> int:
        """Whether anything was to be compared."""
        for name, networks, serving in STEPS:
            if name != phase:
                continue
            step = MakeNetworks(instance="", local="192.0.2.1", networks=networks, serving=serving)
            self.successResultOf(Deferred.fromCoroutine(ours.make(step)))
            interfaces = {
                each: (found.kind, found.number, found.mtu, found.bridge)
                for each, found in ours.topology.interfaces.items()
            }
            addresses = {each: set(found) for each, found in ours.topology.addresses.items()}
            self.assertEqual((interfaces, addresses), node.shown(), phase)
            return 1
        return 0

    def test_dnsmasq(self) -> None:
        """What dnsmasq is told of domains, ranges, times and servers is the same."""
        alike = re.compile(
            r"domain=|dhcp-option=|dhcp-range=[0-9.]+,|enable-ra|(no-h|dhcp-auth|bogus|filter)"
        )
        told = [line["daemon"] for file in FILES for line in recorded(file) if "daemon" in line]
        for words in told:
            theirs = {word.removeprefix("--") for word in words}
            here = (n for n in (FRONTEND, MOVED, BACKEND) if f"domain={n.domain}" in theirs)
            network = next(n for n in here if not n.dhcp4 or f"dhcp-option={_NTP},{n.ip4_gateway}" in theirs)
            ours = configuration(network, Path("/run"), 1450).replace(",255.255.255.0,", ",").splitlines()
            self.assertEqual({word for word in theirs if alike.match(word)} - set(ours), set())
        self.assertEqual(len(told), 7)

    def test_rules(self) -> None:
        """ACLs are judged in the same order, and the gateway answers the same but for metadata."""
        added = with_acl(FRONTEND, Acl(name="ssh", direction="in", rule="tcp dport 22 accept"), 2)
        for file in FILES:
            states = [line for line in recorded(file) if line.get("nft_files")]
            for line, network in zip(states[:2], (FRONTEND, added), strict=True):
                theirs, ours = line["nft_files"]["100.nft"], ruleset(network)
                for direction in ("in", "out"):
                    wanted = re.findall(rf"add rule inet filter vxlan100-{direction} counter (.+)", theirs)
                    found = re.findall(rf"add rule inet rapi_net_100 acl_{direction} counter (.+)", ours)
                    self.assertEqual(found, wanted)
                for port in re.findall(r"dport (\d+) meta iifname vmbr100 counter accept", theirs):
                    self.assertEqual(
                        re.search(rf"input .*\b{port}\b.* accept", ours) is not None, port != "80"
                    )
