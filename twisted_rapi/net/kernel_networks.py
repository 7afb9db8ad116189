"""The virtual networks of a node on Linux: rtnetlink, nftables and dnsmasq; it all belongs in a thread."""

import json
import shutil
import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import attrs
from msgspec.structs import replace

from twisted_rapi.errors import AddressError, StepFailed
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord
from twisted_rapi.net import topology
from twisted_rapi.net.dnsmasq import served
from twisted_rapi.net.links import Links, as_interface
from twisted_rapi.net.name_servers import NameServers, run
from twisted_rapi.net.ruleset import digest_of, removal, ruleset, trial, vni_of
from twisted_rapi.net.topology import Change, NotOurs, Topology

Within = Callable[[], AbstractContextManager[None]]

_FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
_APART = ("unshare", "--net", "--")  # in a network namespace that ends with the program
_BELIEVING = ("accept_ra", "autoconf")  # what guests advertise is nothing to the node


@attrs.frozen(kw_only=True)
class NetworkTools:
    """
    What is run, and where.

    :ivar folder: gets a folder for each network that is served; others than root have to get at it.
    :ivar device: the interface VLANs are on; empty: the one that has the node's address.
    :ivar within: enters the network namespace all of it is about, in this thread.
    :ivar system: where the kernel's switches of networks are.
    """

    folder: Path
    device: str = ""
    nft: str = "nft"
    dnsmasq: str = "dnsmasq"
    within: Within = nullcontext
    system: Path = Path("/proc/sys/net")


