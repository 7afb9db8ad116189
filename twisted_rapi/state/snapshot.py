"""
What reads are served from: the records of the store in memory, kept up to date by its watch.

Jobs are not here: the master keeps those itself (`twisted_rapi.jobs.table`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_rapi.errors import Compacted, StoreClosed, StoreError
from twisted_rapi.model.domain_state import DomainStateRecord
from twisted_rapi.model.fate import FencingsRecord, NodeFateRecord, WatchdogRecord
from twisted_rapi.model.fault import FaultsRecord
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.mastership import (
    CandidateRecord,
    DistributionRecord,
    ElectionRecord,
    SwitchRecord,
)
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import (
    ClusterRecord,
    DetachedDiskRecord,
    FilterRecord,
    GroupRecord,
    InstanceRecord,
    JoinTokenRecord,
    LeftoverRecord,
    NetworkRecord,
    NodeRecord,
)
from twisted_rapi.model.seen import CertificateSeen, NodeReport
from twisted_rapi.model.session import SessionKeyRecord
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, VirtualNetworkRecord
from twisted_rapi.plan.view import View
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import Changes, IStateStore, IWatch
from twisted_rapi.state.order import NaturalOrder

PREFIXES = (
    *("cluster", "group/", "node/", "instance/", "machine/", "domains/", "network/", "filter/", "disk/"),
    *("leftover/", "jointoken/", "election", "candidate/", "switch", "watchdog/", "fate/"),
    *("fencings", "faults", "vnet/", "dhcp/", "sessionkey", "distribution"),
)

Observed = Sequence[tuple[str, Record | None, Record | None]]
"""What changed: key, record before, record after."""

Observer = Callable[[Observed], None]

NAMED = ("group", "node", "instance", "network", "vnet")

_SINGLE = {
    "cluster": "_cluster",
    "election": "election",
    "switch": "switch",
    "fencings": "fencings",
    "faults": "faults",
    "sessionkey": "session_key",
    "distribution": "distribution",
}
"""Kinds of which there is one, and the attribute that has it."""

_MAPPED = {
    "group": ("groups", "uuid"),
    "node": ("nodes", "uuid"),
    "instance": ("instances", "uuid"),
    "machine": ("machines", "uuid"),
    "domains": ("domain_states", "uuid"),
    "network": ("networks", "uuid"),
    "filter": ("filters", "uuid"),
    "disk": ("detached", "uuid"),
    "leftover": ("leftovers", "uuid"),
    "jointoken": ("join_tokens", "digest"),
    "candidate": ("candidates", "uuid"),
    "watchdog": ("watched", "uuid"),
    "fate": ("fates", "uuid"),
    "vnet": ("vnets", "uuid"),
    "dhcp": ("dhcp_leases", "uuid"),
}
"""The other kinds: the mapping that has them, and by which of their fields."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between attempts to read a store that fails


