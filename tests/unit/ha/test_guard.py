"""What the guard does when the pipe from its daemon ends, and when it does not."""

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.ha.guard import Guard
from twisted_rapi.ha.guarding import LAST, LONGEST, Guarded

ENDPOINTS = ("https://a:1", "https://b:1", "https://c:1")


class GuardTests(SynchronousTestCase):
    """`Guard`."""

    def setUp(self) -> None:
        self.turn, self.asked, self.removed = threading.Lock(), set[tuple[str, int]](), 0
        self.failing: set[str] = set()
        self.removable = True

    def _ask(self, endpoint: str, lease: int) -> None:
        with self.turn:
            self.asked.add((endpoint, lease))
        if endpoint in self.failing:
            raise OSError("no route")

    def _remove(self) -> bool:
        self.removed += 1
        return self.removable

    def told(self, *documents: Any, cut: str = "") -> bool:
        """Whether the lease was ended, after these were told and then the pipe ended."""
        lines = [*(json.dumps(document) for document in documents), *([cut] if cut else [])]
        return Guard(ENDPOINTS, self._ask, self._remove).listen(self._counted(lines))

    def _counted(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self.assertEqual((self.asked, self.removed), (set(), 0), "it acted while the daemon was there")
            yield line

    def test_killed(self) -> None:
        """The address goes, and the lease that was told last is ended by any member that answers."""
        self.failing = {ENDPOINTS[0], ENDPOINTS[1]}
        self.assertTrue(self.told({"lease": 7}, {"lease": 0}, {"lease": 8}))
        self.assertEqual((self.removed, {lease for _, lease in self.asked}), (1, {8}))

    def test_unreachable(self) -> None:
        """Where no member answers the lease ends by itself; the address has gone."""
        self.failing = set(ENDPOINTS)
        self.assertFalse(self.told({"lease": 7}))
        self.assertEqual((self.removed, len(self.asked)), (1, 3))

    def test_released(self) -> None:
        """A daemon that has ended in order leaves nothing to do."""
        self.assertFalse(self.told({"lease": 7}, {"lease": 0}, {"released": True}))
        self.assertFalse(self.told({"lease": 7}, {"released": True}))
        self.assertEqual((self.asked, self.removed), (set(), 0))

    def test_no_lease(self) -> None:
        """A daemon that was not master leaves nothing to do."""
        self.assertFalse(self.told({"lease": 0}))
        self.assertFalse(self.told())
        self.assertEqual((self.asked, self.removed), (set(), 0))

    def test_stays(self) -> None:
        """While the address cannot be removed the lease is left to end by itself."""
        self.removable = False
        self.assertFalse(self.told({"lease": 7}))
        self.assertEqual(self.asked, set())

    @given(cut=st.integers(1, len(json.dumps({"lease": 987654321})) - 1))
    def test_cut_short(self, cut: int) -> None:
        """Half of a line says nothing: what was told before it holds."""
        self.setUp()
        self.assertTrue(self.told({"lease": 7}, cut=json.dumps({"lease": 987654321})[:cut]))
        self.assertEqual({lease for _, lease in self.asked}, {7})


class Processes(Clock):
    """A reactor whose processes are given to the test."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Process] = []

    def spawnProcess(self, protocol: Any, *args: Any, **how: Any) -> None:
        """Begin one."""
        made = Process(protocol, how)
        self.begun.append(made)
        protocol.makeConnection(made)


class Process:
    """One of them: what it was told, and whether that has ended."""

    def __init__(self, protocol: Any, how: dict[str, Any]) -> None:
        self.protocol, self.how = protocol, how
        self.heard: list[Any] = []
        self.closed = False

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        """See `IProcessTransport`."""
        assert descriptor == 0 and data.endswith(b"\n")
        self.heard.append(json.loads(data))

    def closeStdin(self) -> None:
        """See `IProcessTransport`."""
        self.closed = True

    def end(self) -> None:
        """It has ended."""
        self.protocol.processEnded(Failure(ProcessDone(0)))


class GuardedTests(SynchronousTestCase):
    """`Guarded`."""

    def setUp(self) -> None:
        self.reactor = Processes()
        self.guarded = Guarded(self.reactor, {"address": ""})
        self.guarded.start()

    def test_told(self) -> None:
        """It hears of each lease; only its standard input is a pipe of ours."""
        [guard] = self.reactor.begun
        self.guarded.told(7)
        self.guarded.told(0)
        self.assertEqual(guard.heard, [{"lease": 0}, {"lease": 7}, {"lease": 0}])
        self.assertEqual(guard.how["childFDs"], {0: "w", 1: 2, 2: 2})

    def test_again(self) -> None:
        """One that has ended is replaced by one that knows the lease; ever later, if it ends at once."""
        self.guarded.told(7)
        pauses = []
        for count in range(1, 10):
            self.reactor.begun[-1].end()
            [call] = self.reactor.getDelayedCalls()
            pauses.append(call.getTime() - self.reactor.seconds())
            self.reactor.advance(pauses[-1])
            self.assertEqual(len(self.reactor.begun), count + 1)
            self.assertEqual(self.reactor.begun[-1].heard, [{"lease": 7}])
        self.assertEqual(pauses, sorted(pauses))
        self.assertEqual(pauses[-1], LONGEST)
        self.reactor.advance(LONGEST + 1)
        self.reactor.begun[-1].end()
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.begun), 11)

    def test_nobody(self) -> None:
        """What is told while there is none is told to the next."""
        self.reactor.begun[-1].end()
        self.guarded.told(9)
        self.reactor.advance(LONGEST)
        self.assertEqual(self.reactor.begun[-1].heard, [{"lease": 9}])

    def test_stop(self) -> None:
        """It is told that all was given up, and is not started again."""
        [guard] = self.reactor.begun
        stopped = Deferred.fromCoroutine(self.guarded.stop())
        self.assertEqual((guard.heard[-1], guard.closed), ({"released": True}, True))
        self.assertNoResult(stopped)
        guard.end()
        self.successResultOf(stopped)
        self.assertEqual((len(self.reactor.begun), self.reactor.getDelayedCalls()), (1, []))

    def test_stop_slow(self) -> None:
        """One that does not end is not waited for, and one that has ended is not started for that."""
        stopped = Deferred.fromCoroutine(self.guarded.stop())
        self.reactor.advance(LAST)
        self.successResultOf(stopped)
        other = Guarded(self.reactor, {})
        other.start()
        self.reactor.begun[-1].end()
        self.successResultOf(Deferred.fromCoroutine(other.stop()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
