"""A cluster of several masters' daemons and agents, what can happen to it, and what must always hold."""

from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rapi.cluster.watchdog import Watchdog
from twisted_rapi.errors import RapiError
from twisted_rapi.ha.leased import SEAT, LeasedCandidate
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import (
    FINAL,
    ArchivedJobRecord,
    JobRecord,
    LeftoverRecord,
    NameRecord,
    NodeRecord,
    job_status,
)
from twisted_rapi.plan.succession import may_be_master
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.state.codec import decode
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.clock import SwiftClock
from twisted_rapi.testing.cluster import NODES, founding
from twisted_rapi.testing.nodes import FakeNodes
from twisted_rapi.testing.simulation.agent import Host
from twisted_rapi.testing.simulation.asking import wished
from twisted_rapi.testing.simulation.daemon import WATCHDOG, Daemon, Surroundings
from twisted_rapi.testing.simulation.judges import ReadJudge, WatchdogJudge
from twisted_rapi.testing.simulation.process import Line, Process
from twisted_rapi.testing.simulation.store import JudgedStore
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import World

SLACK = 6.0
"""Seconds a candidate may take from asking whether it may go for the seat to having it."""

IMPATIENT = 2.0
"""Seconds after which a client with a fault asks again."""

HEALED = 400.0
"""Seconds after which all is well, once nothing fails any more."""


class Broken(AssertionError):
    """Something that must hold does not."""


@attrs.frozen(kw_only=True)
class Program:
    """
    What the simulation is made of; parts with faults show that it finds them.

    :ivar strict: whether agents refuse older terms.
    :ivar honest: whether what is said to have no power has none.
    :ivar repeats: whether clients' requests are made again when no answer came: with a fault.
    """

    store: type[JudgedStore] = JudgedStore
    election: type[LeasedCandidate] = LeasedCandidate
    standing: bool = True
    strict: bool = True
    honest: bool = True
    repeats: bool = False
    snapshot: type[Snapshot] = Snapshot
    watching: type[Watchdog] = Watchdog
    watchdog: WatchdogRules = WATCHDOG


