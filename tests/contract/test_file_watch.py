"""The contract of `IFileWatch` where the kernel tells nothing, and on the fake."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from twisted_rapi.testing.contracts.file_watch import FileWatchContract
from twisted_rapi.testing.file_watch import LookedAt
from twisted_rapi.web.watching import FileWatch, IFileWatch


class LookedAtTests(FileWatchContract, TestCase):
    """The fake."""

    def make(self) -> IFileWatch:
        self.fake = LookedAt()
        return self.fake

    async def settle(self) -> None:
        self.fake.look()


class EachSecondTests(FileWatchContract, TestCase):
    """Without inotify, on a clock that the test holds."""

    def make(self) -> IFileWatch:
        self.clock = Clock()
        return FileWatch(self.clock, lambda: None)

    async def settle(self) -> None:
        self.clock.pump([1.0, 1.0])

    async def test_no_timer(self) -> None:
        """Ended, it leaves no timer."""
        self.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])
