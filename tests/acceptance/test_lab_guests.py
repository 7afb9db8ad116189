"""Real guests in a lab, and their network, go on whatever becomes of the master."""

import re
import time
from typing import Any
from urllib.parse import urlencode

from twisted.names import dns

from tests.acceptance.dhcp6 import Client, Lease
from tests.acceptance.guests import NEEDS
from tests.acceptance.lab import LabCase
from tests.acceptance.lab_networks import (
    BRIDGE,
    DOMAIN,
    GATEWAY4,
    NETWORK4,
    NETWORK6,
    UPLINK,
    VNI,
    Guest,
    Listening,
    Machine,
    Service,
    connects,
    floods,
    links,
    lose_network,
    pings,
    remains,
    resolved,
    rules,
    servers,
    serves,
    tables,
)
from tests.requirements import missing
from twisted_rapi.cluster.network_duty import SERVING
from twisted_rapi.testing.lab.asking import Answer, Silence
from twisted_rapi.testing.lab.commands import run
from twisted_rapi.testing.lab.founding import admin, config_of
from twisted_rapi.testing.lab.layout import Layout, Place
from twisted_rapi.testing.processes import await_true

BLOCKED, OPEN = 7001, 7002
"""TCP ports of the client."""
CLOSED, SERVED = 8001, 8002
"""Of each guest."""
NETWORK: dict[str, Any] = {
    "vni": VNI,
    "description": "lab",
    "nettype": "managed",
    "domain": DOMAIN,
    "ip4_network": NETWORK4,
    "ip4_gateway": GATEWAY4,
    "ip6_network": f"{NETWORK6}/64",
    "dhcp4": "true",
    "dhcp4_start": "10.77.0.10",
    "dhcp4_end": "10.77.0.99",
}
RULES = {"out": f"tcp dport {BLOCKED} drop", "in": f"tcp dport {CLOSED} drop"}


