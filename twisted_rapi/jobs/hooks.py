"""
The cluster's own scripts around operations (behaviour.md §9).

Note [When].  The first phase comes after the prerequisites were judged and before anything is changed; it
is repeated where a crash came before the first change was stored.  The last phase comes before the end is
stored, so it is run at least once.  Scripts take time: the plan is asked again after them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from twisted_rapi.errors import HooksAbort, NodeError
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.steps import Outcome, RunHooks
from twisted_rapi.plan import hooks as table
from twisted_rapi.plan.following import following
from twisted_rapi.plan.hooks import HOOKS
from twisted_rapi.plan.stage import DryRun, Finish, Perform, Stage
from twisted_rapi.plan.view import View
from twisted_rapi.rpc.interface import INodes


class OperationHooks:
    """
    The hooks of one opcode on its way.

    :param begun: whether an earlier master has begun it: its first phase is over.
    :ivar remarks: lines for the job's log that have not been noted.
    """

    _log = Logger()

    def __init__(self, op: Opcode, job: int, nodes: INodes, view: Callable[[], View], begun: bool) -> None:
        self._op, self._job, self._nodes, self._view = op, job, nodes, view
        self._hooks = HOOKS.get(type(op))
        self._began_before = begun
        self._asked: tuple[str, ...] | None = None  # the nodes of the first phase
        self._ended = False
        self._before: tuple[View, dict[str, str]] | None = None
        self.remarks: list[str] = []

    async def around(self, stage: Stage) -> bool:
        """
        Run what belongs before this stage; true: scripts were run, so the plan has to be asked again.

        :raises HooksAbort: scripts of the first phase refuse the operation.
        """
        if isinstance(stage, DryRun):
            stage = stage.then
        if self._hooks is None or (isinstance(stage, Perform) and stage.check):
            return False
        ran = await self._first(stage)
        if not ran and _ends_well(stage, self._op):
            ran = await self._last(stage)
        return ran

    async def _first(self, stage: Stage) -> bool:
        assert self._hooks is not None, "looked before"
        if self._before is None:
            view = self._view() if self._began_before else following(self._view(), stage, only_new=True)
            if not _any(view, self._hooks.path):
                return False
            self._before = view, table.told(self._hooks, self._op, view)
        if self._began_before or self._asked is not None:
            return False
        view, values = self._before
        nodes = table.nodes_before(self._hooks, self._op, view)
        self._asked = table.having(view, nodes, self._hooks.path, "pre")
        if not self._asked:
            return False
        environment = table.environment(self._hooks, self._op, view, "pre", values)
        refusals = await self._run(self._asked, "pre", environment)
        if refusals:
            raise HooksAbort(refusals)
        return True

    async def _last(self, stage: Stage) -> bool:
        assert self._hooks is not None, "looked before"
        if self._ended or self._before is None:
            return False
        self._ended = True
        before, values = self._before
        after = following(self._view(), stage)
        nodes = table.nodes_after(self._hooks, self._op, before, after)
        wanted = table.having(after, nodes, self._hooks.path, "post")
        if not wanted:
            return False
        told = table.told(self._hooks, self._op, after)
        environment = table.environment(self._hooks, self._op, after, "post", values, told)
        for node, script, text in await self._run(wanted, "post", environment):
            self.remarks.append(f" - WARNING: On {node} script {script} failed, output: {text}")
        return True

    async def _run(
        self, nodes: Iterable[str], phase: str, environment: dict[str, str]
    ) -> list[tuple[str, str, str]]:
        """Node, script and output of each that failed; silent nodes are skipped."""
        assert self._hooks is not None, "looked before"
        step = RunHooks(
            instance=f"hooks of job {self._job}",
            path=self._hooks.path,
            phase="pre" if phase == "pre" else "post",
            environment=environment,
        )
        asked = tuple(nodes)
        # All of them, whatever becomes of one: nothing goes on while a script is still under way.
        work = [Deferred.fromCoroutine(self._nodes.perform(node, step)) for node in asked]
        names = self._view().nodes
        failed: list[tuple[str, str, str]] = []
        results: list[tuple[bool, Any]] = await DeferredList(work, consumeErrors=True)
        for node, (well, got) in zip(asked, results, strict=True):
            name = names[node].name if node in names else node
            if well:
                failed += _failures(name, got)
            elif got.check(NodeError):
                reason = got.getErrorMessage()
                self.remarks.append(f" - WARNING: Communication failure to node {name}: {reason}")
            else:
                got.raiseException()
        return failed


def _any(view: View, path: str) -> bool:
    wanted = {f"{path}-pre", f"{path}-post"}
    return any(not wanted.isdisjoint(report.hooks) for report in view.reports.values() if report.hooks)


def _ends_well(stage: Stage, op: Opcode) -> bool:
    return isinstance(stage, Finish) and stage.error is None and not op.dry_run


def _failures(node: str, outcome: Outcome) -> Iterable[tuple[str, str, str]]:
    return [(node, script, text or "(no output)") for script, well, text in outcome.hooks if not well]
