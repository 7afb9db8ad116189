"""Services that end one after the other."""

from collections.abc import Sequence

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.deadline import within

STEP = 0.2
"""Seconds a service has to end before the next is ended, too: all has to be over within the term's margin."""


class _Slow(Exception):
    """A service takes long to end."""


class Ladder(MultiService):
    """
    Services that end in the reverse of the order they were added in, each before the next.

    One that does not end within `STEP` does not keep the next from being ended; the whole has ended when all
    have.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock

    def stopService(self) -> Deferred[None]:
        """End them."""
        self.running = 0
        services: Sequence[IService] = list(self)[::-1]
        return Deferred.fromCoroutine(self._stop(services))

    async def _stop(self, services: Sequence[IService]) -> None:
        ending = []
        for service in services:
            ended: Deferred[None] = maybeDeferred(service.stopService)
            ended.addErrback(self._ended_badly, service)
            ending.append(ended)
            if not ended.called:
                await self._step(ended)
        for ended in ending:
            await ended

    async def _step(self, ended: Deferred[None]) -> None:
        """Wait for it, but not for long."""
        waiting: Deferred[None] = Deferred()
        ended.addCallback(lambda _: waiting.callback(None) if not waiting.called else None)
        try:
            await within(waiting, STEP, self._clock, _Slow)
        except _Slow:
            waiting.addErrback(lambda _: None)

    def _ended_badly(self, failure: Failure, service: IService) -> None:
        self._log.failure("{service} did not end well", failure, service=type(service).__name__)
