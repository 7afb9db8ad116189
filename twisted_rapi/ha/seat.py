"""Who has the seat: known to every candidate, the moment it is taken or lost."""

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_rapi.errors import Compacted, StoreClosed, StoreError
from twisted_rapi.ha.leased import SEAT
from twisted_rapi.state.interface import IStateStore

AGAIN = 0.5  # seconds until a store that cannot be read is read again


class SeatWatch(Service):
    """
    Follows the seat (`twisted_rapi.ha.leased`, note Seat) while it runs.

    The election record says who was master last, also when that one is dead; this says whether there is one.

    :param changed: called when somebody else has it, or nobody.
    :ivar holder: uuid of the node whose daemon has it; "" for nobody, or not known yet.
    """

    _log = Logger()

    def __init__(self, store: IStateStore, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self._store, self._clock, self._changed = store, clock, changed
        self.holder = ""
        self._following: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Look, and go on."""
        super().startService()
        self._following = Deferred.fromCoroutine(self._follow())
        self._following.addErrback(lambda f: f.trap(CancelledError, StoreClosed) and None)
        self._following.addErrback(lambda f: self._log.failure("the seat is no longer followed", f))

    def stopService(self) -> None:
        """No longer look."""
        super().stopService()
        self._following.cancel()

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
            except Compacted:
                continue
            except StoreClosed:
                raise
            except StoreError as e:
                self._log.info("who has the seat cannot be read: {reason}", reason=str(e))
                await deferLater(self._clock, AGAIN)

    async def _look(self) -> None:
        page = await self._store.list(SEAT, limit=1)
        entry = page.entries.get(SEAT)
        self._has(None if entry is None else entry.value)
        watch = self._store.watch([SEAT], page.revision)
        try:
            while True:
                for change in await watch.next():
                    if SEAT in change.values:
                        self._has(change.values[SEAT])
        finally:
            watch.close()

    def _has(self, value: bytes | None) -> None:
        before, self.holder = self.holder, "" if value is None else value.decode()
        if before != self.holder:
            self._changed()
