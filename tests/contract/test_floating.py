"""The contract of `IFloatingAddress` on the fake."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from twisted_rapi.testing.contracts.floating import FloatingAddressContract
from twisted_rapi.testing.floating import OwnedInMemory, Segment


class InMemoryTests(FloatingAddressContract, TestCase):
    """On a clock that the test holds."""

    def setUp(self) -> None:
        """Two hosts."""
        self.clock = Clock()
        self.segment = Segment(self.clock)

    async def address(self, host: str) -> Any:
        return OwnedInMemory(self.segment, host)

    async def done(self, work: Any) -> Any:
        waiting: Deferred[Any] = ensureDeferred(work)
        for _ in range(100):
            if not waiting.called:
                self.clock.advance(0.05)
        return self.successResultOf(waiting)

    async def has(self, host: str) -> bool:
        return self.segment.has(host)

    async def remove(self, host: str) -> None:
        self.segment.remove(host)

    async def leave(self, host: str) -> None:
        self.segment.put(host)

    async def left(self, host: str) -> float:
        return self.segment.owners[host] - self.now()

    def now(self) -> float:
        return self.clock.seconds()

    async def live(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    async def reached(self) -> str:
        return str(self.segment.believed)
