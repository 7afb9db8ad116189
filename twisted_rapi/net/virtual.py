"""
The virtual networks of a node on Linux: rtnetlink, nftables and dnsmasq.

Note [Given for a time].  Gateways are put on a bridge for as long as the step says, as the floating address
is (see `floating`): a node whose agent nobody talks to any more loses them by itself.
"""

import json
import os
import shutil
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.internet import inotify
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer

from twisted_rapi.errors import AddressError, StepFailed
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord
from twisted_rapi.net import topology
from twisted_rapi.net.dnsmasq import LEASES, served
from twisted_rapi.net.links import Links, as_interface
from twisted_rapi.net.name_servers import NameServers, run
from twisted_rapi.net.ruleset import digest_of, removal, ruleset, trial, vni_of
from twisted_rapi.net.topology import Change, NotOurs, Topology
from twisted_rapi.net.virtual_interface import IVirtualNetworks

InThread = Callable[..., Awaitable[Any]]
Within = Callable[[], AbstractContextManager[None]]

SETTLED = 0.1  # seconds without a change after which a lease file is whole: dnsmasq writes it in pieces
ANEW = 5.0  # seconds a dnsmasq has to have run to be run again at once when it ends
_FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
_WRITTEN = inotify.IN_MODIFY | inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO


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

        :raises StepFailed: what could not be done.
        """
        try:
            want = self.wanted(step)
            todo = topology.changes(want, self.seen())
        except (AddressError, NotOurs) as e:
            raise StepFailed(str(e), "network") from e
        troubles: list[str] = []
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
            with self._tools.within():
                for switch in _FORWARDING:
                    path = self._tools.system / switch
                    if path.exists() and path.read_text(encoding="ascii").strip() == "0":
                        path.write_text("1\n", encoding="ascii")

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

        :raises StepFailed: there is no nft.
        """
        nft, within = self._tools.nft, self._tools.within
        run([nft, "--version"], within)
        try:
            run([nft, "-c", "-f", "-"], within, trial(acls))
        except StepFailed as e:
            return e.text.removeprefix(f"{Path(nft).name}: ").removeprefix("/dev/stdin:")
        return ""

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


@implementer(IReadDescriptor)
class _End:
    """Told by the kernel when a process ends."""

    def __init__(self, reactor: Any, handle: int, ended: Callable[[], None]) -> None:
        self._reactor, self._handle, self._ended = reactor, handle, ended
        reactor.addReader(self)

    def fileno(self) -> int:
        """The pidfd."""
        return self._handle

    def logPrefix(self) -> str:
        """What it is called in the log."""
        return "dnsmasq"

    def doRead(self) -> None:
        """It has ended."""
        self.close()
        self._ended()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has ended."""
        self.close()

    def close(self) -> None:
        """Not be told."""
        if self._handle >= 0:
            self._reactor.removeReader(self)
            os.close(self._handle)
            self._handle = -1


@implementer(IVirtualNetworks)
class NodeNetworks:
    """
    `IVirtualNetworks` on this kernel.

    :param reactor: reads what the kernel tells, and has a clock.
    """

    _log = Logger()

    def __init__(self, tools: NetworkTools, reactor: Any, in_thread: InThread) -> None:
        self._tools, self._reactor, self._in_thread = tools, reactor, in_thread
        self._kernel = KernelNetworks(tools)
        self._turn: DeferredLock = DeferredLock()
        self._step: MakeNetworks | None = None
        self._observers: list[Callable[[], None]] = []
        self._ends: list[_End] = []
        self._notifier: Any = None
        self._settling: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None
        self._begun = -ANEW

    async def make(self, step: MakeNetworks) -> None:
        """See `IVirtualNetworks.make`."""
        async with self._turn:
            await self._make(step)

    async def _make(self, step: MakeNetworks) -> None:
        self._forget()
        self._step = step
        self._begun = self._reactor.seconds()
        try:
            await self._in_thread(self._kernel.make, step)
        finally:
            if step.serving:
                self._expiry = self._reactor.callLater(step.serving, self._give_up)
                await self._follow_safely(step)
            self._tell()

    async def check(self, acls: tuple[Acl, ...]) -> str:
        """See `IVirtualNetworks.check`."""
        return str(await self._in_thread(self._kernel.check, acls))

    async def leases(self) -> tuple[DhcpLeaseRecord, ...] | None:
        """See `IVirtualNetworks.leases`."""
        step = self._step
        if step is None or not step.serving:
            return None
        try:
            found: tuple[DhcpLeaseRecord, ...] = await self._in_thread(self._kernel.leases, step)
        except OSError as e:
            raise StepFailed(f"leases cannot be read: {e}", "network") from e
        return found

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `IVirtualNetworks.observe`."""
        self._observers.append(changed)
        return lambda: self._observers.remove(changed)

    async def end(self) -> None:
        """See `IVirtualNetworks.end`."""
        async with self._turn:
            self._forget()
            self._step = None

    # What is followed.

    async def _follow_safely(self, step: MakeNetworks) -> None:
        try:
            await self._follow(step)
        except Exception:  # noqa: BLE001 -- too many watches, for one: leases are read when it is asked again
            self._log.failure("changes of leases are not told")

    async def _follow(self, step: MakeNetworks) -> None:
        """Be told of ends and of leases."""
        watched = [network.vni for network in step.networks if served(network)]
        for vni in watched:
            handle = await self._in_thread(self._kernel.servers.handle, vni)
            if handle is not None:
                self._ends.append(_End(self._reactor, handle, lambda vni=vni: self._ended(vni)))  # type: ignore[misc]
        self._notifier = inotify.INotify(self._reactor)
        self._notifier.startReading()
        for vni in watched:
            folder = FilePath(str(self._kernel.servers.folder(vni)))
            if folder.isdir():
                self._notifier.watch(folder, _WRITTEN, callbacks=[self._written])

    def _forget(self) -> None:
        for end in self._ends:
            end.close()
        self._ends.clear()
        if self._notifier is not None:
            self._notifier.connectionLost(Failure(ConnectionDone()))
            self._notifier = None
        for call in (self._settling, self._expiry):
            if call is not None and call.active():
                call.cancel()
        self._settling = self._expiry = None

    def _written(self, _: object, path: FilePath[bytes], __: int) -> None:
        if os.fsdecode(path.basename()) != LEASES:
            return
        if self._settling is not None and self._settling.active():
            self._settling.reset(SETTLED)
        else:
            self._settling = self._reactor.callLater(SETTLED, self._tell)

    def _tell(self) -> None:
        for observer in list(self._observers):
            observer()

    def _ended(self, vni: int) -> None:
        lived = self._reactor.seconds() - self._begun
        self._log.error("the dnsmasq of network {vni} has ended after {lived} s", vni=vni, lived=lived)
        # One that cannot live is not run again and again: the next step does.
        if lived >= ANEW and self._step is not None:
            self._again(self._step)

    def _give_up(self) -> None:
        step = self._step
        if step is not None:
            self._log.warn("nobody says any more that this node has the gateways: they are given up")
            self._again(replace(step, serving=0.0))

    def _again(self, step: MakeNetworks) -> None:
        before = self._step

        async def again() -> None:
            async with self._turn:
                if self._step is before:  # nobody asked for something else meanwhile
                    await self._make(step)

        made = Deferred.fromCoroutine(again())
        made.addErrback(lambda f: self._log.failure("networks could not be made again", f))
