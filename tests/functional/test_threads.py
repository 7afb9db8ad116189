"""Threads of their own for work that may hang."""

from threading import Event

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from twisted_rapi.agent.threads import Threads


class ThreadsTests(TestCase):
    """`Threads`."""

    def setUp(self) -> None:
        self.threads = Threads(reactor, "test", 2)
        self.threads.startService()
        self.addCleanup(self.threads.stopService)
        self.freed = Event()
        self.addCleanup(self.freed.set)

    async def test_apart(self) -> None:
        """With all of them hanging, other threads work; what waits for one is done later."""
        hanging = [self.threads.run(self.freed.wait) for _ in range(2)]
        late = self.threads.run(lambda: "late")
        self.assertEqual(await deferToThread(lambda: "other"), "other")
        self.assertNoResult(late)
        self.freed.set()
        self.assertEqual(await late, "late")
        self.assertEqual([await d for d in hanging], [True, True])

    async def test_error(self) -> None:
        """An error comes back."""

        def work(value: int) -> int:
            raise ValueError(value)

        failure = await self.assertFailure(self.threads.run(work, 5), ValueError)
        self.assertEqual(failure.args, (5,))
