"""
Leadership: a subtree of services that is built anew for each term and ends with it.

Note [Terms].  A term begins when the election is won and ends when the election says so, a higher one is
heard of, the store is lost, or the daemon stops.  What a master runs (executor, reconciler, archive, the
API's writing half) never outlives its term: it is built by a function of the term, and nothing is reused.

Note [Ending].  From the moment a term begins to end `Leadership.term` is ``None``: no RPC and no commit is
begun.  Then its services end one after the other (`twisted_rapi.ha.ladder`): the listener, the address, the
jobs.  Only when all have ended is the mastership given up for another one to have.
"""

from collections.abc import Callable
from typing import Protocol

import attrs
from automat import TypeMachineBuilder
from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_rapi.errors import RapiError
from twisted_rapi.ha.election import IElection


class Candidate(Protocol):
    """What can happen to a candidate."""

    def campaign(self) -> None:
        """Begin to seek the mastership."""

    def won(self, term: int) -> None:
        """The election is won."""

    def deposed(self) -> None:
        """The term is over: someone has heard of a higher one."""

    def duties_ended(self) -> None:
        """All that the master ran has ended."""

    def stop(self) -> None:
        """The daemon ends."""


@attrs.define
class _Core:
    """
    What the transitions work on.

    :ivar begin: start what a master runs for a term; `end`: stop it, then tell `duties_ended`.
    :ivar seek: go for the next term; `quiet`: stop seeking.
    """

    begin: Callable[[int], None]
    end: Callable[[], None]
    seek: Callable[[], None]
    quiet: Callable[[], None]
    finished: Callable[[], None]


def _machine() -> Callable[[_Core], Candidate]:
    builder = TypeMachineBuilder(Candidate, _Core)
    names = ("idle", "following", "leading", "resigning", "stopping", "stopped")
    state = {name: builder.state(name) for name in names}

    @state["idle"].upon(Candidate.campaign).to(state["following"])
    @state["resigning"].upon(Candidate.duties_ended).to(state["following"])
    def seek(candidate: Candidate, core: _Core) -> None:
        core.seek()

    @state["following"].upon(Candidate.won).to(state["leading"])
    def take_over(candidate: Candidate, core: _Core, term: int) -> None:
        core.begin(term)

    @state["leading"].upon(Candidate.deposed).to(state["resigning"])
    @state["leading"].upon(Candidate.stop).to(state["stopping"])
    def resign(candidate: Candidate, core: _Core) -> None:
        core.end()

    @state["following"].upon(Candidate.stop).to(state["stopped"])
    @state["idle"].upon(Candidate.stop).to(state["stopped"])
    def quit_seeking(candidate: Candidate, core: _Core) -> None:
        core.quiet()
        core.finished()

    @state["stopping"].upon(Candidate.duties_ended).to(state["stopped"])
    def done(candidate: Candidate, core: _Core) -> None:
        core.finished()

    state["resigning"].upon(Candidate.stop).to(state["stopping"]).returns(None)
    for name, told in _MEANS_NOTHING:
        state[name].upon(told).loop().returns(None)
    return builder.build()


_MEANS_NOTHING: tuple[tuple[str, Callable[[Candidate], None]], ...] = (
    ("idle", Candidate.deposed),
    ("following", Candidate.deposed),
    ("resigning", Candidate.deposed),
    ("stopping", Candidate.deposed),
    ("stopped", Candidate.deposed),
    ("stopping", Candidate.stop),
    ("stopped", Candidate.stop),
)
"""What may be told in a state without anything following from it."""

_BUILD = _machine()


class Leadership(MultiService):
    """
    Seeks the mastership, and runs what `build` gives while it has it.

    :param build: makes the services of one term; called once per term.
    :param retry: seconds to wait when the election could not be held, or a term ended sooner than that.
    """

    _log = Logger()

    def __init__(
        self, election: IElection, build: Callable[[int], IService], clock: IReactorTime, retry: float = 1.0
    ) -> None:
        super().__init__()
        self._term: int | None = None
        self._election, self._build, self._clock, self._retry = election, build, clock, retry
        self._seeking: Deferred[None] = succeed(None)
        self._finished: Deferred[None] = Deferred()
        self._not_before = 0.0
        self._candidate = _BUILD(
            _Core(
                begin=self._begin,
                end=self._end,
                seek=self._seek,
                quiet=self._quiet,
                finished=lambda: self._finished.callback(None),
            )
        )

    @property
    def term(self) -> int | None:
        """The term being served, while it is certain that it goes on; to be asked at each use."""
        return self._term if self._election.holds() else None

    def startService(self) -> None:
        """Begin to seek the mastership."""
        super().startService()
        self._candidate.campaign()

    def stopService(self) -> Deferred[None]:
        """End the term, if there is one; fires when all its services have ended."""
        self._candidate.stop()
        return self._finished.addCallback(lambda _: super(Leadership, self).stopService())

    def deposed(self) -> None:
        """A higher term has been heard of."""
        self._candidate.deposed()

    def deposed_from_within(self) -> None:
        """
        As `deposed`, told by what the term runs.

        That may be a job in the middle of a commit or a step: it could not be ended before it waits again.
        """
        term = self._term

        def end() -> None:
            if term is not None and self._term == term:
                self._candidate.deposed()

        self._clock.callLater(0, end)

    def _seek(self) -> None:
        self._seeking = Deferred.fromCoroutine(self._campaign())
        self._seeking.addErrback(lambda f: f.trap(CancelledError) and None)

    def _quiet(self) -> None:
        self._seeking.cancel()

    async def _campaign(self) -> None:
        # Where a term cannot begin the next could not either: it must not be sought in a circle.
        wait = self._not_before - self._clock.seconds()
        while True:
            if wait > 0:
                await deferLater(self._clock, wait)
            try:
                term = await self._election.win()
                break
            except RapiError as e:
                self._log.error("the election could not be held: {reason}", reason=str(e))
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001 -- a bug is in the log, and a cluster without a master is worse
                self._log.failure("the election met a bug")
            wait = self._retry
        self._candidate.won(term)

    def _begin(self, term: int) -> None:
        self._log.info("master for term {term}", term=term)
        self._term = term
        Deferred.fromCoroutine(self._heed(term))
        self._not_before = self._clock.seconds() + self._retry
        try:
            self._build(term).setServiceParent(self)
        except Exception:  # noqa: BLE001 -- it is in the log, and the next term is tried
            self._log.failure("the duties of term {term} could not begin", term=term)
            self._candidate.deposed()

    async def _heed(self, term: int) -> None:
        """End the term when the election says that it is over."""
        why = await self._election.over()
        if self._term == term:
            self._log.warn("term {term} is over: {why}", term=term, why=why)
            self._candidate.deposed()

    def _end(self) -> None:
        self._log.info("term {term} ends", term=self._term)
        self._term = None
        waits = [d for service in list(self) if (d := service.disownServiceParent()) is not None]
        Deferred.fromCoroutine(self._ended(waits))

    async def _ended(self, waits: list[Deferred[None]]) -> None:
        for wait in waits:
            try:
                await wait
            except Exception:  # noqa: BLE001 -- ending goes on whatever one service does
                self._log.failure("a service of the term did not end well")
        try:
            await self._election.resign()
        except Exception:  # noqa: BLE001 -- the lease ends by itself
            self._log.failure("the mastership could not be given up")
        self._candidate.duties_ended()