@attrs.define(eq=False, slots=False)
class Snapshot(Service):
    """
    The cluster's records as of `revision`; made by `load`, which also begins to follow the store.

    All mappings are keyed by uuid and must not be changed.

    :ivar names: per kind (`NAMED`) the uuids by name; `order`: the uuids in the natural order of the names.
    """

    _log = Logger()

    store: IStateStore
    clock: IReactorTime
    revision: int = 0
    certificates: tuple[CertificateSeen, ...] = ()  # what the daemon uses: no record, but views have it
    groups: dict[str, GroupRecord] = attrs.field(factory=dict)
    nodes: dict[str, NodeRecord] = attrs.field(factory=dict)
    instances: dict[str, InstanceRecord] = attrs.field(factory=dict)
    machines: dict[str, MachineRecord] = attrs.field(factory=dict)
    domain_states: dict[str, DomainStateRecord] = attrs.field(factory=dict)
    networks: dict[str, NetworkRecord] = attrs.field(factory=dict)
    filters: dict[str, FilterRecord] = attrs.field(factory=dict)
    detached: dict[str, DetachedDiskRecord] = attrs.field(factory=dict)
    leftovers: dict[str, LeftoverRecord] = attrs.field(factory=dict)
    join_tokens: dict[str, JoinTokenRecord] = attrs.field(factory=dict)
    candidates: dict[str, CandidateRecord] = attrs.field(factory=dict)
    watched: dict[str, WatchdogRecord] = attrs.field(factory=dict)
    fates: dict[str, NodeFateRecord] = attrs.field(factory=dict)
    vnets: dict[str, VirtualNetworkRecord] = attrs.field(factory=dict)
    dhcp_leases: dict[str, DhcpLeaseRecord] = attrs.field(factory=dict)
    election: ElectionRecord | None = None
    switch: SwitchRecord | None = None
    fencings: FencingsRecord | None = None
    faults: FaultsRecord | None = None
    session_key: SessionKeyRecord | None = None
    distribution: DistributionRecord | None = None
    names: dict[str, dict[str, str]] = attrs.field(factory=lambda: {kind: {} for kind in NAMED})
    order: dict[str, NaturalOrder] = attrs.field(factory=lambda: {kind: NaturalOrder() for kind in NAMED})
    _cluster: ClusterRecord | None = None
    # By node, in the order they came: a set's order would be another in each process.
    _primary: dict[str, dict[str, None]] = attrs.field(factory=lambda: defaultdict(dict))
    _secondary: dict[str, dict[str, None]] = attrs.field(factory=lambda: defaultdict(dict))
    _revisions: dict[str, int] = attrs.field(factory=dict)
    _records: dict[str, Record] = attrs.field(factory=dict)
    _observers: list[Observer] = attrs.field(factory=list)
    _awaited: list[tuple[int, Deferred[None]]] = attrs.field(factory=list)
    _watch: IWatch | None = None
    _following: Deferred[None] = attrs.field(factory=lambda: succeed(None))

    @property
    def cluster(self) -> ClusterRecord:
        """
        The cluster's record.

        :raises StoreError: the store has no cluster: it was never initialised.
        """
        if self._cluster is None:
            raise StoreError("the store holds no cluster yet: run rapi-admin init")
        return self._cluster

    def revision_of(self, key: str) -> int:
        """The revision a key was last written at; 0 when there is no such key."""
        return self._revisions.get(key, 0)

    def primary(self, node: str) -> frozenset[str]:
        """The uuids of the instances whose primary node it is."""
        return frozenset(self._primary.get(node, ()))

    def secondary(self, node: str) -> frozenset[str]:
        """The uuids of the instances that have it as a secondary node."""
        return frozenset(self._secondary.get(node, ()))

    def view(self, reports: Mapping[str, NodeReport], now: float, chance: Random, **more: Any) -> View:
        """What a plan looks at, `more` of it being others' to know; valid until the reactor is given back."""
        return View(
            cluster=self.cluster,
            groups=self.groups,
            nodes=self.nodes,
            instances=self.instances,
            machines=self.machines,
            domain_states=self.domain_states,
            networks=self.networks,
            filters=self.filters,
            detached=self.detached,
            names=self.names,
            primaries=self._primary,
            secondaries=self._secondary,
            reports=reports,
            now=now,
            chance=chance,
            certificates=self.certificates,
            fates=self.fates,
            leftovers=self.leftovers,
            distributed=0.0 if self.distribution is None else self.distribution.at,
            order={kind: order.uuids for kind, order in self.order.items()},
            **more,
        )

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Call `observer` after each change; answers how to end that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    async def reached(self, revision: int) -> None:
        """
        Wait until a commit with this revision is here.

        It has to be one that changes something the snapshot follows: others do not show in the watch.

        :raises StoreClosed: the snapshot was stopped before it came.
        """
        if revision > self.revision:
            waiting: Deferred[None] = Deferred()
            self._awaited.append((revision, waiting))
            await waiting

    async def catch_up(self, keys: Iterable[str]) -> bool:
        """
        Wait until what the store has under these keys now is here.

        Answers whether it has something under one of them that is followed.

        :raises StoreError: the store cannot be read.
        """
        found = await self.store.get([key for key in keys if key.startswith(PREFIXES)])
        for entry in found.values():
            await self.reached(entry.revision)
        return bool(found)

    def age(self) -> float:
        """Seconds since it was certain that nothing newer is in the store; see `IStateStore.age`."""
        return float(self.store.age())

    # Following the store.

    async def read(self) -> None:
        """
        Read everything, as of one revision at least, and tell what differs from before.

        :raises StoreError: the store cannot be read.
        """
        found: dict[str, tuple[Record, int]] = {}
        first: int | None = None
        for prefix in PREFIXES:
            after: str | None = ""
            while after is not None:
                page = await self.store.list(prefix, after)
                first = page.revision if first is None else min(first, page.revision)
                found.update({k: (decode(k, e.value), e.revision) for k, e in page.entries.items()})
                after = page.more
        gone = [(key, None, 0) for key in self._records if key not in found]
        new = [(key, record, revision) for key, (record, revision) in found.items()]
        # What changed while the pages were read comes again by the watch from the first page's revision.
        if self._watch is not None:
            self._watch.close()
        self._watch = self.store.watch(PREFIXES, first or 0)
        self._apply([*gone, *new], first or 0)

    def startService(self) -> None:
        """Follow the store's changes."""
        super().startService()
        self._following = Deferred.fromCoroutine(self._follow())
        self._following.addErrback(lambda f: self._log.failure("the store is no longer followed", f))

    def stopService(self) -> Deferred[None]:
        """No longer follow."""
        super().stopService()
        if self._watch is not None:
            self._watch.close()
        self._following.cancel()
        awaited, self._awaited = self._awaited, []
        for _, waiting in awaited:
            if not waiting.called:
                waiting.errback(StoreClosed("the snapshot was stopped"))
        return self._following

    async def _follow(self) -> None:
        try:
            while self.running and self._watch is not None:
                await self._apply_next(self._watch)
        except (StoreClosed, CancelledError):
            return

    async def _apply_next(self, watch: IWatch) -> None:
        try:
            for change in await watch.next():
                self._take(change)
        except StoreClosed:
            raise
        except Compacted:
            self._log.warn("changes were missed; reading everything again")
            await self._read_again()
        except StoreError:
            self._log.failure("a change cannot be read; reading everything again")
            await self._read_again()

    async def _read_again(self) -> None:
        """Read until it succeeds; what the snapshot says meanwhile is old."""
        wait = FIRST_WAIT
        while True:
            try:
                return await self.read()
            except StoreClosed:
                raise
            except StoreError:
                self._log.failure("the store cannot be read; trying again in {wait} s", wait=wait)
            await deferLater(self.clock, wait)
            wait = min(wait * 2, LONGEST_WAIT)

    def _take(self, change: Changes) -> None:
        changed = [
            (key, None if value is None else decode(key, value), change.revision)
            for key, value in change.values.items()
            if change.revision > self._revisions.get(key, 0)
        ]
        self._apply(changed, change.revision)

    def _apply(self, changed: Iterable[tuple[str, Record | None, int]], revision: int) -> None:
        told: list[tuple[str, Record | None, Record | None]] = []
        for key, record, at in changed:
            before = self._records.pop(key, None)
            self._revisions.pop(key, None)
            if before is not None:
                self._remove(before)
            if record is not None:
                self._records[key] = record
                self._revisions[key] = at
                self._add(record)
            if before != record:
                told.append((key, before, record))
        self.revision = max(self.revision, revision)
        ready = [d for wanted, d in self._awaited if wanted <= self.revision]
        self._awaited = [(wanted, d) for wanted, d in self._awaited if wanted > self.revision]
        if told:
            self._tell(told)
        for d in ready:
            if not d.called:
                d.callback(None)

    def _tell(self, told: Observed) -> None:
        for observer in tuple(self._observers):
            try:
                observer(told)
            except Exception:  # noqa: BLE001 -- one that fails keeps the others from nothing
                self._log.failure("an observer of the snapshot failed")

    def _remove(self, record: Record) -> None:
        kind = record.KIND
        if kind in _SINGLE:
            setattr(self, _SINGLE[kind], None)
            return
        mapping, key = _MAPPED[kind]
        uuid = getattr(record, key)
        del getattr(self, mapping)[uuid]
        if kind in NAMED:
            self._unname(kind, record.name, uuid)  # type: ignore[attr-defined]
        if isinstance(record, InstanceRecord):
            self._primary[record.primary_node].pop(uuid, None)
            for node in record.secondary_nodes:
                self._secondary[node].pop(uuid, None)

    def _name(self, kind: str, name: str, uuid: str) -> None:
        self.names[kind][name] = uuid
        self.order[kind].add(name, uuid)

    def _unname(self, kind: str, name: str, uuid: str) -> None:
        self.order[kind].remove(name, uuid)
        if self.names[kind].get(name) == uuid:
            del self.names[kind][name]

    def _add(self, record: Record) -> None:
        kind = record.KIND
        if kind in _SINGLE:
            setattr(self, _SINGLE[kind], record)
            return
        mapping, key = _MAPPED[kind]
        uuid = getattr(record, key)
        getattr(self, mapping)[uuid] = record
        if kind in NAMED:
            self._name(kind, record.name, uuid)  # type: ignore[attr-defined]
        if isinstance(record, InstanceRecord):
            self._primary[record.primary_node][uuid] = None
            for node in record.secondary_nodes:
                self._secondary[node][uuid] = None


async def load(store: IStateStore, clock: IReactorTime) -> Snapshot:
    """
    A snapshot of what the store holds; start it as a service to have it follow.

    :param clock: times the next attempt when the store cannot be read.
    :raises StoreError: the store cannot be read.
    """
    snapshot = Snapshot(store, clock)
    await snapshot.read()
    return snapshot
