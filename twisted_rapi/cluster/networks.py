"""Making, changing and removing virtual networks."""

from collections.abc import Awaitable, Callable, Collection
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_rapi.errors import BadRequest, Conflict, NodeError, ServiceUnavailable
from twisted_rapi.model.network_rules import NetworkRefused, check_network, completed, with_acl
from twisted_rapi.model.records import name_key
from twisted_rapi.model.steps import CheckAcls, ForgetLeases, Outcome, Step
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, StaticLease, VirtualNetworkRecord
from twisted_rapi.net.dnsmasq import bridge_of
from twisted_rapi.plan.pvc.network import find
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.interface import Commit, IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of

KIND = VirtualNetworkRecord.KIND
_T = TypeVar("_T")
Change = Callable[[VirtualNetworkRecord], VirtualNetworkRecord]

PRESENT = 5.0
"""Seconds that nodes have to say that they have a new network, before its maker is told nevertheless."""


class VirtualNetworks:
    """
    The virtual networks, for one term.

    What changes them is answered once it can no longer be lost; nodes are told by `NetworkDuty` right after.
    All refusals are `BadRequest` with a text for people (some as observed of PVC), `ServiceUnavailable` where
    rules cannot be judged at present.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        snapshot: Snapshot,
        nodes: INodes,
        now: Callable[[], float],
        chance: Random,
        term: int,
        clock: IReactorTime,
    ) -> None:
        self._store, self._snapshot, self._nodes = store, snapshot, nodes
        self._now, self._chance, self._term, self._clock = now, chance, term, clock
        # One at a time: what is judged beside the others has to stay so until it is written.
        self._turn: DeferredLock = DeferredLock()

    def every(self) -> tuple[VirtualNetworkRecord, ...]:
        """All of them, by their ids."""
        return tuple(sorted(self._snapshot.vnets.values(), key=lambda network: network.vni))

    def find(self, text: str) -> VirtualNetworkRecord | None:
        """See `twisted_rapi.plan.pvc.network.find`."""
        return find(self._snapshot.vnets.values(), text)

    def leases(self, network: VirtualNetworkRecord) -> tuple[DhcpLeaseRecord, ...]:
        """What its DHCP server gave, by address; static leases are in the record itself."""
        found = (lease for lease in self._snapshot.dhcp_leases.values() if lease.network == network.uuid)
        return tuple(sorted(found, key=lambda lease: lease.address))

    async def add(self, record: VirtualNetworkRecord) -> VirtualNetworkRecord:
        """
        Make a network.

        :param record: what is wanted; its uuid and times are given here.
        """
        now = self._now()
        uuid = str(UUID(int=self._chance.getrandbits(128), version=4))

        async def add() -> VirtualNetworkRecord:
            made = self._judged(replace(record, uuid=uuid, ctime=now, mtime=now, serial_no=1))
            await self._check_rules(made.acls)
            names = {name_key(KIND, made.name): uuid, name_key(f"{KIND}-vni", str(made.vni)): uuid}
            await self._commit(commit_of([made], names=names, term=self._term))
            return made

        return await self._in_turn(add)

    async def present(self, network: VirtualNetworkRecord) -> None:
        """
        Wait until each node that answers says that it has the bridge, but `PRESENT` seconds at most.

        A machine that is made before would be refused, as its node lacks the bridge.
        """
        bridge, nodes = bridge_of(network), self._nodes
        ready: Deferred[None] = Deferred()

        def look(_: str) -> None:
            if not ready.called and all(bridge in report.bridges for report in nodes.reports.values()):
                ready.callback(None)

        end = nodes.observe(look)
        ready.addTimeout(PRESENT, self._clock)
        look("")
        try:
            await ready
        except DeferredTimeout:
            self._log.warn("not all nodes have the network {name} yet", name=network.name)
        finally:
            end()

    async def change(self, network: VirtualNetworkRecord, **values: Any) -> VirtualNetworkRecord:
        """Have some of its values be others; not its kind and id, nor `acls`."""
        fixed = {"uuid", "kind", "vni", "acls"} & values.keys()
        if fixed:
            raise BadRequest(f"{', '.join(sorted(fixed))}: cannot be changed")
        return await self._changed(network, lambda record: replace(record, **values))

    async def remove(self, network: VirtualNetworkRecord) -> None:
        """Remove it and what is known of its leases."""

        async def remove() -> None:
            record = self._current(network)
            free = [name_key(KIND, record.name), name_key(f"{KIND}-vni", str(record.vni))]
            expected = self._snapshot.revision_of
            change = commit_of(deletes=[record], free=free, revision_of=expected, term=self._term)
            await self._commit(change)

        await self._in_turn(remove)

    async def reserve(self, network: VirtualNetworkRecord, lease: StaticLease) -> VirtualNetworkRecord:
        """Add a static lease."""
        return await self._changed(
            network, lambda record: replace(record, static_leases=(*record.static_leases, lease))
        )

    async def unreserve(self, network: VirtualNetworkRecord, key: str) -> VirtualNetworkRecord:
        """Remove the static leases with this MAC address, host name or address."""

        def without(record: VirtualNetworkRecord) -> VirtualNetworkRecord:
            lower = key.lower()
            kept = [e for e in record.static_leases if lower not in (e.mac, e.hostname, e.address) or not key]
            if len(kept) == len(record.static_leases):
                raise NetworkRefused(f"No DHCP reservation exists matching '{key}'!")
            return replace(record, static_leases=tuple(kept))

        return await self._changed(network, without)

    async def release(self, network: VirtualNetworkRecord, addresses: Collection[str]) -> None:
        """Have leases that its DHCP server gave end; whoever has such an address may get another one."""

        async def release() -> None:
            record = self._current(network)
            step = ForgetLeases(instance="", network=record.uuid, addresses=tuple(addresses))
            await self._on_master(step, "leases cannot be ended at present")
            known = self._snapshot.dhcp_leases.values()
            gone = [e for e in known if e.network == record.uuid and e.address in addresses]
            if gone:
                await self._commit(commit_of(deletes=gone, term=self._term))

        await self._in_turn(release)

    async def add_acl(
        self, network: VirtualNetworkRecord, acl: Acl, order: int | None = None
    ) -> VirtualNetworkRecord:
        """Add a rule; see `with_acl` for its place."""
        return await self._changed(network, lambda record: with_acl(record, acl, order), (acl,))

    async def remove_acl(
        self, network: VirtualNetworkRecord, name: str, direction: str | None = None
    ) -> VirtualNetworkRecord:
        """Remove the rule with this description, which has this direction if one is given."""

        def without(record: VirtualNetworkRecord) -> VirtualNetworkRecord:
            kept = [acl for acl in record.acls if acl.name != name or direction not in (None, acl.direction)]
            if len(kept) == len(record.acls):
                raise NetworkRefused(f"No firewall rule exists matching description '{name}'!")
            return replace(record, acls=tuple(kept))

        return await self._changed(network, without)

    # How.

    def _current(self, network: VirtualNetworkRecord) -> VirtualNetworkRecord:
        found = self._snapshot.vnets.get(network.uuid)
        if found is None:
            raise BadRequest(f"Could not find network '{network.name}' in the cluster!")
        return found

    async def _changed(
        self, network: VirtualNetworkRecord, change: Change, rules: tuple[Acl, ...] = ()
    ) -> VirtualNetworkRecord:
        async def put() -> VirtualNetworkRecord:
            before = self._current(network)
            try:
                after = change(before)
            except NetworkRefused as e:
                raise BadRequest(str(e)) from e
            after = self._judged(replace(after, mtime=self._now(), serial_no=before.serial_no + 1))
            # Each with the others: rules can lead to each other.
            await self._check_rules(after.acls if rules else ())
            old, new = (name_key(KIND, record.name) for record in (before, after))
            commit = commit_of(
                [after],
                names={} if old == new else {new: after.uuid},
                free=[] if old == new else [old],
                revision_of=self._snapshot.revision_of,
                term=self._term,
            )
            await self._commit(commit)
            return after

        return await self._in_turn(put)

    async def _in_turn(self, work: Callable[[], Awaitable[_T]]) -> _T:
        async with self._turn:
            try:
                return await work()
            except Conflict as e:
                raise ServiceUnavailable("it was changed at the same time; try again") from e

    def _judged(self, record: VirtualNetworkRecord) -> VirtualNetworkRecord:
        try:
            found = completed(record)
            check_network(found, self._snapshot.vnets.values())
        except NetworkRefused as e:
            raise BadRequest(str(e)) from e
        return found

    async def _check_rules(self, acls: tuple[Acl, ...]) -> None:
        if not acls:
            return
        step = CheckAcls(instance="", acls=acls)
        outcome = await self._on_master(step, "rules cannot be judged at present")
        if outcome.reason:
            raise BadRequest(f"nft does not take the rule: {outcome.reason}")

    async def _on_master(self, step: Step, otherwise: str) -> Outcome:
        """:raises ServiceUnavailable: `otherwise`, and why."""
        try:
            return await self._nodes.perform(self._snapshot.cluster.master_node, step)
        except NodeError as e:
            raise ServiceUnavailable(f"{otherwise}: {e}") from e

    async def _commit(self, change: Commit) -> None:
        await self._snapshot.reached(await self._store.commit(change))
