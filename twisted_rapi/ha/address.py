"""
The floating address and who is master: it is here while the term goes on, and gone before another one's.

Note [Order].  When a term begins, the address is taken, then listened on, then announced.  When it ends, what
listens is closed first, with all connections: once the address is gone nobody who waits there would be told;
then the address is removed; then the mastership is given up.

Note [Too late].  What removes the address may hang.  When the mastership may pass to another one before it is
gone, the process ends itself: the kernel then removes the address when its time is up (`net.floating`), and
the next master, who looks for it before it takes it, waits until then.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.deadline import first_of
from twisted_rapi.errors import AddressError
from twisted_rapi.ha.election import IElection
from twisted_rapi.net.interface import IFloatingAddress

SHORTEST, LONGEST = 0.25, 5.0  # seconds between tries to take it
AGAIN = 0.05  # seconds between tries to release it
LAST = 10.0  # seconds that giving it up may take at most


class Door(Protocol):
    """What is served at the address."""

    async def open(self) -> None:
        """
        Serve there.

        :raises AddressError: that cannot be.
        """

    async def close(self) -> None:
        """Serve nobody there any more, also those who are connected; quick, and well when it is not open."""


class AddressDuty(Service):
    """
    Has the address for one term.

    :param certain: whether the term goes on for certain.
    :param ours: whether nobody else can be master yet, also after the term's end.
    :param margin: seconds after which somebody else may be, once `ours` no longer holds.
    :param die: ends the process at once.
    :ivar since: when it was served from, by the clock; ``None`` while it is not.
    """

    _log = Logger()

    def __init__(
        self,
        address: IFloatingAddress,
        door: Door,
        clock: IReactorTime,
        *,
        certain: Callable[[], bool],
        ours: Callable[[], bool],
        margin: float,
        die: Callable[[], None],
    ) -> None:
        self._address, self._door, self._clock = address, door, clock
        self._certain, self._ours, self._margin, self._die = certain, ours, margin, die
        self._serving: Deferred[None] | None = None
        self._announcing: Deferred[None] | None = None
        self._complaint = ""
        self.since: float | None = None

    def startService(self) -> None:
        """Begin to take it."""
        super().startService()
        self.activate()

    def stopService(self) -> Deferred[None]:
        """Give it up; fires when it is gone."""
        super().stopService()
        return self.deactivate()

    def activate(self) -> None:
        """Have it, or announce again that it is here."""
        if self._serving is None:
            self._serving = self._begun(self._serve(), "the address cannot be served")
        else:
            self._announce()

    def deactivate(self) -> Deferred[None]:
        """Not have it until it is to be had again; fires when it is gone."""
        for work in (self._serving, self._announcing):
            if work is not None:
                work.cancel()
        self._serving = self._announcing = None
        return Deferred.fromCoroutine(self._give_up())

    def _begun(self, work: Coroutine[Any, Any, None], what: str) -> Deferred[None]:
        begun = Deferred.fromCoroutine(work)
        begun.addErrback(
            lambda f: None if f.check(CancelledError) else self._log.failure("{what}", f, what=what)
        )
        return begun

    # Having it.

    async def _serve(self) -> None:
        pause = SHORTEST
        while True:
            try:
                await self._address.take(self._certain)
                why = await self._held()
                pause = SHORTEST
                self._log.warn("{address} is to be taken again: {why}", address=self._address.text, why=why)
            except AddressError as e:
                self._complain(str(e))
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001 -- a bug is in the log, and a cluster without its address is worse
                self._log.failure("serving the address met a bug")
            # Whatever went wrong, nobody is to find half of it here meanwhile.
            await self._door.close()
            await self._released_once()
            await deferLater(self._clock, pause)
            pause = min(pause * 2, LONGEST)

    async def _held(self) -> str:
        await self._door.open()
        self._complaint = ""
        self._log.info("{address} is here", address=self._address.text)
        self.since = self._clock.seconds()
        self._announce()
        try:
            return await self._address.hold(self._certain)
        finally:
            self.since = None

    def _announce(self) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
        self._announcing = self._begun(self._announced(), "the address cannot be announced")

    async def _announced(self) -> None:
        try:
            await self._address.announce()
        except AddressError as e:
            self._log.error("{address}: {reason}", address=self._address.text, reason=str(e))

    def _complain(self, reason: str) -> None:
        """Say it once, not at each try."""
        if reason != self._complaint:
            self._complaint = reason
            self._log.error(
                "the floating address {address} cannot be had: {reason}",
                address=self._address.text,
                reason=reason,
            )

    # Giving it up.

    async def _released_once(self) -> bool:
        try:
            await self._address.release()
        except AddressError as e:
            self._complain(str(e))
            return False
        return True

    async def _give_up(self) -> None:
        guard = _Guard(self._clock, self._ours, self._margin, self._too_late)
        try:
            await self._closed()
            while not await self._released_once():
                await deferLater(self._clock, AGAIN)
        finally:
            guard.end()

    async def _closed(self) -> None:
        try:
            await self._door.close()
        except Exception:  # noqa: BLE001 -- the address has to go whatever is wrong with what listens
            self._log.failure("what listens at the address could not be closed")

    def _too_late(self) -> None:
        self._log.critical(
            "{address} could not be removed in time: the process ends", address=self._address.text
        )
        self._die()


class CommandedAddress(Service):
    """
    Has the address for one term while that is wanted.

    :param wanted: whether it is, and how often it was to be announced again.
    :param observe: has something called when that may have changed; answers how to end it.
    """

    def __init__(
        self,
        duty: AddressDuty,
        wanted: Callable[[], tuple[bool, int]],
        observe: Callable[[Callable[[], None]], Callable[[], None]],
    ) -> None:
        self._duty, self._wanted, self._observe = duty, wanted, observe
        self._seen: tuple[bool, int] = (False, 0)
        self._unobserve: Callable[[], None] = lambda: None

    def startService(self) -> None:
        """Begin, if it is wanted."""
        super().startService()
        self._seen = self._wanted()
        self._unobserve = self._observe(self._look)
        if self._seen[0]:
            self._duty.startService()

    def stopService(self) -> Deferred[None]:
        """Give it up; fires when it is gone."""
        super().stopService()
        self._unobserve()
        return self._duty.stopService()

    def _look(self) -> None:
        before, self._seen = self._seen, self._wanted()
        if before == self._seen:
            return
        if self._seen[0]:
            self._duty.activate()
        elif before[0]:
            self._duty.deactivate()


class _Guard:
    """Tells when something takes longer than the mastership is certain to stay."""

    def __init__(
        self, clock: IReactorTime, ours: Callable[[], bool], margin: float, late: Callable[[], None]
    ) -> None:
        self._clock, self._ours, self._margin, self._late = clock, ours, margin, late
        self._last = clock.seconds() + LAST
        self._until = self._last
        self._timer: IDelayedCall | None = None
        self._look()

    def _look(self) -> None:
        now = self._clock.seconds()
        if not self._ours():
            self._until = min(self._until, now + self._margin)
        if now >= self._until:
            self._timer = None
            self._late()
            return
        self._timer = self._clock.callLater(min(self._margin / 4, self._until - now), self._look)

    def end(self) -> None:
        """It is done."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


@implementer(IElection)
class BoundElection:
    """
    An election that this host takes part in while it has an address that others move.

    So the master is where the address is: when it is moved away the term ends, and the candidate that has it
    then is the only one who seeks the next.  While nobody has it nobody is master.
    """

    def __init__(self, election: IElection, address: IFloatingAddress) -> None:
        self._election, self._address = election, address

    async def win(self) -> int:
        """See `IElection.win`."""
        while True:
            await self._address.arrival()
            first, term = await first_of(self._election.win(), self._address.departure())
            if first == 0:
                return int(term)
            # It may have been won at the last moment.
            await self._election.resign()

    def holds(self) -> bool:
        """See `IElection.holds`."""
        return self._election.holds()

    async def over(self) -> str:
        """See `IElection.over`."""
        first, why = await first_of(self._election.over(), self._address.departure())
        return str(why) if first == 0 else f"{self._address.text} has been moved away"

    async def resign(self) -> None:
        """See `IElection.resign`."""
        await self._election.resign()
