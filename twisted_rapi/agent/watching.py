"""The masters that watch a node, and what they are told."""

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.agent.looking import Sight
from twisted_rapi.errors import StaleTerm
from twisted_rapi.model.seen import FullReport, Sighting
from twisted_rapi.rpc.protocol import HEARTBEAT

FULL_REPORT = 30.0  # seconds between full reports
FIRST_LOOK = 1.0  # seconds a new watch waits for a fresh look; then what is known already has to do
Seen = Callable[[Sighting], None]


@attrs.define(eq=False)
class _Watcher:
    """A master that is told; `gone` ends that."""

    seen: Seen
    term: int
    gone: Deferred[None] = attrs.field(factory=Deferred)

    def end(self, error: Exception) -> None:
        """Have the watch end with `error`, unless it is ending."""
        if not self.gone.called:
            self.gone.errback(error)


class Watchers:
    """Tells masters what is seen of a node, for as long as they watch."""

    _log = Logger()

    def __init__(self, sight: Sight, clock: IReactorTime) -> None:
        self._sight = sight
        self._watchers: list[_Watcher] = []
        self._beat = LoopingCall(self._each_second)
        self._full = LoopingCall(self._report_all)
        self._beat.clock = self._full.clock = clock

    def begin(self) -> None:
        """Begin to tell."""
        self._beat.start(HEARTBEAT, now=False).addErrback(self._loop_failed)
        self._full.start(FULL_REPORT, now=False).addErrback(self._loop_failed)

    def end(self) -> None:
        """No longer tell anybody."""
        for loop in (self._beat, self._full):
            if loop.running:
                loop.stop()
        for watcher in list(self._watchers):
            watcher.gone.cancel()

    def end_older(self, term: int) -> None:
        """End the watches of masters of an older term."""
        for watcher in list(self._watchers):
            if watcher.term < term:
                watcher.end(StaleTerm(watcher.term, term))

    async def look_first(self) -> None:
        """Look; what takes too long is told when it is there, and keeps nobody from watching."""
        if not await self._sight.look(FIRST_LOOK):
            late = Deferred.fromCoroutine(self._sight.look())
            late.addCallback(lambda _: self.report()).addErrback(self._loop_failed)

    async def watch(self, term: int, seen: Seen) -> None:
        """
        Tell a full report, and what follows; cancelling ends that.

        :raises StaleTerm: there is a newer master.
        """
        watcher = _Watcher(seen, term)
        self._watchers.append(watcher)
        try:
            seen(FullReport(report=self._sight.report()))
            await watcher.gone
        finally:
            self._watchers.remove(watcher)

    def tell(self, sighting: Sighting) -> None:
        """Tell everybody; whoever cannot be told is no longer, and hurts nobody else."""
        for watcher in list(self._watchers):
            if watcher.gone.called:
                continue
            try:
                watcher.seen(sighting)
            except Exception as e:  # noqa: BLE001 -- it ends with its watch
                watcher.end(e)

    def heartbeat(self) -> None:
        """Tell memory and disk as they are known."""
        self.tell(self._sight.heartbeat())

    def look_again(self) -> None:
        """Something has changed: look, and tell everybody."""
        self._report_all().addErrback(self._loop_failed)

    def report(self) -> None:
        """Tell everything as it is known."""
        self.tell(FullReport(report=self._sight.report()))

    def _each_second(self) -> None:
        if self._watchers:
            self.heartbeat()
            self._sight.measure()

    def _report_all(self) -> Deferred[None]:
        if not self._watchers:
            return succeed(None)
        return Deferred.fromCoroutine(self._sight.look()).addCallback(lambda _: self.report())

    def _loop_failed(self, failure: Failure) -> None:
        self._log.failure("reporting has ended", failure)
