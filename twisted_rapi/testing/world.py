"""
A cluster that is only values: any plan is run in it to its end, with crashes and faults planted.

The records, their reservations and the nodes are in memory; a commit is made whole or refused as a store
would; the master dies where a test says so and goes on from what was stored.  Nothing waits.
"""

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rapi.errors import Conflict, JobError, RapiError, prereq
from twisted_rapi.jobs.life import MOST_CONFLICTS
from twisted_rapi.jobs.work import Outcomes, Worker
from twisted_rapi.model.domain_state import DomainStateRecord
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.record_base import ObjectRecord, Record
from twisted_rapi.model.records import (
    ClusterRecord,
    DetachedDiskRecord,
    GroupRecord,
    InstanceRecord,
    LeftoverRecord,
    NetworkRecord,
    NodeRecord,
    key_of,
)
from twisted_rapi.model.seen import CertificateSeen
from twisted_rapi.model.steps import Step
from twisted_rapi.plan.leftover import due, work_of
from twisted_rapi.plan.locks import LockTable
from twisted_rapi.plan.stage import (
    Progress,
    Work,
)
from twisted_rapi.plan.view import View
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.testing.cluster import NODES, NOW, founding
from twisted_rapi.testing.ended import Ended as Ended
from twisted_rapi.testing.faulty_nodes import Fault, FaultyNodes, by_node
from twisted_rapi.testing.nodes import FakeNodes
from twisted_rapi.testing.world_life import WorldLife

MOST_STAGES = 200

AnyObject = TypeVar("AnyObject", bound=ObjectRecord)


class Crashed(RapiError):
    """The master died here."""


_NAMED = tuple(cls.KIND for cls in (GroupRecord, NodeRecord, InstanceRecord, NetworkRecord))
_UNNAMED = (DetachedDiskRecord.KIND, MachineRecord.KIND, DomainStateRecord.KIND)


