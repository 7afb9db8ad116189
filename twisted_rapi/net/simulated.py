"""Virtual networks that are only said to be there."""

from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, VirtualNetworkRecord
from twisted_rapi.net.topology import (
    Change,
    Flood,
    Hold,
    Interface,
    LoadTable,
    MakeInterface,
    RemoveInterface,
    RemoveTable,
    SetInterface,
    StartServer,
    StopServer,
    TellServer,
    Topology,
    changes,
    possible,
    wanted,
)
from twisted_rapi.net.virtual_interface import IVirtualNetworks


def carried_out(change: Change, seen: Topology) -> Topology:
    """What a node has after a change: the laws that `changes` relies on."""
    interfaces, floods = dict(seen.interfaces), dict(seen.floods)
    addresses, tables, servers = dict(seen.addresses), dict(seen.tables), dict(seen.servers)
    match change:
        case StopServer(vni):
            del servers[vni]
        case StartServer(vni, told) | TellServer(vni, told):
            servers[vni] = told
        case RemoveTable(vni):
            del tables[vni]
        case LoadTable(vni, made):
            tables[vni] = made
        case RemoveInterface(name):
            gone = interfaces.pop(name)
            floods.pop(name, None)
            addresses.pop(name, None)
            if gone.kind == "bridge":
                for other, found in interfaces.items():
                    interfaces[other] = attrs.evolve(found, bridge="") if found.bridge == name else found
        case MakeInterface(name, wish):
            interfaces[name] = attrs.evolve(wish, bridge="", up=False)
        case SetInterface(name, wish):
            interfaces[name] = wish
        case Flood(name, peer, there):
            floods[name] = _toggled(floods.get(name), peer, there)
        case Hold(name, address, there):
            addresses[name] = _toggled(addresses.get(name), address, there)
    return Topology(
        interfaces=interfaces,
        floods={name: found for name, found in floods.items() if found},
        addresses={name: found for name, found in addresses.items() if found},
        tables=tables,
        servers=servers,
    )


def _toggled(those: frozenset[str] | None, one: str, there: bool) -> frozenset[str]:
    found = those or frozenset()
    return found | {one} if there else found - {one}


def wanted_of(step: MakeNetworks) -> Topology:
    """What a step asks for on a simulated node."""
    if not step.networks:
        return Topology()
    return wanted(step, "eth0", 1500, lambda vni: Path("/run/simulated") / str(vni))


@implementer(IVirtualNetworks)
class SimulatedNetworks:
    """
    `IVirtualNetworks` of a node that has none of it.

    :param bridges: those that are there besides.
    :ivar topology: what it would have.
    """

    def __init__(self, clock: IReactorTime, bridges: Iterable[str] = ()) -> None:
        self._clock, self._bridges = clock, frozenset(bridges)
        self._observers: list[Callable[[], None]] = []
        self._given: tuple[DhcpLeaseRecord, ...] = ()
        self._step: MakeNetworks | None = None
        self._expiry: IDelayedCall | None = None
        self._until = 0.0
        self.topology = Topology()

    async def make(self, step: MakeNetworks) -> None:
        """See `IVirtualNetworks.make`."""
        await self.end()
        step, troubles = possible(step, self.topology)
        for change in changes(wanted_of(step), self.topology):
            self.topology = carried_out(change, self.topology)
            self._note_leases(change, step)
        self._step, self._until = step, self._clock.seconds() + step.serving
        if step.serving:
            self._expiry = self._clock.callLater(step.serving, self._give_up, step)
        self._tell()
        if troubles:
            raise StepFailed("; ".join(troubles), "network")

    async def resume(self, step: MakeNetworks) -> None:
        """See `IVirtualNetworks.resume`."""
        await self.make(replace(step, serving=max(0.0, self._until - self._clock.seconds())))

    def _note_leases(self, change: Change, step: MakeNetworks) -> None:
        """A server that is started begins with the leases that are known; those of one that ends are lost."""
        uuids = {network.vni: network.uuid for network in (*step.networks, *self._networks)}
        match change:
            case StartServer(vni, _):
                mine = {e.address: e for e in (*step.leases, *self._given) if e.network == uuids[vni]}
                others = (e for e in self._given if e.network != uuids[vni])
                self._given = (*others, *mine.values())
            case StopServer(vni):
                self._given = tuple(e for e in self._given if e.network != uuids.get(vni))

    @property
    def _networks(self) -> tuple[VirtualNetworkRecord, ...]:
        return () if self._step is None else self._step.networks

    def _give_up(self, step: MakeNetworks) -> None:
        off = Deferred.fromCoroutine(self.make(replace(step, serving=0.0)))
        off.addErrback(lambda failure: failure.trap(StepFailed) and None)

    async def check(self, acls: tuple[Acl, ...]) -> str:
        """See `IVirtualNetworks.check`; there is no nft to ask, only ``nonsense`` is refused."""
        return next((f"syntax error: {acl.rule}" for acl in acls if "nonsense" in acl.rule), "")

    async def leases(self) -> tuple[DhcpLeaseRecord, ...] | None:
        """See `IVirtualNetworks.leases`."""
        if self._step is None or not self._step.serving:
            return None
        here = {network.uuid for network in self._step.networks}
        return tuple(lease for lease in self._given if lease.network in here)

    async def bridges(self) -> tuple[str, ...]:
        """See `IVirtualNetworks.bridges`."""
        made = {name for name, found in self.topology.interfaces.items() if found.kind == "bridge"}
        return tuple(sorted(made | self._bridges))

    async def forget(self, network: str, addresses: tuple[str, ...]) -> None:
        """See `IVirtualNetworks.forget`."""
        step = self._step
        if step is None or not step.serving or network not in {each.uuid for each in step.networks}:
            raise StepFailed("the leases of the network are not given here", "network")
        self.give(*(e for e in self._given if e.network != network or e.address not in addresses))

    def give(self, *leases: DhcpLeaseRecord) -> None:
        """Have these leases, and no others."""
        self._given = leases
        self._tell()

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `IVirtualNetworks.observe`."""
        self._observers.append(changed)
        return lambda: self._observers.remove(changed)

    def _tell(self) -> None:
        for observer in list(self._observers):
            observer()

    async def end(self) -> None:
        """See `IVirtualNetworks.end`."""
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()
        self._expiry = None

    def occupy(self, name: str) -> None:
        """Have an interface of somebody else."""
        strange = Interface(kind="bridge", alias="")
        self.topology = attrs.evolve(self.topology, interfaces={**self.topology.interfaces, name: strange})

    def remove(self, name: str) -> None:
        """Lose an interface."""
        self.topology = carried_out(RemoveInterface(name), self.topology)