class KernelNetworks:
    """What `NodeNetworks` does in a thread."""

    def __init__(self, tools: NetworkTools) -> None:
        self._tools, within = tools, tools.within

        def make_socket(family: int, kind: int, protocol: int) -> socket.socket:
            with within():
                return socket.socket(family, kind, protocol)

        self.links = Links(make_socket)
        self.servers = NameServers(tools.folder, tools.dnsmasq, within)

    def seen(self) -> Topology:
        """What there is."""
        shown = self.links.shown()
        return Topology(
            interfaces={name: as_interface(each, shown) for name, each in shown.items()},
            floods=self.links.floods(shown),
            addresses=self.links.addresses(shown),
            tables=self._tables(),
            servers=self.servers.running(),
        )

    def _tables(self) -> dict[int, str]:
        found: dict[int, str] = {}
        if shutil.which(self._tools.nft) is None:
            return found  # who wants some is told when they are loaded
        listed = json.loads(run([self._tools.nft, "-j", "list", "chains"], self._tools.within) or "{}")
        for each in listed.get("nftables", ()):
            chain = each.get("chain", {})
            vni = vni_of(chain.get("table", "")) if chain.get("family") == "inet" else None
            if vni is not None:
                # A table without the mark was not made whole, and is made again.
                found[vni] = digest_of(chain.get("name", "")) or found.get(vni, "")
        return found

    def wanted(self, step: MakeNetworks) -> Topology:
        """What a step asks for, here."""
        if not step.networks:
            return Topology()
        shown = self.links.shown()
        device = self.links.device_of(step.local, shown)
        below = shown.get(self._tools.device) if self._tools.device else device
        if below is None:
            raise AddressError(f"there is no interface {self._tools.device}")
        return topology.wanted(step, below.name, device.mtu, self.servers.folder)

    def make(self, step: MakeNetworks) -> None:
        """
        See `IVirtualNetworks.make`.

        :raises StepFailed: what could not be done; all else was.
        """
        try:
            seen = self.seen()
            step, strange = topology.possible(step, seen)
            want = self.wanted(step)
            todo = topology.changes(want, seen)
        except (AddressError, NotOurs) as e:
            raise StepFailed(str(e), "network") from e
        troubles = list(strange)
        for change in todo:
            try:
                self._do(change, step)
            except (AddressError, StepFailed, OSError) as e:
                troubles.append(str(e))
        for vni in self.servers.known():
            if vni not in want.servers:
                self.servers.stop(vni)
        try:
            self._serve(want, step)
        except (AddressError, OSError) as e:
            troubles.append(str(e))
        if troubles:
            raise StepFailed("; ".join(dict.fromkeys(troubles)), "network")

    def _serve(self, want: Topology, step: MakeNetworks) -> None:
        """Keep the gateways, and forward what is sent to them; that is never switched off again."""
        for name, addresses in want.addresses.items():
            for address in addresses:
                self.links.put(name, address, max(1, round(step.serving)))
        if any(want.addresses.values()):
            self._switch(_FORWARDING, "0", "1")

    def _switch(self, switches: Iterable[str], before: str, after: str) -> None:
        """Have those switches of the kernel's that are there and have one value have another."""
        with self._tools.within():
            for switch in switches:
                path = self._tools.system / switch
                if path.exists() and path.read_text(encoding="ascii").strip() == before:
                    path.write_text(f"{after}\n", encoding="ascii")

    def _do(self, change: Change, step: MakeNetworks) -> None:
        links, servers = self.links, self.servers
        networks = {network.vni: network for network in step.networks}
        match change:
            case topology.StopServer(vni):
                servers.stop(vni)
            case topology.StartServer(vni, told):
                servers.start(vni, told, (e for e in step.leases if e.network == networks[vni].uuid))
            case topology.TellServer(vni, told):
                servers.tell(vni, told)
            case topology.RemoveInterface(name):
                links.delete(name)
            case topology.MakeInterface(name, wish):
                links.create(name, wish, step.local)
                self._switch((f"ipv6/conf/{name}/{each}" for each in _BELIEVING), "1", "0")
            case topology.SetInterface(name, wish):
                links.adjust(name, wish)
            case topology.Flood(name, peer, there):
                links.flood(name, peer, there)
            case topology.Hold(name, address, True):
                links.put(name, address, max(1, round(step.serving)))
                links.announce(name, address)
            case topology.Hold(name, address, False):
                links.take(name, address)
            case topology.LoadTable(vni, _):
                self._nft(ruleset(networks[vni]))
            case topology.RemoveTable(vni):
                self._nft(removal(vni))

    def _nft(self, text: str) -> None:
        """All of it or nothing, and nothing of what nft does not understand."""
        run([self._tools.nft, "-c", "-f", "-"], self._tools.within, text)
        run([self._tools.nft, "-f", "-"], self._tools.within, text)

    def check(self, acls: tuple[Acl, ...]) -> str:
        """
        See `IVirtualNetworks.check`.

        :raises StepFailed: there is no nft, or no namespace can be made.
        """
        # ``nft -c`` does not see what the kernel refuses only when a table is committed, such as chains that
        # lead back to themselves: a namespace of its own has the whole table, and ends with nft.
        nft, within = [*_APART, self._tools.nft], self._tools.within
        run([*nft, "--version"], within)
        try:
            run([*nft, "-f", "-"], within, trial(acls))
        except StepFailed as e:
            return e.text.removeprefix(f"{_APART[0]}: ").removeprefix("/dev/stdin:")
        return ""

    def served(self) -> float:
        """
        For how many seconds more this node has gateways; 0: it has none.

        :raises AddressError: the kernel does not answer.
        """
        return self.links.held(self.links.shown())

    def bridges(self) -> tuple[str, ...]:
        """
        See `IVirtualNetworks.bridges`.

        :raises AddressError: the kernel does not answer.
        """
        return tuple(sorted(name for name, each in self.links.shown().items() if each.kind == "bridge"))

    def leases(self, step: MakeNetworks) -> tuple[DhcpLeaseRecord, ...]:
        """
        Those of the networks that a step has served.

        :raises OSError: one has no file, so that nothing is known of its leases.
        """
        found = [
            replace(lease, network=network.uuid)
            for network in step.networks
            if served(network)
            for lease in self.servers.kept(network.vni, network.uuid)
        ]
        return tuple(sorted(found, key=lambda lease: lease.uuid))
