"""The master's daemon of a simulation: all that is real, in one process of it."""

from collections.abc import Sequence
from random import Random

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from twisted_rapi.cluster.duties import Duties, Office
from twisted_rapi.cluster.service import Cluster
from twisted_rapi.cluster.watchdog import Watchdog
from twisted_rapi.errors import NoTerm, StoreError
from twisted_rapi.ha.leadership import Leadership
from twisted_rapi.ha.leased import SEAT, LeasedCandidate
from twisted_rapi.ha.presence import Presence
from twisted_rapi.ha.standing import Anyone, IStanding, StoredStanding
from twisted_rapi.jobs.executor import Executor
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.rpc.nodes import Nodes
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.testing.cluster import NOW
from twisted_rapi.testing.simulation.agent import FarAgent, Host
from twisted_rapi.testing.simulation.process import Line, Process
from twisted_rapi.testing.simulation.store import FarStore, JudgedStore

DEATH = DeathRules(
    silence=2.0, restart="all", fence=True, fence_after=4.0, fence_most=2, fence_interval=60.0, recover="auto"
)
"""What masters do about nodes that fall silent."""

WATCHDOG = WatchdogRules(wait=3.0)
"""What their watchdogs keep to."""


@attrs.frozen(kw_only=True)
class Surroundings:
    """
    What a daemon's process finds around it, and what may be wrong with its program.

    :ivar lines: from its machine to every node's agent.
    :ivar election: how it is elected; `standing`: whether it heeds what keeps it from a free seat.
    :ivar snapshot: what it reads from; `watching`: its watchdog, which goes by `watchdog`.
    """

    name: str
    store: JudgedStore
    line: Line
    hosts: dict[str, Host]
    lines: dict[str, Line]
    election: type[LeasedCandidate] = LeasedCandidate
    standing: bool = True
    snapshot: type[Snapshot] = Snapshot
    watching: type[Watchdog] = Watchdog
    watchdog: WatchdogRules = WATCHDOG


class _Open(Service):
    """Answers clients while it runs."""

    def __init__(self, daemon: "Daemon", cluster: Cluster) -> None:
        self._daemon, self._cluster = daemon, cluster

    def startService(self) -> None:
        """Answer."""
        super().startService()
        self._daemon.cluster = self._cluster

    def stopService(self) -> None:
        """No longer answer."""
        super().stopService()
        self._daemon.cluster = None


class Daemon:
    """
    One life of a master's daemon.

    :param first: whether it has read the store before anything can happen.
    :ivar cluster: what clients ask, while there is a term.
    """

    def __init__(self, around: Surroundings, process: Process, chance: Random, first: bool = False) -> None:
        self.around, self.process, self._chance = around, process, chance
        self.far = FarStore(around.store, process, around.line)
        self.cluster: Cluster | None = None
        self.leadership: Leadership | None = None
        self.far.near = first
        Deferred.fromCoroutine(self._open())

    @property
    def term(self) -> int | None:
        """The term it would act for now, were it awake."""
        alive = self.process.alive and self.leadership is not None
        return self.leadership.term if alive and self.leadership is not None else None

    async def _read(self) -> Snapshot:
        snapshot = self.around.snapshot(self.far, self.process)
        while True:
            try:
                await snapshot.read()
            except StoreError:
                await deferLater(self.process, 1.0)
                continue
            self.far.near = False
            snapshot.startService()
            return snapshot

    async def _open(self) -> None:
        around, process = self.around, self.process
        snapshot = await self._read()
        nodes = Nodes(self._connect, process, self._chance, lambda: self.term, self.deposed)
        nodes.set_nodes(snapshot.nodes.values())
        snapshot.observe(lambda _: nodes.set_nodes(snapshot.nodes.values()))
        nodes.startService()
        self.far.doubtful = self.deposed
        record = CandidateRecord(uuid=around.name, since=NOW, version="1")
        Presence(self.far, self.far, record, process, snapshot.age).startService()
        standing: IStanding = Anyone()
        if around.standing:
            standing = StoredStanding(self.far, around.name, process, SEAT)
        election = around.election(self.far, self.far, around.name, process, standing=standing)
        office = Office(
            store=self.far,
            snapshot=snapshot,
            nodes=nodes,
            clock=process,
            now=lambda: NOW + process.seconds(),
            chance=self._chance,
            opened=self._opened,
            deposed=self.deposed,
            death=DEATH,
            watchdog=around.watchdog,
            watching=around.watching,
        )

        def duties(term: int) -> Duties:
            nodes.term_begins()
            return Duties(office, term)

        self.leadership = Leadership(election, duties, process)
        self.leadership.startService()

    async def _opened(self, cluster: Cluster, _: JobTable, __: Executor) -> Service:
        return _Open(self, cluster)

    def _connect(self, node: NodeRecord) -> FarAgent:
        return FarAgent(self.around.hosts[node.uuid], self.process, self.around.lines[node.uuid])

    def deposed(self) -> None:
        """Its term is over."""
        if self.leadership is not None:
            self.leadership.deposed_from_within()

    def _in_office(self) -> Cluster:
        if self.cluster is None or self.term is None:
            raise NoTerm
        return self.cluster

    async def submit(self, ops: Sequence[Opcode]) -> int:
        """Accept a job, as master."""
        return await self._in_office().submit(ops)

    async def switch(self, target: str) -> None:
        """Have another one be master, as master."""
        await self._in_office().switch_master(target, "client")

    async def confirm(self, node: str) -> None:
        """Take the word that a node is dead, as master."""
        await self._in_office().fates.confirm(node, "client")
