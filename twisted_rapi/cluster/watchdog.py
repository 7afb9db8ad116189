"""The watchdog: what should run and does not is started again."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.cluster.attended import Attended
from twisted_rapi.errors import RapiError
from twisted_rapi.model.fate import WatchdogRecord
from twisted_rapi.model.opcodes.instance import InstanceStartup
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.fate import not_yet_online
from twisted_rapi.plan.watchdog import (
    Stranger,
    WatchdogRules,
    missing,
    obstacle,
    recent,
    strangers,
    under_way,
    words,
)
from twisted_rapi.state.snapshot import Observed

SOURCE = "rapi:watchdog"
"""What the reason trail of a start names."""


@attrs.frozen(kw_only=True)
class Down:
    """
    An instance that should run and does not.

    :ivar seconds: how long that is known in this term.
    :ivar starts: when the watchdog started it within the last hour, seconds since the epoch.
    :ivar left: why it is not started again; "" when it is, once the time has come.
    """

    name: str
    node: str
    seconds: float
    starts: tuple[float, ...]
    left: str


class Watchdog(Service):
    """
    Starts instances that should run and, by the reports of their nodes, do not.

    Each is given `WatchdogRules.wait` seconds first, and again after each attempt: what nodes reported to
    an earlier master does not count.  A start is noted in the store before its job is submitted, so that
    none is forgotten by a failover.
    """

    _log = Logger()

    def __init__(self, attended: Attended[WatchdogRules]) -> None:
        self._with = attended
        self._since: dict[str, float] = {}  # by uuid of what is down
        self._strange: dict[tuple[str, str], float] = {}  # by node and name of what runs and should not
        self._left: set[str] = set()  # what was told to be left
        self._told: set[tuple[str, str]] = set()
        self._ends: list[Callable[[], None]] = []
        self._timer: IDelayedCall | None = None
        self._busy: dict[str, Deferred[None]] = {}

    @property
    def rules(self) -> WatchdogRules:
        """How it acts."""
        return self._with.rules

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        snapshot, nodes = self._with.snapshot, self._with.nodes
        self._ends = [nodes.observe(self._look_at), snapshot.observe(self._records_changed)]
        for node in list(nodes.reports):
            self._look_at(node)
        self._forget([record for uuid, record in snapshot.watched.items() if uuid not in snapshot.instances])

    def stopService(self) -> Deferred[None]:
        """End; jobs that were submitted go on."""
        super().stopService()
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        busy = list(self._busy.values())
        for d in busy:
            d.cancel()
        return DeferredList(busy, consumeErrors=True).addCallback(lambda _: None)

    # What is seen.

    def _records_changed(self, changed: Observed) -> None:
        touched: set[str] = set()
        gone: list[WatchdogRecord] = []
        for _, before, after in changed:
            for record in (before, after):
                if isinstance(record, InstanceRecord):
                    touched.add(record.primary_node)
                elif isinstance(record, NodeRecord):
                    touched.add(record.uuid)
            if isinstance(before, InstanceRecord) and after is None:
                self._since.pop(before.uuid, None)
                gone.extend(filter(None, [self._with.snapshot.watched.get(before.uuid)]))
        for node in touched:
            self._look_at(node)
        self._forget(gone)

    def _forget(self, records: Sequence[WatchdogRecord]) -> None:
        for record in records:
            self._begin(f"forget {record.uuid}", self._delete(record))

    def _look_at(self, node: str) -> None:
        """Note since when what is to run on a node is down, and what runs there and should not."""
        snapshot, reports = self._with.snapshot, self._with.nodes.reports
        now, found = self._with.clock.seconds(), snapshot.nodes.get(node)
        for uuid in snapshot.primary(node):
            if missing(snapshot.instances[uuid], found, reports):
                self._since.setdefault(uuid, now)
            else:
                self._since.pop(uuid, None)
                self._left.discard(uuid)
        report = reports.get(node)
        strange: list[Stranger] = []
        if found is not None and report is not None:
            strange = strangers(found, report, snapshot.instances)
        keys = {(node, stranger.name) for stranger in strange}
        for key in [key for key in self._strange if key[0] == node and key not in keys]:
            del self._strange[key]
            self._told.discard(key)
        for key in keys:
            self._strange.setdefault(key, now)
        self._arm()

    def _arm(self) -> None:
        if not self.running or not self.rules.enabled:
            return
        waiting = [*self._since.values(), *(at for key, at in self._strange.items() if key not in self._told)]
        if self._timer is not None or not waiting:
            return  # one that is set is early enough: whatever came later is due later
        left = min(waiting) + self.rules.wait - self._with.clock.seconds()
        self._timer = self._with.clock.callLater(max(0.0, left), self._fired)

    def _fired(self) -> None:
        self._timer = None
        now = self._with.clock.seconds()
        due = [uuid for uuid, at in self._since.items() if now - at >= self.rules.wait]
        for uuid in due:
            self._since[uuid] = now
            if uuid not in self._busy:
                self._begin(uuid, self._revive(uuid))
        for key in [k for k, at in self._strange.items() if now - at >= self.rules.wait]:
            if key not in self._told:
                self._strange[key] = now
                self._tell(key)
        self._arm()

    def _tell(self, key: tuple[str, str]) -> None:
        for each in self.strangers():
            if (each.node, each.name) == key:
                node = self._with.snapshot.nodes[each.node].name
                self._log.warn("{name} runs on {node}: {why}", name=each.name, node=node, why=each.why)
                self._told.add(key)

    # What is done.

    def _begin(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        d: Deferred[None] = Deferred.fromCoroutine(work)
        if d.called:
            d.addErrback(self._failed)
            return
        self._busy[key] = d
        d.addErrback(self._failed)
        d.addBoth(lambda _: self._busy.pop(key, None) and None)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the watchdog met a bug", failure)

    async def _delete(self, record: WatchdogRecord) -> None:
        try:
            await self._with.commit(deletes=[record])
        except RapiError as e:
            self._log.warn("what was noted of {uuid} stays: {why}", uuid=record.uuid, why=str(e))

    def _may_act(self, uuid: str) -> InstanceRecord | None:
        """The instance, if it is down and nobody is at it."""
        snapshot = self._with.snapshot
        instance = snapshot.instances.get(uuid)
        if instance is None or self.halted():
            return None
        node = snapshot.nodes.get(instance.primary_node)
        if not missing(instance, node, self._with.nodes.reports):
            return None
        fate = snapshot.fates.get(instance.primary_node)
        if not_yet_online(fate, snapshot.leftovers.values(), snapshot.instances):
            return None  # it was set online by force, and may still run what is elsewhere now
        return None if under_way(instance, words(self._with.table), self._with.locks) else instance

    async def _revive(self, uuid: str) -> None:
        """Start an instance, or tell once why not."""
        given, snapshot = self._with, self._with.snapshot
        instance = self._may_act(uuid)
        if instance is None:
            return
        starts = recent(snapshot.watched.get(uuid), given.now())
        node = snapshot.nodes[instance.primary_node]
        why = obstacle(instance, node, given.nodes.reports, starts, self.rules)
        if why:
            if uuid not in self._left:
                self._left.add(uuid)
                self._log.error("{name} is down and left so: {why}", name=instance.name, why=why)
            return
        self._left.discard(uuid)
        noted = WatchdogRecord(uuid=uuid, starts=(*starts, given.now()))
        try:
            await given.commit([noted])
            # A job that was accepted meanwhile goes first: it may be the one that stops it.
            if self._may_act(uuid) is None:
                return
            trail = [SOURCE, f"down for {self.rules.wait:g} s", int(given.now() * 1e9)]
            op = InstanceStartup(instance_name=instance.name, instance_uuid=uuid, reason=[trail])
            job = await given.submit([op], SOURCE)
        except RapiError as e:
            self._log.warn("{name} is down and not started: {why}", name=instance.name, why=str(e))
            return
        self._log.warn("{name} is down: started by job {job}", name=instance.name, job=job)

    async def pause(self, seconds: float) -> float:
        """
        Start nothing for so many seconds, 0 to go on at once; answers until when.

        :raises StoreError: it could not be stored.
        :raises Conflict: the cluster was changed at the same time.
        """
        given, snapshot = self._with, self._with.snapshot
        until = given.now() + seconds if seconds else 0.0
        serial = snapshot.cluster.serial_no + 1
        changed = replace(snapshot.cluster, watcher_pause=until, serial_no=serial, mtime=given.now())
        await given.commit([changed])
        return until

    # What is shown.

    def halted(self) -> str:
        """Why nothing at all is started; "" when it is."""
        cluster = self._with.snapshot.cluster
        if not self.rules.enabled:
            return "it is switched off"
        if self._with.now() < cluster.watcher_pause:
            return "it is paused"
        return "the queue is drained" if cluster.drained_queue else ""

    def down(self) -> list[Down]:
        """The instances that should run and do not, by name."""
        snapshot, reports, found = self._with.snapshot, self._with.nodes.reports, []
        for uuid, since in self._since.items():
            instance = snapshot.instances[uuid]
            node = snapshot.nodes[instance.primary_node]
            starts = recent(snapshot.watched.get(uuid), self._with.now())
            found.append(
                Down(
                    name=instance.name,
                    node=node.name,
                    seconds=self._with.clock.seconds() - since,
                    starts=starts,
                    left=self.halted() or obstacle(instance, node, reports, starts, self.rules),
                )
            )
        return sorted(found, key=lambda down: down.name)

    def strangers(self) -> list[Stranger]:
        """What runs and should not, by node; what a job is at is not among them."""
        snapshot, found = self._with.snapshot, []
        said: frozenset[str] | None = None
        reports: Mapping[str, object] = self._with.nodes.reports
        for uuid in sorted({node for node, _ in self._strange} & set(reports) & set(snapshot.nodes)):
            for each in strangers(snapshot.nodes[uuid], self._with.nodes.reports[uuid], snapshot.instances):
                instance = snapshot.instances.get(each.uuid)
                if instance is not None:
                    said = words(self._with.table) if said is None else said
                    if under_way(instance, said, self._with.locks):
                        continue
                found.append(each)
        return found
