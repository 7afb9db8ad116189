"""Tests of `twisted_rapi.admin.command`."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.command import on_network, run, telling
from twisted_rapi.errors import StoreLocked


class RunTests(SynchronousTestCase):
    """What a command answers."""

    def setUp(self) -> None:
        self.told: list[str] = []

    def status(self, work: Any) -> object:
        """What the rest of a command answers with a reactor on which nothing happens."""
        return self.successResultOf(Deferred.fromCoroutine(work(MemoryReactorClock())))

    def test_wrong_use(self) -> None:
        """Wrong options are told, with status 2; nothing is left to do."""
        self.assertEqual(run(["nothing"], self.told.append), 2)
        self.assertEqual(run(["store", "copy", "sqlite"], self.told.append), 2)
        self.assertEqual([text[:12] for text in self.told], ["rapi-admin: "] * 2)

    def test_needs_no_network(self) -> None:
        """What asks nobody is done without a reactor."""
        self.assertEqual(run(["check", "--directory", self.mktemp()], self.told.append), 1)

    def test_needs_the_network(self) -> None:
        """What asks others is left to do; a configuration that is not there is told then."""
        work = run(["store", "copy", "--config", self.mktemp(), "sqlite", "etcd"], self.told.append)
        self.assertTrue(callable(work))
        self.assertEqual(self.told, [])
        self.assertEqual(self.status(work), 1)
        self.assertIn("No such file", self.told[0])

    def test_fails_on_the_network(self) -> None:
        """What an operator can mend is told, with the status; our own mistakes are raised."""

        def failing(error: Exception) -> Callable[[Any], Any]:
            async def work(reactor: Any) -> int:
                raise error

            return telling(work, self.told.append)

        self.assertEqual(self.status(failing(StoreLocked("held"))), 1)
        self.assertEqual(self.status(failing(usage.UsageError("which?"))), 2)
        self.assertEqual(self.told, ["rapi-admin: held", "rapi-admin: which?"])
        mistake = Deferred.fromCoroutine(failing(KeyError("x"))(MemoryReactorClock()))
        self.failureResultOf(mistake, KeyError)


class _EndedByHand(MemoryReactorClock):
    """A reactor that runs until it is told what happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens = happens

    def run(self) -> None:
        """Run, and shut down."""
        super().run()
        self._happens()
        for trigger, arguments, named in self.triggers["before"]["shutdown"]:
            trigger(*arguments, **named)


class OnNetworkTests(SynchronousTestCase):
    """The process's reactor and exit status."""

    def setUp(self) -> None:
        self.told: list[str] = []
        self.answer: Deferred[int] = Deferred()
        self.given_back = False

    async def work(self, reactor: Any) -> int:
        """Hold something while waiting for others."""
        try:
            return await self.answer
        finally:
            self.given_back = True

    def status(self, happens: Callable[[], None]) -> object:
        """The exit status of a process in which something happens."""
        work = telling(self.work, self.told.append)
        ended = self.assertRaises(SystemExit, react, on_network, (work,), _EndedByHand(happens))
        return ended.code

    def test_status(self) -> None:
        """It is what the work answers."""
        self.assertEqual(self.status(lambda: self.answer.callback(1)), 1)
        self.assertEqual(self.told, [])

    def test_done(self) -> None:
        """It is 0 when all is well."""
        self.assertEqual(self.status(lambda: self.answer.callback(0)), 0)

    def test_interrupted(self) -> None:
        """A signal ends the work, which gives back what it holds; the status says so."""
        self.assertEqual(self.status(lambda: None), 130)
        self.assertTrue(self.given_back)
        self.assertEqual(self.told, ["rapi-admin: interrupted"])
