"""All nodes as the master reaches and sees them."""

from collections.abc import Callable, Iterable
from random import Random

import attrs
from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.errors import NodeError, NodeUnreachable, NoTerm, StaleTerm
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import DomainChanged, FullReport, Heartbeat, NodeReport, Sighting
from twisted_rapi.model.steps import Outcome, Ping, Step
from twisted_rapi.rpc.interface import INodeAgent, INodes

LONGEST_PAUSE = 2.0  # seconds between attempts to reach a node
LOST = 10.0  # seconds a node may be missed before the steps it was sent count as lost, too
RESTART_PAUSE = 0.1  # seconds before a node is watched anew that let a step down


@attrs.define(eq=False)
class _Node:
    """
    One node that is being watched.

    :ivar watch: counts its watches; only the newest goes on.
    :ivar trouble: why it was not reached last, as it was logged; empty while it is.
    :ivar back: fires when it answers; who waits for that is in there.
    :ivar calls: the steps it was sent and has not answered.
    :ivar missed: ends these when it stays away.
    """

    record: NodeRecord
    agent: INodeAgent
    watching: Deferred[None] | None = None
    watch: int = 0
    heard: float | None = None
    trouble: str = ""
    back: list[Deferred[None]] = attrs.field(factory=list)
    calls: set[Deferred[Outcome]] = attrs.field(factory=set)
    missed: IDelayedCall | None = None


