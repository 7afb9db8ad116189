"""
Showing that a daemon is there to take over.

Its record hangs on a lease of its own, not the master's: it is there while the daemon runs, reaches the store
and is told of its changes, and vanishes soon after that ends.
"""

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_rapi.deadline import within
from twisted_rapi.errors import LeaseGone, RapiError, StoreUnreachable
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import key_of
from twisted_rapi.state.codec import encode
from twisted_rapi.state.interface import Commit, ILeases, IStateStore

TTL = 6  # seconds
LAST_WORDS = 0.5  # seconds that taking the record back may take


class Presence(Service):
    """
    Keeps a `CandidateRecord` in the store while it runs.

    :param behind: seconds since it was certain that this daemon knows all of the store; one that is far
        behind does not count as there.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        leases: ILeases,
        record: CandidateRecord,
        clock: IReactorTime,
        behind: Callable[[], float],
    ) -> None:
        self._store, self._leases, self._record, self._clock = store, leases, record, clock
        self._behind = behind
        self._lease: int | None = None
        self._shown: CandidateRecord | None = None
        self._keeping: Deferred[None] = succeed(None)

    @property
    def record(self) -> CandidateRecord:
        """What is shown, or will be soon."""
        return self._record

    def update(self, record: CandidateRecord) -> None:
        """Show another record, within a third of `TTL`."""
        self._record = record

    def startService(self) -> None:
        """Show it, and go on."""
        super().startService()
        self._keeping = Deferred.fromCoroutine(self._keep())
        self._keeping.addErrback(lambda f: f.trap(CancelledError) and None)

    def stopService(self) -> Deferred[None]:
        """Take it back; at the latest it ends by itself."""
        super().stopService()
        self._keeping.cancel()
        return Deferred.fromCoroutine(self._end())

    async def _keep(self) -> None:
        while True:
            try:
                if self._behind() < TTL:
                    await self._show()
            except RapiError as e:
                self._log.info("the store is not told that this candidate is there: {reason}", reason=str(e))
            await deferLater(self._clock, TTL / 3)

    async def _show(self) -> None:
        if self._lease is not None:
            try:
                await self._leases.renew(self._lease, TTL / 3)
                if self._shown == self._record:
                    return
            except LeaseGone:
                self._lease = None
        lease = self._lease or await self._leases.grant(TTL)
        record = self._record
        key = key_of(record)
        await self._store.commit(Commit(puts={key: encode(record)}, leased={key: lease}))
        self._lease, self._shown = lease, record

    async def _end(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        revoked = Deferred.fromCoroutine(self._leases.revoke(lease))
        late = StoreUnreachable("it takes long")
        try:
            await within(revoked, LAST_WORDS, self._clock, lambda: late)
        except RapiError as e:
            self._log.info("the record of this candidate ends by itself: {reason}", reason=str(e))
