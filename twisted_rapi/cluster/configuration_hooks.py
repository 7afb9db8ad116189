"""
The hook ``config-update`` on the master's node (behaviour.md §9).

It is run after the configuration has changed, once for all that changed since it began last, and once when a
term begins: a change that the master before could not tell of is told then.
"""

from collections.abc import Callable
from random import Random

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.errors import RapiError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import JoinTokenRecord, LeftoverRecord
from twisted_rapi.model.steps import RunHooks
from twisted_rapi.model.virtual_network import DhcpLeaseRecord
from twisted_rapi.plan.hooks import common
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.snapshot import Observed, Snapshot

PATH = "config-update"
_NOT_CONFIGURATION = (ElectionRecord, JoinTokenRecord, LeftoverRecord, DhcpLeaseRecord)


class ConfigurationHooks(Service):
    """Runs the hook for as long as a term lasts."""

    _log = Logger()

    def __init__(self, snapshot: Snapshot, nodes: INodes, now: Callable[[], float], chance: Random) -> None:
        self._snapshot, self._nodes, self._now, self._chance = snapshot, nodes, now, chance
        self._pending = False
        self._running: Deferred[None] | None = None
        self._ends: list[Callable[[], None]] = []

    def startService(self) -> None:
        """Begin; what changed before this term counts as a change."""
        super().startService()
        self._pending = True
        self._ends = [self._snapshot.observe(self._changed), self._nodes.observe(lambda _: self._look())]
        self._look()

    def stopService(self) -> Deferred[None] | None:
        """End; a script under way goes on, and nobody waits for it."""
        super().stopService()
        for end in self._ends:
            end()
        self._ends = []
        if self._running is not None:
            self._running.cancel()
        return None

    def _changed(self, told: Observed) -> None:
        if not all(isinstance(after or before, _NOT_CONFIGURATION) for _, before, after in told):
            self._pending = True
            self._look()

    def _look(self) -> None:
        """Run it if there is something to tell and somebody to be told."""
        if not self._pending or self._running is not None or not self.running:
            return
        report = self._nodes.reports.get(self._snapshot.cluster.master_node)
        if report is None:
            return
        self._pending = False
        if f"{PATH}-post" in report.hooks:
            self._running = running = Deferred.fromCoroutine(self._run())
            running.addErrback(self._failed).addBoth(self._ended)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the hook {path} met a bug", failure, path=PATH)

    def _ended(self, _: object) -> None:
        self._running = None
        self._look()

    async def _run(self) -> None:
        view = self._snapshot.view(self._nodes.reports, self._now(), self._chance)
        environment = common(view, PATH, "post", "CLUSTER", view.cluster.name)
        step = RunHooks(instance=PATH, path=PATH, phase="post", environment=environment)
        try:
            outcome = await self._nodes.perform(view.cluster.master_node, step)
        except RapiError as e:
            self._log.warn("the hook {path} could not be run: {reason}", path=PATH, reason=str(e))
            return
        for script, well, text in outcome.hooks:
            if not well:
                self._log.warn("hook {path}: {script} failed: {text}", path=PATH, script=script, text=text)
