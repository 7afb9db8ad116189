"""Agents of a simulation: nodes in memory that remember the highest term, and how a process reaches them."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from twisted_rapi.agent.term import TermKeeper
from twisted_rapi.errors import NodeUnreachable, StaleTerm
from twisted_rapi.model.seen import FullReport, Sighting
from twisted_rapi.model.steps import FenceNode, Outcome, Step
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.testing.nodes import FakeNode
from twisted_rapi.testing.simulation.process import Line, Process

PATIENCE = 10.0  # seconds a step's answer is waited for
SILENCE = 3.0


class Host:
    """
    The agent of a node.

    :ivar slow: seconds a step takes; `down`: whether it is; what it had begun is lost then.
    :ivar complaints: what it should not have done, in words.
    :ivar strict: whether it refuses older terms; without, it has a fault.
    :ivar cut_power: takes the power from a node.
    """

    def __init__(
        self,
        node: FakeNode,
        world: Clock,
        strict: bool,
        all_nodes: dict[str, FakeNode],
        complaints: list[str],
    ) -> None:
        self.node, self.world, self.strict = node, world, strict
        self.slow, self.lives = 0.0, 0
        self.complaints = complaints
        self.watchers: list[Callable[[], None]] = []
        self.cut_power: Callable[[str], None] = lambda _: None
        # The thread writes to nothing: this agent's disk is its memory, which a restart leaves alone.
        self.terms = TermKeeper(None, 0, lambda *_: succeed(None))  # type: ignore[arg-type]
        self._begun = 0
        self._all = all_nodes
        self._locks: dict[str, DeferredLock] = {}

    @property
    def down(self) -> bool:
        """Whether it answers nobody."""
        return self.node.down

    def end(self) -> None:
        """It goes down."""
        self.node.down = True
        self.lives += 1
        self._locks.clear()
        self.watchers.clear()

    def begin(self) -> None:
        """It comes back, with all that ran."""
        self.node.down = False

    async def admit(self, term: int) -> None:
        """Let a term's questions in."""
        if self.down:
            await Deferred()
        if self.strict:
            await self.terms.admit(term)

    async def perform(self, step: Step, term: int) -> Outcome:
        """Carry a step out in its turn."""
        await self.admit(term)
        life = self.lives
        async with self._locks.setdefault(step.instance, DeferredLock()):
            if self.strict:
                await self.terms.admit(term)
            if term < self._begun:
                self.complaints.append(f"{type(step).__name__} of term {term} after one of {self._begun}")
            self._begun = max(self._begun, term)
            if self.slow:
                await deferLater(self.world, self.slow)
            if life != self.lives:
                await Deferred()
            if isinstance(step, FenceNode):
                self.cut_power(step.uuid)
                outcome = Outcome(text="it has no power")
            else:
                outcome = self.node.carry_out(step)
        self.tell()
        self._count()
        return outcome

    def tell(self) -> None:
        """Who watches is told what is there."""
        for watcher in tuple(self.watchers):
            watcher()

    def _count(self) -> None:
        running = [domain.uuid for node in self._all.values() for domain in node.domains.values()]
        if len(running) != len(set(running)):
            self.complaints.append("an instance runs twice")


@implementer(INodeAgent)
class FarAgent:
    """An agent as one process reaches it."""

    def __init__(self, host: Host, process: Process, line: Line) -> None:
        self.host, self.process, self.line = host, process, line

    async def _ask(self, work: Callable[[], Any], patience: float) -> Any:
        late = NodeUnreachable("no answer came")
        return await self.line.ask(self.process, work, patience, lambda _: late)

    async def perform(self, step: Step, term: int) -> Outcome:
        """See `INodeAgent.perform`."""
        outcome: Outcome = await self._ask(lambda: self.host.perform(step, term), PATIENCE)
        return outcome

    async def watch(self, term: int, seen: Callable[[Sighting], None]) -> None:
        """See `INodeAgent.watch`."""
        await self._ask(lambda: self.host.admit(term), SILENCE)
        host, line = self.host, self.line

        def tell() -> None:
            report = FullReport(report=host.node.report())
            line.answer(self.process, lambda: seen(report), True)

        life, silent, known = host.lives, 0.0, line.changes
        host.watchers.append(tell)
        tell()
        try:
            while silent < SILENCE and host.lives == life:
                await deferLater(self.process, 1.0)
                if not line.up:
                    silent += 1.0
                    continue
                if host.strict and host.terms.highest > term:
                    raise StaleTerm(term, host.terms.highest)
                if line.changes != known:
                    tell()  # what was lost comes again
                silent, known = 0.0, line.changes
        finally:
            if tell in host.watchers:
                host.watchers.remove(tell)
        raise NodeUnreachable("the node is silent")