@implementer(INodes)
class Nodes(Service):
    """
    Keeps a watch on every node that is not marked offline, and reaches nodes for steps.

    :param connect: makes the agent of a node.
    :param term: the master's term as of now; ``None`` while there is none.
    :param deposed: called when an agent has heard of a higher term.
    """

    _log = Logger()

    def __init__(
        self,
        connect: Callable[[NodeRecord], INodeAgent],
        clock: IReactorTime,
        random: Random,
        term: Callable[[], int | None],
        deposed: Callable[[], None],
    ) -> None:
        self.reports: dict[str, NodeReport] = {}
        self._connect, self._clock, self._random = connect, clock, random
        self._term, self._deposed = term, deposed
        self._nodes: dict[str, _Node] = {}
        self._observers: list[Callable[[str], None]] = []
        self._idle: list[Deferred[None]] = []

    def set_nodes(self, records: Iterable[NodeRecord]) -> None:
        """These are the nodes now."""
        wanted = {record.uuid: record for record in records}
        for uuid in [u for u in self._nodes if u not in wanted]:
            self._drop(uuid)
        for uuid, record in wanted.items():
            node = self._nodes.get(uuid)
            if node is not None and _same_place(node.record, record):
                node.record = record
                continue
            if node is not None:
                self._drop(uuid)
            self._nodes[uuid] = _Node(record, self._connect(record))
            self._begin(self._nodes[uuid])

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()
        for node in self._nodes.values():
            self._begin(node)

    def stopService(self) -> Deferred[None]:
        """End all watches; what is known of nodes is forgotten."""
        super().stopService()
        for node in self._nodes.values():
            _let_go(node)
        ended = [self._end(node) for node in self._nodes.values()]
        for uuid in list(self.reports):
            self._lose(uuid)
        return DeferredList(ended, consumeErrors=True).addCallback(lambda _: None)

    def term_begins(self) -> None:
        """There is a term again: nodes are watched from now on."""
        idle, self._idle = self._idle, []
        for waiting in idle:
            if not waiting.called:
                waiting.callback(None)

    async def _in_office(self) -> int:
        """The term, once there is one."""
        while (term := self._term()) is None:
            waiting: Deferred[None] = Deferred()
            self._idle.append(waiting)
            try:
                await waiting
            finally:
                if waiting in self._idle:
                    self._idle.remove(waiting)
        return term

    def _begin(self, node: _Node, pause: float = 0.0) -> None:
        if self.running and not node.record.offline and node.watching is None:
            node.watch += 1
            node.watching = watching = Deferred.fromCoroutine(self._watch(node, node.watch, pause))
            watching.addErrback(lambda failure: failure.trap(CancelledError))

    def _end(self, node: _Node) -> Deferred[None]:
        watching, node.watching = node.watching, None
        node.watch += 1
        if watching is None:
            watching = Deferred()
            watching.callback(None)
        watching.cancel()
        return watching

    def _drop(self, uuid: str) -> None:
        node = self._nodes.pop(uuid)
        _let_go(node)
        self._end(node)
        self._lose(uuid)
        # Who waits for it looks again: it may have another address now, or be gone for good.
        _fire(node)

    async def _watch(self, node: _Node, number: int, pause: float) -> None:
        failures = 0
        if pause:
            await deferLater(self._clock, pause)
        while True:
            term, heard_before = await self._in_office(), node.heard
            await self._watch_once(node, number, term)
            if node.watch != number:
                # Ended on purpose: whatever it waited for was cancelled, and may have failed in any way.
                return
            self._lose(node.record.uuid)
            failures = 0 if node.heard != heard_before else failures + 1
            pause = min(LONGEST_PAUSE, 0.1 * 2**failures) * self._random.uniform(0.7, 1.0)
            await deferLater(self._clock, pause)

    async def _watch_once(self, node: _Node, number: int, term: int) -> None:
        """Watch until that fails; no failure, a bug included, keeps the node from being watched again."""
        name = node.record.name

        def see(sighting: Sighting) -> None:
            if node.watch == number:
                self._see(node, sighting)

        try:
            await node.agent.watch(term, see)
        except StaleTerm as e:
            self._log.warn("{node}: {reason}", node=name, reason=str(e))
            self._deposed()
        except NodeError as e:
            if node.watch == number and node.trouble != str(e):  # told once, not with each attempt
                node.trouble = str(e)
                self._log.warn("{node} cannot be watched: {reason}", node=name, reason=node.trouble)
        except Exception:  # noqa: BLE001 -- a bug here must not hide the node for good
            if node.watch == number:
                self._log.failure("watching {node} met a bug", node=name)

    def _lose(self, uuid: str) -> None:
        node = self._nodes.get(uuid)
        if node is not None and node.missed is None and self.running:
            node.missed = self._clock.callLater(LOST, self._miss, node)
        if self.reports.pop(uuid, None) is not None:
            self._tell(uuid)

    def _tell(self, uuid: str) -> None:
        for observer in tuple(self._observers):
            observer(uuid)

    def _see(self, node: _Node, sighting: Sighting) -> None:
        uuid = node.record.uuid
        node.heard = self._clock.seconds()
        before = self.reports.get(uuid)
        after = _after(before, sighting)
        if after is None or after == before:
            return
        if before is None:
            node.trouble = ""
            self._log.info("{node} answers", node=node.record.name)
        self.reports[uuid] = after
        self._tell(uuid)
        _fire(node)

    # What `INodes` offers.

    async def perform(self, node: str, step: Step, patience: float = 0.0, offline: bool = False) -> Outcome:
        """See `INodes.perform`."""
        deadline = self._clock.seconds() + patience
        while True:
            found = self._nodes.get(node)
            term = self._term()
            if term is None:
                # The job is the next master's: it must not end because this one is none any more.
                raise NoTerm
            if found is None:
                raise NodeUnreachable("there is no such node")
            if found.record.offline and not (offline or isinstance(step, Ping)):
                raise NodeUnreachable(f"{found.record.name} is marked offline")
            try:
                return await self._call(found, step, term)
            except StaleTerm:
                self._deposed()
                raise
            except NodeUnreachable:
                if not await self._comes_back(found, deadline):
                    raise

    async def _call(self, node: _Node, step: Step, term: int) -> Outcome:
        """Send a step; one whose node is missed for long is not waited for until its own deadline."""
        call = Deferred.fromCoroutine(node.agent.perform(step, term))
        node.calls.add(call)
        try:
            return await call
        except CancelledError:
            if call in node.calls:
                raise
            raise NodeUnreachable(f"{node.record.name} is missed") from None
        finally:
            node.calls.discard(call)

    def _miss(self, node: _Node) -> None:
        node.missed = None
        if node.record.uuid not in self.reports:
            calls, node.calls = node.calls, set()
            for call in calls:
                call.cancel()

    async def _comes_back(self, node: _Node, deadline: float) -> bool:
        """Wait until the node is heard of anew; false when that takes too long."""
        left = deadline - self._clock.seconds()
        if left <= 0:
            return False
        # Its report is from before it failed to answer: only a new one says that it is back.
        self._restart(node)
        back: Deferred[None] = Deferred()
        node.back.append(back)
        back.addTimeout(left, self._clock)
        try:
            await back
        except DeferredTimeout:
            return False
        finally:
            if back in node.back:
                node.back.remove(back)
        return True

    def _restart(self, node: _Node) -> None:
        if node.record.uuid in self.reports:
            self._end(node)
            self._lose(node.record.uuid)
            if self._nodes.get(node.record.uuid) is node:  # whoever was told may have taken it away
                self._begin(node, RESTART_PAUSE)

    def age(self, node: str) -> float | None:
        """See `INodes.age`."""
        found = self._nodes.get(node)
        return None if found is None or found.heard is None else self._clock.seconds() - found.heard

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        """See `INodes.observe`."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)


def _let_go(node: _Node) -> None:
    """No longer look out for a node that is missed."""
    if node.missed is not None:
        node.missed.cancel()
        node.missed = None


def _fire(node: _Node) -> None:
    """Have those look again who wait for the node."""
    back, node.back = node.back, []
    for d in back:
        if not d.called:
            d.callback(None)


def _same_place(a: NodeRecord, b: NodeRecord) -> bool:
    return (a.agent_host, a.agent_port, a.offline) == (b.agent_host, b.agent_port, b.offline)


def _after(before: NodeReport | None, sighting: Sighting) -> NodeReport | None:
    """What is known of a node after a sighting; nothing before the first full report."""
    match sighting:
        case FullReport():
            return sighting.report
        case DomainChanged() if before is not None:
            domains = {name: seen for name, seen in before.domains.items() if name != sighting.name}
            if sighting.seen is not None:
                domains[sighting.name] = sighting.seen
            return replace(before, domains=domains)
        case Heartbeat() if before is not None:
            return replace(before, memory_free=sighting.memory_free, disk_free=sighting.disk_free)
    return before
