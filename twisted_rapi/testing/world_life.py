"""One opcode in a `twisted_rapi.testing.world.World`, from commit to commit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from twisted_rapi.model.opcodes import Opcode, from_wire, to_wire
from twisted_rapi.model.opcodes.cluster import ClusterSetParams
from twisted_rapi.model.record_base import ObjectRecord
from twisted_rapi.model.records import Params
from twisted_rapi.plan.gathering import at_once
from twisted_rapi.plan.locks import Level, Lock
from twisted_rapi.plan.stage import Change, DryRun, Finish, Gather, Perform, Progress, Stage, judges
from twisted_rapi.plan.table import PLANS, locks_for
from twisted_rapi.testing.ended import Ended

if TYPE_CHECKING:
    from twisted_rapi.testing.world import World

DRY_RUN = "dry run"


@attrs.define(eq=False)
class WorldLife:
    """
    An opcode on its way, as `twisted_rapi.jobs.life` takes it.

    :ivar owner: whom its locks are held for.
    :ivar stored: stage and what is kept of it, as of the last commit; `untold`: what was noted since.
    """

    world: World
    op: Opcode
    ended: Ended
    progress: Progress
    owner: int
    stored: tuple[str, str] = ("", "{}")
    untold: list[str] = attrs.field(factory=list)
    locks: frozenset[Lock] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.locks = self._lock()

    def _lock(self) -> frozenset[Lock]:
        """Its locks; where another has one, it goes on as if none were held."""
        table = self.world.locks
        table.release(self.owner)
        wanted = locks_for(self.op, self.world.view(self.owner))
        if not table.request(self.owner, 0, self.owner, wanted):
            table.release(self.owner)
        return wanted

    def recall(self) -> None:
        """Another master goes on from what was stored."""
        self.untold.clear()
        self.op = from_wire(json.loads(json.dumps(to_wire(self.op))))
        stage, kept = self.stored
        self.progress = Progress(stage=stage, kept=json.loads(kept), job=self.progress.job)
        self.locks = self._lock()

    def tell(self) -> None:
        """What was noted since the last commit is stored with this one."""
        self.ended.log += self.untold
        self.untold.clear()

    def go_on(self) -> bool:
        """Ask the plan and do what it says; whether that was the end."""
        view = self.world.view(self.owner)
        stage: Stage = PLANS[type(self.op)](self.op, self.progress, view)
        if isinstance(stage, Gather):
            stage = at_once(stage, view)
        result = None
        if isinstance(stage, DryRun):
            result, stage = stage.result, stage.then
        if self.op.dry_run and not judges(stage):
            self.ended.result = result
            self.ended.log.append(DRY_RUN)
            return True
        match stage:
            case Perform():
                self._perform(stage)
            case Change():
                self._change(stage)
            case Finish():
                self._finish(stage)
        if isinstance(stage, Finish):
            return True
        self.ended.stages.append(self.progress.stage)
        self.world.happen(self.progress.stage)
        return False

    def _perform(self, stage: Perform) -> None:
        self.untold += stage.log
        outcomes, error = self.world.carry_out(stage.work)
        if error is not None and stage.failed is None:
            raise error
        self.progress = Progress(
            stage=stage.stage if error is None else stage.failed or "",
            kept={**self.progress.kept, **stage.kept},
            outcomes=tuple(outcomes),
            error=self.progress.error or error,
            job=self.progress.job,
        )

    def _change(self, stage: Change) -> None:
        kept: Params = {**self.progress.kept, **stage.kept}
        self._commit(stage, stage.stage, kept)
        self.progress = attrs.evolve(self.progress, stage=stage.stage, kept=kept, outcomes=())
        self.world.moment()

    def _finish(self, stage: Finish) -> None:
        self._commit(stage, "", {})
        self.ended.result, self.ended.error, self.ended.jobs = stage.result, stage.error, stage.jobs

    def _commit(self, stage: Change | Finish, word: str, kept: Params) -> None:
        before = dict(self.world.records)
        for key in self.world.commit(stage.puts, stage.deletes, stage.names, stage.free):
            for record in (before.get(key), self.world.records.get(key)):
                if isinstance(record, ObjectRecord) and not self._locked(record):
                    self.ended.unlocked.add(key)
        self.stored = (word, json.dumps(kept))
        self.tell()
        self.ended.log += stage.log
        if isinstance(stage, Change):
            self.ended.entries += stage.entries

    def _locked(self, record: ObjectRecord) -> bool:
        kinds: tuple[Level, ...] = ("instance", "node", "network")
        levels: dict[str, Level] = {**{kind: kind for kind in kinds}, "group": "nodegroup"}
        if record.KIND == "cluster":
            # locks_hooks.tsv has none for its settings: a commit that comes too late is planned again.
            one = Lock("cluster", "tags"), Lock("cluster", "address")
            return not self.locks.isdisjoint(one) or isinstance(self.op, ClusterSetParams)
        # An object that is being made, or renamed, is known by its name.
        named = {record.name} if record.KIND == "instance" else {record.name, record.uuid}
        return any(Lock(levels[record.KIND], name) in self.locks for name in named)
