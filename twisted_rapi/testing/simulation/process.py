"""Processes of a simulation, and the network between them."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_rapi.testing.clock import SwiftClock

LATENCY = 0.002  # seconds a message takes at least


class Process(SwiftClock):
    """
    A process with its own view of time; nothing happens in it while it is stopped, or once it is dead.

    :param rate: seconds of its clock for one of the world's.
    """

    def __init__(self, world: Clock, rate: float = 1.0) -> None:
        super().__init__()
        self._world, self.rate = world, rate
        self.alive, self.stopped = True, False
        self._inbox: list[Callable[[], object]] = []

    def seconds(self) -> float:
        """The time, which goes on while the process is stopped."""
        return self._world.seconds() * self.rate

    def due(self) -> float | None:
        """When it has something to do next, in the world's time."""
        at = self.next_call() if self.alive and not self.stopped else None
        return None if at is None else at / self.rate

    def run(self) -> None:
        """Do what is due."""
        if self.alive and not self.stopped:
            self.advance(0)

    def deliver(self, call: Callable[[], object]) -> None:
        """Have something happen in the process, as soon as it can."""
        if self.stopped:
            self._inbox.append(call)
        elif self.alive:
            call()

    def go_on(self) -> None:
        """As SIGCONT: what is due comes first, then what arrived meanwhile."""
        self.stopped = False
        self.run()
        inbox, self._inbox = self._inbox, []
        for call in inbox:
            self.deliver(call)


class Line:
    """
    The way from a process to something else and back.

    :ivar there: whether messages arrive; `back`: whether answers do; `delay`: seconds they take more.
    :ivar since: when it last worked; `changes`: how often it was changed.
    """

    def __init__(self, world: Clock) -> None:
        self.world = world
        self.there = self.back = True
        self.delay = 0.0
        self.since = 0.0
        self.changes = 0
        self._last = self._last_back = 0.0

    @property
    def up(self) -> bool:
        """Whether it works both ways."""
        return self.there and self.back

    def set(self, there: bool, back: bool, delay: float = 0.0) -> None:
        """Change it; `since` tells when it last worked."""
        if self.up:
            self.since = self.world.seconds()
        self.there, self.back, self.delay = there, back, delay
        self.changes += 1

    def send(self, call: Callable[[], object], in_order: bool = False) -> None:
        """Have something happen at the other end; in the order it was sent in, if so wished."""
        wait = LATENCY + self.delay
        if in_order:
            wait = max(wait, self._last - self.world.seconds())
            self._last = self.world.seconds() + wait
        self.world.callLater(wait, lambda: call() if self.there else None)

    def answer(
        self,
        process: Process,
        call: Callable[[], object],
        in_order: bool = False,
        lost: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Have something happen at this end; in the order it was sent in, if so wished.

        :param lost: what happens here instead, when it does not arrive.
        """
        wait = LATENCY + self.delay
        if in_order:
            wait = max(wait, self._last_back - self.world.seconds())
            self._last_back = self.world.seconds() + wait
        self.world.callLater(wait, lambda: process.deliver(call if self.back else lost))

    async def ask(
        self,
        process: Process,
        work: Callable[[], Coroutine[Any, Any, Any]],
        patience: float,
        late: Callable[[bool], Exception],
        in_order: bool = False,
    ) -> Any:
        """
        Have work done at the other end; what is given up or cancelled here may still happen there.

        :param late: makes the error of a question that is not answered, told whether it was sent.
        """
        answer: Deferred[Any] = Deferred(lambda _: None)
        sent = self.there

        def tell(result: Any) -> None:
            if not answer.called:
                answer.callback(result)

        def arrive() -> None:
            done = Deferred.fromCoroutine(work())
            done.addBoth(lambda result: self.answer(process, lambda: tell(result)))

        if sent:
            self.send(arrive, in_order)
        timer = process.callLater(patience, lambda: tell(Failure(late(sent))))
        try:
            return await answer
        finally:
            if timer.active():
                timer.cancel()
