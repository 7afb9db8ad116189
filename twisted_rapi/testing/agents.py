"""The real node in memory, and a cable to it that can be cut."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twisted_rapi.agent.names import TableNames
from twisted_rapi.agent.node import Node
from twisted_rapi.agent.parts import Parts
from twisted_rapi.agent.settings import Simulated
from twisted_rapi.errors import NodeUnreachable
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model.seen import Sighting
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.testing.allocators import FakeAllocators
from twisted_rapi.testing.os_runner import FakeOsRunner
from twisted_rapi.testing.volumes import MemoryVolumes


def at_once(work: Callable[..., Any], *args: Any) -> Awaitable[Any]:
    """Run it here, as a thread would elsewhere."""

    async def run() -> Any:
        return await succeed(work(*args))

    return run()


def make_node(folder: Path, clock: IReactorTime, **parts: Any) -> Node:
    """
    A node with simulated machines, volumes and scripts, not begun.

    :param folder: where its term and its machines are kept.
    :param parts: others than those, by the names of `Parts`.
    """
    chosen: dict[str, Any] = {
        "hypervisors": {"fake": SimulatedHypervisor(folder / "fake", clock, at_once, Random(1))},
        "volumes": {"file": MemoryVolumes()},
        "os_runner": FakeOsRunner(),
        "allocators": FakeAllocators(),
        "names": TableNames({}),
        "clock": clock,
        "now": clock.seconds,
        "in_thread": at_once,
        "state_dir": folder / "state",
        "simulated": Simulated(),
    }
    return Node(Parts(**{**chosen, **parts}), "test")


@implementer(INodeAgent)
class Cable:
    """
    `INodeAgent` at the other end of a cable.

    :ivar calls: how often it was asked, cut or not.
    """

    def __init__(self, agent: INodeAgent) -> None:
        self._agent = agent
        self._cut = False
        self._under_way: list[Deferred[Any]] = []
        self.calls = 0

    def cut(self) -> None:
        """Have all calls under way, and further ones, end as those to a node that is down."""
        self._cut = True
        for d in list(self._under_way):
            d.errback(NodeUnreachable("the cable is cut"))

    def mend(self) -> None:
        """Let further calls through."""
        self._cut = False

    async def _through(self, work: Any) -> Any:
        self.calls += 1
        if self._cut:
            work.close()
            raise NodeUnreachable("the cable is cut")
        inside = Deferred.fromCoroutine(work)
        answer: Deferred[Any] = Deferred()
        inside.addBoth(lambda result: None if answer.called else answer.callback(result))
        self._under_way.append(answer)
        try:
            return await answer
        finally:
            self._under_way.remove(answer)
            inside.cancel()

    async def perform(self, step: Step, term: int) -> Outcome:
        """See `INodeAgent.perform`."""
        outcome: Outcome = await self._through(self._agent.perform(step, term))
        return outcome

    async def watch(self, term: int, seen: Callable[[Sighting], None]) -> None:
        """See `INodeAgent.watch`."""
        await self._through(self._agent.watch(term, seen))