class Simulation:
    """
    Three machines, each a candidate and an agent, and a client.

    :ivar acknowledged: by job id, the mark in the job that the client was told was accepted.
    :ivar history: what happened, in words, with the time.
    """

    def __init__(self, program: Program = Program(), rates: tuple[float, ...] = (1.0, 1.0, 1.0)) -> None:
        self.clock = SwiftClock()
        self._complaints: list[str] = []
        self.store = program.store(self.clock, self._complaints)
        self.fakes = FakeNodes(NODES)
        fakes = self.fakes.nodes
        self.hosts = {
            uuid: Host(fakes[uuid], self.clock, program.strict, fakes, self._complaints) for uuid in NODES
        }
        self.acknowledged: dict[int, str] = {}
        self.history: list[str] = []
        self.processes: list[Process] = []
        self._rates, self._marks, self._lives = rates, 0, 0
        self._program, self._dark = program, set[str]()
        for host in self.hosts.values():
            host.cut_power = self._cut_power
        self._unable: dict[str, float] = {}
        self._stopped: dict[str, float] = {}
        self._found()
        self.around = [self._machine(uuid, program) for uuid in NODES]
        self.daemons = [self._begin(number, True) for number in range(len(NODES))]
        self.store.won, self.store.node_changed = self._judge_winner, self._node_changed
        self._reads = ReadJudge(self._complaints)
        self.watchdogs = WatchdogJudge(fakes, self._record, self._complaints)
        self.store.job_made = self.watchdogs.submitted

    def _found(self) -> None:
        records, names = founding()
        for number, record in enumerate(records):
            if isinstance(record, NodeRecord):
                records[number] = replace(record, master_candidate=True)
        self.now(self.store.commit(commit_of(records, names=names)))
        self.store.term = 1

    def _machine(self, uuid: str, program: Program) -> Surroundings:
        return Surroundings(
            name=uuid,
            store=self.store,
            line=Line(self.clock),
            hosts=self.hosts,
            lines={node: Line(self.clock) for node in NODES},
            election=program.election,
            standing=program.standing,
            snapshot=program.snapshot,
            watching=program.watching,
            watchdog=program.watchdog,
        )

    def _begin(self, number: int, first: bool = False) -> Daemon:
        process = Process(self.clock, self._rates[number])
        self.processes.append(process)
        self._lives += 1
        return Daemon(self.around[number], process, Random(self._lives), first)

    def now(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What the store answers without a network."""
        results: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(results.append)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    # Time.

    def advance(self, seconds: float) -> None:
        """
        Let time pass, looking all the while.

        :raises Broken: something does not hold.
        """
        end = self.clock.seconds() + seconds
        while True:
            step = self.clock.next_call()
            for process in self.processes:
                due = process.due()
                step = due if step is None or (due is not None and due < step) else step
            if step is None or step >= end:
                break
            self._step(max(0.0, step - self.clock.seconds()) + 1e-7)
        self._step(max(0.0, end - self.clock.seconds()))

    def _step(self, seconds: float) -> None:
        self.clock.advance(seconds)
        now = self.clock.seconds()
        for process in self.processes:
            due = process.due()
            if due is not None and due <= now:
                process.run()
        self.look()

    def look(self) -> None:
        """
        See whether all holds that must hold at any moment.

        :raises Broken: it does not.
        """
        acting = [daemon for daemon in self.daemons if daemon.term is not None]
        if len(acting) > 1:
            raise Broken(f"several act: {[(daemon.around.name[-1], daemon.term) for daemon in acting]}")
        self._reads.look(acting, self.acknowledged)
        if self._complaints:
            raise Broken("; ".join(self._complaints))

    def _record(self, key: str) -> Record | None:
        found = self.now(self.store.get([key]))
        return decode(key, found[key].value) if key in found else None

    def _judge_winner(self, won: ElectionRecord) -> None:
        """Whether who is about to have a term may."""
        now = self.clock.seconds()
        self.history.append(f"{now:.2f}: term {won.term} is {won.node[-1]}'s")
        if now - self._stopped.get(won.node, -SLACK) < SLACK:
            return  # it may have asked before it was stopped
        if now - self._unable.get(won.node, now) > SLACK:
            self._complaints.append(f"{won.node[-1]} may not be master, and has term {won.term}")

    def _node_changed(self, record: NodeRecord) -> None:
        """Note since when a node may not be the master's."""
        if may_be_master(record):
            self._unable.pop(record.uuid, None)
        else:
            self._unable.setdefault(record.uuid, self.clock.seconds())

    # What can happen.

    def cut(self, number: int, there: bool, back: bool, delay: float) -> None:
        """Change the way from a candidate to the store."""
        self.around[number].line.set(there, back, delay)

    def cut_node(self, number: int, node: int, there: bool, back: bool, delay: float) -> None:
        """Change the way from a candidate to a node's agent."""
        self.around[number].lines[NODES[node]].set(there, back, delay)

    def stop(self, number: int) -> None:
        """As SIGSTOP."""
        self.daemons[number].process.stopped = True

    def go_on(self, number: int) -> None:
        """As SIGCONT."""
        process = self.daemons[number].process
        if process.stopped:
            self._stopped[NODES[number]] = self.clock.seconds()
            process.go_on()

    def kill(self, number: int) -> None:
        """As SIGKILL: what it sent is under way."""
        process = self.daemons[number].process
        process.alive = process.stopped = False
        if process in self.processes:
            self.processes.remove(process)

    def restart(self, number: int) -> None:
        """Begin a new daemon, if there is none and the machine has power."""
        if not self.daemons[number].process.alive and NODES[number] not in self._dark:
            self.daemons[number] = self._begin(number)

    def node(self, number: int, up: bool, slow: float) -> None:
        """Have a node's agent go, come back, be slow."""
        host = self.hosts[NODES[number]]
        host.slow = slow
        if up:
            self._dark.discard(NODES[number])
        if host.down and up:
            host.begin()
        elif not host.down and not up:
            host.end()

    def lose(self, number: int) -> None:
        """A machine is seen by nobody any more; its guests run on."""
        self.kill(number)
        self.node(number, False, 0.0)

    def die(self, number: int) -> None:
        """A machine loses its power, and all that ran on it."""
        self.lose(number)
        self._dark.add(NODES[number])
        self.hosts[NODES[number]].node.domains.clear()

    def _cut_power(self, uuid: str) -> None:
        if self._program.honest:
            self.die(NODES.index(uuid))

    def crash(self, number: int) -> None:
        """A guest ends, wherever it runs."""
        for host in self.hosts.values():
            if host.node.domains.pop(f"vm{number}.example.com", None) is not None:
                host.tell()

    def confirm(self, number: int) -> None:
        """A person takes the power from a machine and tells the master that it is dead."""
        self._cut_power(NODES[number])
        for daemon in self.daemons:
            if daemon.term is not None:
                self._ask(daemon, partial(daemon.confirm, NODES[number]), lambda _: None)

    def able(self, number: int, able: bool) -> None:
        """Say whether a node may be master; one that is offline may not."""
        record = self._record(f"{NodeRecord.KIND}/{NODES[number]}")
        assert isinstance(record, NodeRecord)
        if not record.offline:
            self.now(self.store.commit(commit_of([replace(record, master_candidate=able)])))

    def switch(self, target: int) -> None:
        """Ask the master for another one."""
        for daemon in self.daemons:
            if daemon.term is not None:
                self._ask(daemon, partial(daemon.switch, NODES[target]), lambda _: None)

    def submit(self, kind: int, which: int) -> None:
        """Ask every daemon that may be master for a job; who answers has accepted it."""
        self._marks += 1
        self._submit(kind, which, f"mark{self._marks}")

    def _submit(self, kind: int, which: int, mark: str) -> None:
        op = from_wire(wished(kind, which, mark))

        def accepted(job_id: int) -> None:
            if job_id in self.acknowledged:
                self._complaints.append(f"job {job_id} was accepted twice")
            self.acknowledged[job_id] = mark

        for daemon in self.daemons:
            if daemon.term is not None:
                self._ask(daemon, partial(daemon.submit, [op]), accepted)
        if self._program.repeats:
            again = partial(self._submit, kind, which, mark)
            self.clock.callLater(IMPATIENT, lambda: mark in self.acknowledged.values() or again())

    def _ask(
        self, daemon: Daemon, work: Callable[[], Coroutine[Any, Any, Any]], told: Callable[[Any], None]
    ) -> None:
        def begin() -> None:
            d = Deferred.fromCoroutine(work())
            d.addCallbacks(told, lambda failure: failure.trap(RapiError) and None)
            d.addErrback(lambda failure: self._complaints.append(f"a client was answered {failure.value!r}"))

        daemon.process.deliver(begin)

    # The end.

    def heal(self) -> None:
        """Nothing fails any more."""
        for number, around in enumerate(self.around):
            for line in (around.line, *around.lines.values()):
                line.set(True, True)
            self.node(number, True, 0.0)
            self.go_on(number)
            self.restart(number)
            self.able(number, True)
        self.look()

    def settle(self) -> None:
        """
        Let time pass until all is well.

        :raises Broken: it does not become so.
        """
        self.heal()
        wrong = ["no time has passed"]
        end = self.clock.seconds() + HEALED
        while wrong and self.clock.seconds() < end:
            self.advance(5.0)
            for uuid in sorted(self._dark):  # a master may have taken the power of one a moment ago
                self.node(NODES.index(uuid), True, 0.0)
                self.restart(NODES.index(uuid))
            wrong = self._unsettled()
        wrong = wrong or self._unsound()
        if wrong:
            raise Broken("; ".join(wrong))

    def everything(self) -> dict[str, Record]:
        """All records of the store by key."""
        page = self.now(self.store.list("", limit=100_000))
        return {key: decode(key, entry.value) for key, entry in page.entries.items() if key != SEAT}

    def _unsettled(self) -> list[str]:
        records = self.everything().values()
        wrong = [] if any(daemon.term is not None for daemon in self.daemons) else ["there is no master"]
        wrong += [
            f"job {job.id} is {job_status(job)}"
            for job in records
            if isinstance(job, JobRecord) and job_status(job) not in FINAL
        ]
        wrong += [f"{r.name} is offline" for r in records if isinstance(r, NodeRecord) and r.offline]
        left = (LeftoverRecord, NodeFateRecord)
        wrong += [f"left over: {record}" for record in records if isinstance(record, left)]
        return wrong + self.watchdogs.down(records)

    def _unsound(self) -> list[str]:
        records = self.everything()
        jobs = [r for r in records.values() if isinstance(r, JobRecord | ArchivedJobRecord)]
        told = {job.id: job.ops[0].input.get("comment") for job in jobs if isinstance(job, JobRecord)}
        marks = {job: mark for job, mark in told.items() if mark}  # masters submit jobs of their own, too
        wrong = [
            f"job {job_id} ({mark}) is lost"
            for job_id, mark in self.acknowledged.items()
            if marks.get(job_id) != mark
        ]
        if len(set(marks.values())) != len(marks):
            wrong.append("a job is there twice")
        world = World()
        world.nodes = self.fakes
        world.names = {key: r.uuid for key, r in records.items() if isinstance(r, NameRecord)}
        world.records = {key: r for key, r in records.items() if not isinstance(r, NameRecord)}
        return wrong + complaints(world)
