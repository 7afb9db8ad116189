"""What a master runs for one term."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.cluster.attended import Attended, RulesT
from twisted_rapi.cluster.configuration_hooks import ConfigurationHooks
from twisted_rapi.cluster.fates import Fates
from twisted_rapi.cluster.faults import Faults
from twisted_rapi.cluster.network_duty import NetworkDuty
from twisted_rapi.cluster.networks import VirtualNetworks
from twisted_rapi.cluster.reconciler import Reconciler
from twisted_rapi.cluster.service import Cluster
from twisted_rapi.cluster.session_keys import SessionKeys
from twisted_rapi.cluster.switching import Handing, Switching
from twisted_rapi.cluster.watchdog import Watchdog
from twisted_rapi.ha.ladder import Ladder
from twisted_rapi.jobs.archive import Archive
from twisted_rapi.jobs.executor import Executor, Means
from twisted_rapi.jobs.queue import Failpoint, Queue, open_queue
from twisted_rapi.jobs.rules import Rules
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.plan.table import PLANS, locks_for
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of


@attrs.frozen(kw_only=True)
class Office:
    """
    What outlives a term and its duties are built of.

    :ivar now: seconds since the epoch.
    :ivar opened: told the cluster once it can be used; what it gives runs until the term ends.
    :ivar quiet: fires when no request is being answered.
    :ivar archive_age: seconds after which an ended job is archived.
    :ivar names_at: where names of virtual networks are answered, as dnsmasq has it; empty: nowhere.
    :ivar shown: what the cluster's record has to say of the floating address, as configured.
    :ivar watching: makes the watchdog.
    """

    store: IStateStore
    snapshot: Snapshot
    nodes: INodes
    clock: IReactorTime
    now: Callable[[], float]
    chance: Random
    opened: Callable[[Cluster, JobTable, Executor], Awaitable[Service]]
    deposed: Callable[[], None]
    quiet: Callable[[], Awaitable[None]] = lambda: succeed(None)
    failpoint: Failpoint = lambda _: None
    archive_age: float = 6 * 3600.0
    shown: Mapping[str, Any] = {}
    names_at: str = ""
    watchdog: WatchdogRules = attrs.field(factory=WatchdogRules)
    watching: Callable[[Attended[WatchdogRules]], Watchdog] = Watchdog
    death: DeathRules = attrs.field(factory=DeathRules)


class Duties(Ladder):
    """
    Everything of one term: the executor, the archive, the reconciler, and what `Office.opened` gives.

    What was opened ends first.
    """

    _log = Logger()

    def __init__(self, office: Office, term: int) -> None:
        super().__init__(office.clock)
        self._office = office
        self._term = term
        self._opening: Deferred[None] | None = None
        self._table = JobTable(office.clock)
        self._unobserve: Callable[[], None] = lambda: None

    def startService(self) -> None:
        """Begin; the cluster can be used once the unfinished jobs are loaded."""
        super().startService()
        self._unobserve = self._office.snapshot.observe(lambda _: self._look_at_election())
        self._opening = Deferred.fromCoroutine(self._open())
        self._opening.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """End all of it; who waits for a job is told to ask again."""
        self._unobserve()
        self._unobserve = lambda: None
        if self._opening is not None:
            self._opening.cancel()
        # Who waits for a job in the table is let go last: a job that depends on others is not to fail for it.
        ended: Deferred[None] = super().stopService()
        return ended.addBoth(self._ended)

    def _ended(self, result: None) -> None:
        self._table.close()
        return result

    def _look_at_election(self) -> None:
        election = self._office.snapshot.election
        if election is not None and election.term > self._term:
            self._log.warn("term {term} is over: {newest} has begun", term=self._term, newest=election.term)
            self._office.deposed()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("term {term} could not begin", failure, term=self._term)
            self._office.deposed()

    async def _show_master(self) -> None:
        """The cluster's record says which node has the term, and what address it is reached by."""
        office, snapshot = self._office, self._office.snapshot
        election, cluster = snapshot.election, snapshot.cluster
        if election is None or election.node not in snapshot.nodes:
            return
        shown = replace(cluster, master_node=election.node, **office.shown)
        if shown == cluster:
            return
        shown = replace(shown, mtime=office.now(), serial_no=cluster.serial_no + 1)
        change = commit_of([shown], revision_of=snapshot.revision_of, term=self._term)
        await snapshot.reached(await office.store.commit(change))

    def _reconciler(self, executor: Executor) -> Reconciler:
        office = self._office
        return Reconciler(
            office.store, office.snapshot, office.nodes, executor.apart, office.clock, self._term
        )

    async def _open(self) -> None:
        office, term = self._office, self._term
        # A candidate that was not master may not have been told of the last commits of who was.
        await office.snapshot.catch_up([ElectionRecord.KIND])
        await self._show_master()
        table = self._table
        queue = await open_queue(
            office.store,
            table,
            office.now,
            term,
            lambda: office.snapshot.cluster.drained_queue,
            office.failpoint,
        )
        executor = Executor(self._means(queue))
        executor.setServiceParent(self)
        await executor.recover()
        archive = Archive(office.store, table, office.clock, office.now, term, office.archive_age)
        archive.setServiceParent(self)
        self._reconciler(executor).setServiceParent(self)
        ConfigurationHooks(office.snapshot, office.nodes, office.now, office.chance).setServiceParent(self)
        rules = Rules(office.store, office.snapshot, office.now, office.chance, term, lambda: queue.last)
        switching = self._switching(executor)
        parts = (office.store, office.snapshot, office.nodes, table, queue, executor, rules, switching)
        cluster = Cluster(*parts)
        cluster.session_keys = SessionKeys(office.store, office.snapshot, term)
        cluster.watchdog = office.watching(self._attended(office.watchdog, cluster))
        cluster.watchdog.setServiceParent(self)
        cluster.fates = Fates(self._attended(self._office.death, cluster))
        cluster.fates.setServiceParent(self)
        cluster.faults = Faults(self._attended(None, cluster), cluster.watchdog)
        cluster.faults.setServiceParent(self)
        self._begin_networks(cluster)
        (await office.opened(cluster, table, executor)).setServiceParent(self)
        switching.setServiceParent(self)

    def _begin_networks(self, cluster: Cluster) -> None:
        office, term = self._office, self._term
        parts = (office.store, office.snapshot, office.nodes)
        cluster.networks = VirtualNetworks(*parts, office.now, office.chance, term, office.clock)
        NetworkDuty(*parts, office.clock, term, office.names_at).setServiceParent(self)

    def _means(self, queue: Queue) -> Means:
        office = self._office
        return Means(
            store=office.store,
            snapshot=office.snapshot,
            nodes=office.nodes,
            table=self._table,
            queue=queue,
            plans=PLANS,
            locks_for=locks_for,
            now=office.now,
            chance=office.chance,
            term=self._term,
            clock=office.clock,
            deposed=office.deposed,
            failpoint=office.failpoint,
        )

    def _attended(self, rules: RulesT, cluster: Cluster) -> Attended[RulesT]:
        office = self._office
        return Attended(
            rules=rules,
            store=office.store,
            snapshot=office.snapshot,
            nodes=office.nodes,
            table=self._table,
            locks=cluster.locks,
            clock=office.clock,
            now=office.now,
            term=self._term,
            submit=cluster.submit,
        )

    def _switching(self, executor: Executor) -> Switching:
        office = self._office
        handing = Handing(
            store=office.store,
            snapshot=office.snapshot,
            table=self._table,
            executor=executor,
            term=self._term,
            clock=office.clock,
            now=office.now,
            quiet=office.quiet,
            give_up=office.deposed,
        )
        return Switching(handing)