class GuestTests(LabCase):
    """
    Two guests that count, on the master's node and on another, on a network of theirs.

    :ivar guests: both; `given`: their addresses.
    :ivar lease: what `machine`, on the node of the first, was given by DHCPv6.
    """

    skip = LabCase.skip or missing(*NEEDS, "dnsmasq")
    lease: Lease

    def layout(self, name: str) -> Layout:
        """With a libvirtd on each node; who emulates machines may be slow to say that it is still there."""
        return Layout(name=name, guests=True, lease=5)

    def test_guests(self) -> None:
        """
        They get leases, find and reach each other, and rules stop what they name; they count on, without a
        gap in their numbers, and keep all of it, while masters hand over, are killed, frozen, cut off and
        lost; in the end nothing of the network is left.
        """
        client = self.lab.layout.client.namespace
        run("ip", "-n", client, "route", "add", NETWORK4, "via", self.lab.layout.floating_address)
        self.make_network()
        with Listening(client, BLOCKED, OPEN):
            self.create_guests()
            self.connect_machine()
            self.services = self.serve()
            self.ruled()
            self.agents_killed()
            for fault in ("switch-master", "kill-master", "freeze-master", "cut-master"):
                self.disturbed(fault)
            self.lost()
            for service in self.services:
                service.end()
            self.remove()
        self.judge()

    # Making it.

    def pvc(self, method: str, path: str, status: int = 200, **values: Any) -> None:
        """
        Have PVC's API change something; who is not answered asks again.

        A machine that stands still for seconds has its master replaced, by no plan of this test.
        """
        said: list[Answer] = []
        silent: list[Silence] = []

        def answered() -> bool:
            try:
                said.append(self.lab.ask(method, f"/api/v1/{path}?{urlencode(values)}", patience=30.0))
            except Silence as e:
                silent.append(e)
            return bool(said)

        await_true(f"{method} {path} is answered", answered, 120)
        [answer] = said
        # What was heard but not answered has been done already.
        done = silent and re.search("already exists|No ACL|Could not find", str(answer.body))
        self.assertTrue(answer.status == status or done, answer)

    def make_network(self) -> None:
        """Every node makes it, the master's serves it."""
        floating = self.lab.layout.floating_address
        self.pvc("POST", "network", **NETWORK, name_servers=floating)
        self.await_network()

    def await_network(self, *but: Place) -> None:
        """Wait until all nodes but these have what they are to have, and only the master's serves it."""
        for node in self.lab.layout.nodes:
            if node not in but:
                others = {other.address for other in self.lab.layout.nodes} - {node.address}
                whole = ({BRIDGE, UPLINK}, [f"rapi_net_{VNI}"], others)
                await_true(f"{node.short} has the network", lambda n=node, w=whole: self._has(n) == w, 90)  # type: ignore[misc]
        await_true("the master's node serves, and no other", lambda: self._served(but), 90)

    def _has(self, node: Place) -> tuple[set[str], list[str], set[str]]:
        there = links(node)
        return there, tables(node), floods(node) if UPLINK in there else set()

    def _served(self, but: tuple[Place, ...]) -> bool:
        found = [node for node in self.lab.layout.nodes if node not in but and serves(node)]
        return found == [self.lab.master()]

    def create_guests(self) -> None:
        """They boot, get leases, and reach each other by their names and the client."""
        client, master = self.lab.layout.client.address, self.lab.master()
        outside = (f"ping:{client}", f"tcp:{client}:{BLOCKED}", f"tcp:{client}:{OPEN}")
        peers = {"guest1": f"guest2.{DOMAIN}", "guest2": f"guest1.{DOMAIN}"}
        self.guests = [
            Guest(self.lab, name, (f"ping:{peer}", f"tcp:{peer}:{CLOSED}", *outside))
            for name, peer in peers.items()
        ]
        self.places = [master, self.lab.followers()[0]]
        jobs = [self.create(guest) for guest in self.guests]
        for guest, job in zip(self.guests, jobs, strict=True):
            shown = self.ended(job)
            if "Missing bridges" in str(shown["opresult"]):  # the master heard of it a moment later
                shown = self.ended(self.create(guest))
            self.assertEqual(shown["status"], "success", shown)
        self.given = [guest.await_lease() for guest in self.guests]
        self.assertEqual(len(set(self.given)), 2)
        self.all_reach()
        for guest in self.guests:
            self.assertIn(" mtu=1450", guest.told())
            guest.await_text(f"ADDRESS={NETWORK6}")
        self.known()

    def marks(self) -> list[int]:
        """How much each guest has told."""
        return [guest.now() for guest in self.guests]

    def all_reach(self, but: str = "") -> list[int]:
        """Wait until each reaches what it watches, but for that; answers how much they had told before."""
        marks = self.marks()
        for guest, mark in zip(self.guests, marks, strict=True):
            wanted = [f"REACHES={target}" for target in guest.watch if target != but]
            guest.await_told(*wanted, since=mark)
        return marks

    def create(self, guest: Guest) -> int:
        """Have a guest run at its place; answers the job."""
        body = {
            "__version__": 1,
            "mode": "create",
            "instance_name": guest.instance,
            "disk_template": "sharedfile",
            "disks": [{"size": 64}],
            "nics": [{"mode": "bridged", "link": BRIDGE}],
            "os_type": "minimal+default",
            "osparams": {"dhcp": "yes", "serve": f"{CLOSED},{SERVED}", "watch": ",".join(guest.watch)},
            "beparams": {"memory": 192},
            "hvparams": {"vnc_bind_address": ""},
            "pnode": self.places[self.guests.index(guest)].name,
        }
        return self.submit("OP_INSTANCE_CREATE", guest.instance, "POST", "/2/instances", body)

    def known(self) -> None:
        """The name server at the floating address knows who has which address, both ways."""
        floating = self.lab.layout.floating_address
        for guest, address in zip(self.guests, self.given, strict=True):
            name = f"{guest.name}.{DOMAIN}"
            back = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
            for asked, kind, said in ((name, dns.A, address), (back, dns.PTR, name)):
                await_true(f"{asked} is {said}", lambda a=asked, k=kind, s=said: self._says(a, k) == [s], 60)  # type: ignore[misc]
        self.assertEqual(self._says(f"ns.{DOMAIN}", dns.A), [floating])

    def _says(self, name: str, kind: int) -> list[str] | None:
        return self.lab.as_client(lambda: resolved(name, kind, self.lab.layout.floating_address))

    def connect_machine(self) -> None:
        """What is no guest gets an address by DHCPv6, too, makes one itself, and has a name."""
        self.machine = Machine(self.lab)
        self.machine.connect(self.places[0])
        self.lease = self.machine.obtain()
        self.assertTrue(self.lease.address.startswith(NETWORK6), self.lease)
        await_true("it has an address that it made", lambda: bool(self.machine.addresses()), 60)
        self.assertTrue(all(address.startswith(NETWORK6) for address in self.machine.addresses()))
        name = f"{self.machine.name}.{DOMAIN}"
        await_true(f"{name} is known", lambda: self._says(name, dns.AAAA) == [self.lease.address], 60)
        for node in self.lab.layout.nodes:
            told = run("ip", "-n", node.namespace, "-6", "-o", "address", "show", "scope", "global")
            mine = {f"{NETWORK6}1/64"} if node == self.lab.master() else set()
            self.assertEqual(set(re.findall(rf"{NETWORK6}\S+", told)), mine, node.short)

    # What is asked for all the while.

    def serve(self) -> list[Service]:
        """Clients of the API, the gateway, the name server, and DHCP."""
        client, floating = self.lab.layout.client.namespace, self.lab.layout.floating_address
        name, [address, _] = f"guest1.{DOMAIN}", self.given
        asking = Client(self.machine.mac, self.machine.name)
        asker = self.lab.asker(floating, 1.0)
        services = [
            Service("API", client, lambda: asker.ask("GET", "/2/info").status == 200),
            Service("gateway", client, lambda: pings(GATEWAY4)),
            Service("DNS", client, lambda: resolved(name, dns.A, floating) == [address]),
            Service("DHCP", self.machine.namespace, lambda: asking.renew(self.lease) == self.lease),
        ]
        for service in services:
            self.addCleanup(service.end)
        return services

    def await_services(self, what: str, begun: float) -> None:
        """Each answers again; how long it did not is told."""
        for service in self.services:
            service.await_answer()
        told = ", ".join(f"{each.name} {each.outage(begun):.1f} s" for each in self.services)
        self.tell(f"{what}: without {told}")

    def whole(self) -> None:
        """The network is there, all reach each other, have the same leases, and count on."""
        self.await_network()
        marks = self.all_reach()
        for guest, mark, address in zip(self.guests, marks, self.given, strict=True):
            self.assertEqual(guest.await_lease(since=mark), address)
            self.assertEqual(set(guest.leases()), {address})
            self.counts_on(guest)
        self.known()

    def counts_on(self, guest: Guest) -> None:
        """It counts further than it has, and never had to begin anew."""
        before = self.count(guest)
        await_true(f"{guest.name} counts beyond {before}", lambda: self.count(guest) > before, 90)

    def count(self, guest: Guest) -> int:
        """How far it has counted since it was started."""
        numbers = [int(n) for n in re.findall(r"COUNT=(\d+)\r?\n", guest.told())]
        self.assertEqual(numbers, sorted(numbers), f"{guest.name} began to count anew")
        return max(numbers, default=-1)

    # What happens to it.

    def ruled(self) -> None:
        """Rules stop what they name, each in its direction, and nothing else; then they are gone."""
        blocked = f"tcp:{self.lab.layout.client.address}:{BLOCKED}"
        self.pvc("POST", "network/lab/acl", 400, description="bad", direction="in", rule="nonsense")
        for direction, rule in RULES.items():
            self.pvc("POST", "network/lab/acl", description=direction, direction=direction, rule=rule)
        await_true("all nodes have the rules", lambda: self._ruled_by(*RULES.values()))
        marks = self.marks()
        for guest, mark in zip(self.guests, marks, strict=True):
            guest.await_told(f"MISSES={blocked}", since=mark)
        marks = self.all_reach(but=blocked)
        for guest, mark, address in zip(self.guests, marks, self.given, strict=True):
            guest.await_told(f"MISSES={blocked}", since=mark)
            self.assertNotIn(f"REACHES={blocked}", guest.told(mark))
            await_true("it is closed", lambda a=address: not self._enters(a, CLOSED))  # type: ignore[misc]
            await_true("the other is open", lambda a=address: self._enters(a, SERVED))  # type: ignore[misc]
        for direction in RULES:
            self.pvc("DELETE", f"network/lab/acl/{direction}", direction=direction)
        self.all_reach()
        for address in self.given:
            await_true("it is open", lambda a=address: self._enters(a, CLOSED))  # type: ignore[misc]

    def _ruled_by(self, *wanted: str) -> bool:
        return all(rule in rules(node) for rule in wanted for node in self.lab.layout.nodes)

    def _enters(self, address: str, port: int) -> bool:
        return self.lab.as_client(lambda: connects(address, port))

    def agents_killed(self) -> None:
        """
        The master's node serves on, by the same process, while its agent is not there; one that has lost all
        of it makes it anew, and its guest is connected again.
        """
        master, bare = self.lab.master(), self.places[1]
        before, terms = servers(master), self.terms()
        _, begun = self.campaign.cause("kill-agent", master.short)
        if master != bare:
            self.campaign.cause("kill-agent", bare.short)
        lose_network(bare)
        self.campaign.mend()
        away = time.monotonic() - begun
        self.await_network()
        self.all_reach()
        if master != bare and self.terms() == terms and away < SERVING / 2:
            self.assertEqual(servers(master), before)
        self.await_services("kill-agent of the master's node", begun)

    def disturbed(self, fault: str) -> None:
        """Another one is master, and serves the network; when that is mended all is as before."""
        before, begun = self.campaign.cause(fault)
        self.await_another_than(before)
        reached = [guest for guest, place in zip(self.guests, self.places, strict=True) if place != before]
        self.await_network(before)
        self.await_services(fault, begun)
        for guest in reached:
            self.counts_on(guest)
        self.campaign.mend()
        self.whole()

    def lost(self) -> None:
        """The machine of a master without guests is lost, and restarts with nothing: it makes all anew."""
        [empty] = [node for node in self.lab.layout.nodes if node not in self.places]
        if (master := self.lab.master()) != empty:
            begun = time.monotonic()
            admin(master, "failover", "--config", str(config_of(master)), empty.name)
            self.await_network()
            self.await_services("switch-master", begun)
        _, begun = self.campaign.cause("lose-master", empty.short)
        self.await_another_than(empty)
        self.await_network(empty)
        self.await_services("lose-master", begun)
        lose_network(empty)
        self.campaign.mend()
        self.whole()
        for guest in self.guests:
            await_true(f"{guest.name} runs", lambda g=guest: self.status(g) == "running", 60)  # type: ignore[misc]

    def status(self, guest: Guest) -> str:
        """What the cluster takes it for."""
        return str((self.lab.read(f"/2/instances/{guest.instance}") or {}).get("status"))

    def remove(self) -> None:
        """Nothing is left of it on any node."""
        told = {"shutdown_timeout": 0}
        jobs = [
            self.submit(
                "OP_INSTANCE_REMOVE", guest.instance, "DELETE", f"/2/instances/{guest.instance}", told
            )
            for guest in self.guests
        ]
        self.assertEqual([self.ended(job)["status"] for job in jobs], ["success"] * 2)
        self.machine.remove()
        self.pvc("DELETE", "network/lab")
        for node in self.lab.layout.nodes:
            await_true(f"nothing is left on {node.short}", lambda n=node: not remains(n), 60)  # type: ignore[misc]