@attrs.define(eq=False, kw_only=True)
class World:
    """
    Records, reservations and nodes.

    :ivar records: by key; `names`: the uuids by reserved name key.
    :ivar crashes: the moments, counted from the start, at which the master dies.  There is one before and
        after each commit and each step.
    :ivar faults: by the number of a step, counted from the start, what happens to it.
    :ivar meanwhile: what happens once, after the stage of this word was reached.
    :ivar certificates: those the master's daemon uses.
    :ivar locks: who has which; an opcode that is run has those that are free for it.
    :ivar moments: how many moments have been; `steps`: how many steps.
    """

    chance: Random = attrs.field(factory=lambda: Random(0))
    now: float = NOW
    crashes: set[int] = attrs.field(factory=set)
    faults: dict[int, Fault] = attrs.field(factory=dict)
    meanwhile: dict[str, Callable[[], object]] = attrs.field(factory=dict)
    records: dict[str, Record] = attrs.field(factory=dict)
    names: dict[str, str] = attrs.field(factory=dict)
    certificates: tuple[CertificateSeen, ...] = ()
    locks: LockTable = attrs.field(factory=LockTable)
    moments: int = 0
    steps: int = 0
    nodes: FakeNodes = attrs.field(init=False)
    _dead: bool = False
    _runs: list[Ended] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.nodes = FaultyNodes(NODES, self.before_step, self.moment)
        records, self.names = founding()
        self.records = {key_of(record): record for record in records}

    def fork(self, chance: Random) -> "World":
        """Another world that is as this one is now; what is planted here is not there."""
        other = World(chance=chance, now=self.now, moments=self.moments, steps=self.steps)
        other.records, other.names = dict(self.records), dict(self.names)
        other.nodes.become(self.nodes)
        return other

    # What is there.

    def of(self, cls: type[AnyObject]) -> dict[str, AnyObject]:
        """The objects of this class by uuid."""
        return {r.uuid: r for r in self.records.values() if isinstance(r, cls)}

    @property
    def cluster(self) -> ClusterRecord:
        """The cluster's record."""
        found = self.records["cluster"]
        assert isinstance(found, ClusterRecord)
        return found

    @property
    def leftovers(self) -> dict[str, LeftoverRecord]:
        """What is left to do, by uuid."""
        return {r.uuid: r for r in self.records.values() if isinstance(r, LeftoverRecord)}

    @property
    def fates(self) -> dict[str, NodeFateRecord]:
        """What has become of silent nodes, by uuid."""
        return {r.uuid: r for r in self.records.values() if isinstance(r, NodeFateRecord)}

    @property
    def detached(self) -> dict[str, DetachedDiskRecord]:
        """The disks that no instance has, by uuid."""
        return {r.uuid: r for r in self.records.values() if isinstance(r, DetachedDiskRecord)}

    def instance(self, name: str) -> InstanceRecord:
        """
        The instance of exactly this name.

        :raises KeyError: there is none.
        """
        return {i.name: i for i in self.of(InstanceRecord).values()}[name]

    def put(self, *records: Record) -> None:
        """Change records as if a commit had, without a job."""
        self.records.update({key_of(record): record for record in records})

    def view(self, owner: int = 0) -> View:
        """What plans look at; `owner` is whose locks are its own."""
        tables: dict[str, dict[str, Any]] = {kind: {} for kind in (*_NAMED, *_UNNAMED)}
        for record in self.records.values():
            if record.KIND in tables:
                tables[record.KIND][record.uuid] = record  # type: ignore[attr-defined]
        instances = tables[InstanceRecord.KIND]
        return View(
            cluster=self.cluster,
            groups=tables[GroupRecord.KIND],
            nodes=tables[NodeRecord.KIND],
            instances=instances,
            machines=tables[MachineRecord.KIND],
            domain_states=tables[DomainStateRecord.KIND],
            networks=tables[NetworkRecord.KIND],
            detached=tables[DetachedDiskRecord.KIND],
            names={kind: {r.name: r.uuid for r in tables[kind].values()} for kind in _NAMED},
            primaries=by_node((i.uuid, (i.primary_node,)) for i in instances.values()),
            secondaries=by_node((i.uuid, i.secondary_nodes) for i in instances.values()),
            reports=self.nodes.reports,
            now=self.now,
            chance=self.chance,
            certificates=self.certificates,
            locks=self.locks,
            owner=owner,
            fates=self.fates,
            leftovers=self.leftovers,
        )

    # What happens.

    @property
    def running(self) -> Ended:
        """What is known so far of the opcode that is being carried out."""
        return self._runs[-1]

    def moment(self) -> None:
        """
        Somewhere the master may die.

        :raises Crashed: it does.
        """
        number, self.moments = self.moments, self.moments + 1
        if self._dead or number in self.crashes:
            self._dead = True
            raise Crashed("the master died here")

    def before_step(self, step: Step) -> Fault | None:
        """What is planted for the step that is about to be sent."""
        self.moment()
        number, self.steps = self.steps, self.steps + 1
        if self._runs:
            self._runs[-1].steps.append(str(step.__struct_config__.tag))
        return self.faults.get(number)

    def run(self, op: Opcode, job: int = 1) -> Ended:
        """
        Carry the opcode out to its end; crashes that are planted are survived.

        :raises AssertionError: it has no end.
        """
        self._runs.append(Ended())
        life = WorldLife(self, op, self._runs[-1], Progress(job=job), len(self._runs))
        try:
            self._live(life)
            return life.ended
        finally:
            self.locks.release(life.owner)
            self._runs.pop()

    def _live(self, life: WorldLife) -> None:
        conflicts = 0
        for _ in range(MOST_STAGES):
            try:
                if life.go_on():
                    return
            except Conflict as e:
                conflicts += 1
                if conflicts > MOST_CONFLICTS:
                    life.ended.error = prereq(f"What it is about is in use: {e}", "wrong_state")
                    return
            except JobError as e:
                life.ended.error = e
                life.tell()
                return
            except Crashed:
                self._dead = False
                life.recall()
        raise AssertionError(f"{life.op.OP_ID} does not end: {life.ended.stages[-5:]}")

    def carry_out(self, work: Work) -> tuple[Outcomes, JobError | None]:
        """Have the nodes do the work; answers its outcomes, and why it failed if it did."""
        nodes = self.of(NodeRecord)
        worker = Worker(self.nodes, 0.0, lambda uuid: nodes[uuid].name)
        done: list[Any] = []
        Deferred.fromCoroutine(worker.carry_out(work)).addBoth(done.append)
        [got] = done
        if isinstance(got, Failure):
            got.raiseException()
        return got, worker.error

    def commit(
        self,
        puts: Iterable[Record],
        deletes: Iterable[Record],
        names: Mapping[str, str],
        free: Iterable[str],
    ) -> set[str]:
        """
        Change records and reservations; answers the keys of the records.

        :raises Conflict: a name is reserved already.
        """
        self.moment()
        taken = [key for key in names if key in self.names]
        if taken:
            raise Conflict(taken)
        put = {key_of(record): encode(record) for record in puts}
        gone = {key_of(record) for record in deletes}
        self.records.update({key: decode(key, value) for key, value in put.items()})
        for key in gone:
            self.records.pop(key, None)
        for key in free:
            self.names.pop(key, None)
        self.names.update(names)
        return {*put, *gone}

    def happen(self, stage: str) -> None:
        """What was to happen after this stage does."""
        event = self.meanwhile.pop(stage, None)
        if event is not None:
            event()

    def settle(self) -> None:
        """Every node comes back, faults end, and what was left over is carried out as far as it can be."""
        self.faults, self.crashes = {}, set()
        for node in self.nodes.nodes.values():
            node.down = False
        for record in tuple(due(self.leftovers, self.nodes.reports)):
            _, error = self.carry_out(work_of(record, self.of(InstanceRecord), self.detached))
            if error is None:
                del self.records[key_of(record)]
