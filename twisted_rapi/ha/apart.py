"""Keeping the store's leader on another machine than the master, while there is a term."""

from collections.abc import Awaitable, Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_rapi.errors import StoreError

AGAIN = 10.0
"""Seconds until the next look: etcd tells nobody when it has another leader."""

SOON = 2.0
"""Seconds until the next look where it was here and could not be moved."""


class Apart(Service):
    """
    Has the leader moved when a term begins and, should it come back, later.

    :param move: moves it if it is here, and answers whether it was (`twisted_rapi.state.etcd_leader`).
    """

    _log = Logger()

    def __init__(self, move: Callable[[], Awaitable[bool]], clock: IReactorTime) -> None:
        self._move, self._clock = move, clock
        self._looking: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Look, and go on."""
        super().startService()
        self._looking = Deferred.fromCoroutine(self._look())
        self._looking.addErrback(lambda f: f.trap(CancelledError) and None)

    def stopService(self) -> None:
        """No longer look."""
        super().stopService()
        self._looking.cancel()

    async def _look(self) -> None:
        while True:
            wait = AGAIN
            try:
                if await self._move():
                    self._log.info("etcd's leader was moved to another machine than the master's")
            except StoreError as e:
                self._log.info("etcd's leader stays on the master's machine: {reason}", reason=str(e))
                # Others that have just come back, or were cut off, can lead a moment later.
                wait = SOON
            await deferLater(self._clock, wait)
