"""
The election among several candidates, over a store that they share.

Note [Seat].  Who is master has the *seat*: a key that hangs on the master's lease.  It is taken together with
the next term, in one commit that demands that nobody has the seat and that the election record is as it was
read.  So no term is had twice, and none begins while another one's lease goes on.  Others watch the seat.

Note [Margin].  A lease ends in the store `ttl` seconds after it was renewed last, at the earliest, and it was
renewed after it was asked for.  So until `ttl` after the last question that was answered well nobody else can
win.  A candidate gives its term up `ttl` / 6 before that.  This margin (0.5 s of 3) has to be longer than

- what our clock is slower than the store's over `ttl`: kept clocks are within 0.1 %, bad ones within 1 %: 30
ms;
- the time from a look at `holds` to when what was decided there is out of the machine: of answers and RPCs
  that were under way the network's delay; they carry the term, and agents that know a newer one refuse them.

What is committed needs no margin: the store compares the election record in the same transaction.

The clock has to go on while the process is stopped and must not jump (`twisted_rapi.monotonic`).
"""

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.deadline import within
from twisted_rapi.errors import Compacted, Conflict, LeaseGone, StoreError, StoreUnreachable
from twisted_rapi.ha.election import IElection, next_term
from twisted_rapi.ha.standing import Anyone, IStanding
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.model.records import key_of
from twisted_rapi.state.codec import encode
from twisted_rapi.state.interface import Commit, ILeases, IStateStore

SEAT = "seat"
TTL = 3  # seconds
PAUSE = 0.05  # seconds between tries
LAST_WORDS = 1.0  # seconds that giving up the lease may take


@attrs.define(eq=False)
class _Tenure:
    """
    A term that was won.

    :ivar until: it is not used after that, by the reactor's clock.
    :ivar over: fires with the reason when it has ended.
    """

    term: int
    lease: int
    until: float
    over: Deferred[str] = attrs.field(factory=Deferred)
    ended: bool = False
    timer: IDelayedCall | None = None
    keeping: Deferred[None] | None = None


@implementer(IElection)
class LeasedCandidate:
    """
    One candidate of several.

    :param node: uuid of this node.
    :param ttl: seconds after which a master that is not heard of is replaced.
    :param standing: what may keep it from a free seat.
    :param having: told which lease it has, before it has the seat by it, and 0 when it gives it up.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        leases: ILeases,
        node: str,
        clock: IReactorTime,
        ttl: int = TTL,
        standing: IStanding | None = None,
        having: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store, self._leases, self._node, self._clock, self._ttl = store, leases, node, clock, ttl
        self._standing = Anyone() if standing is None else standing
        self._having = having
        self._tenure: _Tenure | None = None

    @property
    def margin(self) -> float:
        """Seconds between the end of a term's use and the earliest end of its lease."""
        return self._ttl / 6

    def _until(self, asked: float) -> float:
        return asked + self._ttl - self.margin

    # Winning.

    async def win(self) -> int:
        """See `IElection.win`."""
        while True:
            await self._vacant()
            allowed = await self._standing.ready()
            if allowed is None:
                continue
            tenure = await self._campaign(allowed)
            if tenure is not None:
                self._tenure = tenure
                tenure.timer = self._clock.callLater(
                    max(0.0, tenure.until - self._clock.seconds()), self._end, tenure, "it was not renewed"
                )
                tenure.keeping = Deferred.fromCoroutine(self._keep(tenure))
                tenure.keeping.addErrback(lambda f: f.trap(CancelledError) and None)
                return tenure.term

    async def _vacant(self) -> None:
        """Wait until nobody has the seat."""
        while True:
            page = await self._store.list(SEAT, limit=1)
            if SEAT not in page.entries:
                return
            watch = self._store.watch([SEAT], page.revision)
            try:
                while True:
                    for change in await watch.next():
                        if change.values.get(SEAT, b"") is None:
                            return
            except Compacted:
                await deferLater(self._clock, PAUSE)
            finally:
                watch.close()

    async def _campaign(self, allowed: Mapping[str, int]) -> _Tenure | None:
        """Try to take the seat; ``None`` when another one was faster, or it is no longer allowed."""
        won, before = await next_term(self._store, self._node)
        asked = self._clock.seconds()
        lease = await self._leases.grant(self._ttl)
        self._having(lease)
        key = key_of(won)
        change = Commit(
            expect={**allowed, SEAT: 0, key: before},
            puts={SEAT: self._node.encode(), key: encode(won)},
            deletes=frozenset({SwitchRecord.KIND}),  # it was about a term that is over
            leased={SEAT: lease},
        )
        try:
            await self._store.commit(change)
        except (Conflict, LeaseGone):
            await self._revoke(lease)
            return None
        except BaseException:
            # Whether it was won may not be known; if it was, the lease would keep others waiting.
            Deferred.fromCoroutine(self._revoke(lease))
            raise
        if self._clock.seconds() >= self._until(asked):
            await self._revoke(lease)
            raise StoreUnreachable("the term that was won had ended when that became known")
        return _Tenure(won.term, lease, self._until(asked))

    async def _revoke(self, lease: int) -> None:
        self._having(0)
        revoked = Deferred.fromCoroutine(self._leases.revoke(lease))
        late = StoreUnreachable("the lease was not given up in time")
        try:
            await within(revoked, LAST_WORDS, self._clock, lambda: late)
        except StoreError as e:
            self._log.info("a lease ends by itself: {reason}", reason=str(e))

    # Holding.

    def holds(self) -> bool:
        """See `IElection.holds`."""
        return self._tenure is not None and self._still(self._tenure)

    def _still(self, tenure: _Tenure) -> bool:
        return not tenure.ended and self._clock.seconds() < tenure.until

    async def over(self) -> str:
        """See `IElection.over`."""
        return "there is no term" if self._tenure is None else await self._tenure.over

    async def _keep(self, tenure: _Tenure) -> None:
        """Renew the lease, until that cannot be done in time."""
        while not tenure.ended:
            await deferLater(self._clock, self._ttl / 3)
            while not await self._renewed(tenure):
                await deferLater(self._clock, PAUSE)

    async def _renewed(self, tenure: _Tenure) -> bool:
        """Try once; true also when there is nothing left to renew."""
        asked = self._clock.seconds()
        try:
            await self._leases.renew(tenure.lease, self._ttl / 6)
        except LeaseGone as e:
            self._end(tenure, str(e))
            return True
        except StoreError as e:
            self._log.warn("the mastership is not renewed at present: {reason}", reason=str(e))
            return tenure.ended
        if not self._still(tenure):
            # It came too late: what was to end has begun to.
            self._end(tenure, "it was renewed too late")
            return True
        tenure.until = max(tenure.until, self._until(asked))
        if tenure.timer is not None and tenure.timer.active():
            tenure.timer.reset(tenure.until - self._clock.seconds())
        return True

    def _end(self, tenure: _Tenure, why: str) -> None:
        if tenure.ended:
            return
        tenure.ended = True
        if tenure.timer is not None and tenure.timer.active():
            tenure.timer.cancel()
        if tenure.keeping is not None:
            tenure.keeping.cancel()
        if not tenure.over.called:
            tenure.over.callback(why)

    async def resign(self) -> None:
        """See `IElection.resign`."""
        tenure, self._tenure = self._tenure, None
        if tenure is not None:
            self._end(tenure, "it was given up")
            await self._revoke(tenure.lease)
