"""Tests of `twisted_rapi.ha.ladder`."""

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.ha.ladder import STEP, Ladder


class Rung(Service):
    """A service that notes when it ends, and has ended when the test says so."""

    def __init__(self, name: str, ends: list[str]) -> None:
        self.label, self._ends = name, ends
        self.ended: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        """Begin to end."""
        super().stopService()
        self._ends.append(self.label)
        return self.ended


class LadderTests(SynchronousTestCase):
    """Jobs, an address and a listener, which end the other way round."""

    def setUp(self) -> None:
        self.clock, self.ends = Clock(), list[str]()
        self.ladder = Ladder(self.clock)
        self.rungs = [Rung(name, self.ends) for name in ("jobs", "address", "listener")]
        for rung in self.rungs:
            rung.setServiceParent(self.ladder)
        self.ladder.startService()
        self.stopped = self.ladder.stopService()

    def test_order(self) -> None:
        """Each ends when the one before it has; the whole when all have."""
        seen = [list(self.ends)]
        for rung in reversed(self.rungs):
            self.assertNoResult(self.stopped)
            rung.ended.callback(None)
            seen.append(list(self.ends))
        self.successResultOf(self.stopped)
        self.assertEqual(
            seen, [["listener"], ["listener", "address"], *[["listener", "address", "jobs"]] * 2]
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow(self) -> None:
        """One that takes long does not keep the next; the whole still waits for it."""
        self.clock.advance(STEP)
        self.clock.advance(STEP)
        self.assertEqual(self.ends, ["listener", "address", "jobs"])
        for rung in self.rungs:
            self.assertNoResult(self.stopped)
            rung.ended.callback(None)
        self.clock.advance(STEP)
        self.successResultOf(self.stopped)

    def test_bad(self) -> None:
        """One that fails to end is logged and keeps nobody."""
        self.rungs[2].ended.errback(ValueError("odd"))
        self.rungs[1].ended.callback(None)
        self.rungs[0].ended.callback(None)
        self.successResultOf(self.stopped)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
