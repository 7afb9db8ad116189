"""The contract of `IFileWatch` with what this kernel tells."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from twisted_rapi.testing.contracts.file_watch import FileWatchContract
from twisted_rapi.web.watching import EACH, FileWatch, IFileWatch, load_inotify

REACTOR: Any = reactor


class InotifyTests(FileWatchContract, TestCase):
    """By inotify."""

    skip = missing("file:proc/sys/fs/inotify/max_user_watches")

    def make(self) -> IFileWatch:
        # The descriptor is closed in the reactor's next turn.
        self.addCleanup(lambda: deferLater(REACTOR, 0.01, lambda: None))
        return FileWatch(REACTOR)

    async def settle(self) -> None:
        for _ in range(25):
            await deferLater(REACTOR, (EACH + 0.25) / 25, lambda: None)
            if self.told:
                return

    async def test_at_once(self) -> None:
        """It is told without waiting, once it is closed and not before; reading it is not told."""
        with self.file.open("w") as out:
            out.write("half")
            out.flush()
            await deferLater(REACTOR, 0.05, lambda: None)
            self.assertEqual(self.told, 0)
        await deferLater(REACTOR, 0.05, lambda: None)
        self.assertEqual(self.told, 1)
        self.file.read_text()
        await deferLater(REACTOR, 0.05, lambda: None)
        self.assertEqual(self.told, 1)

    async def test_too_many(self) -> None:
        """Where the kernel has no more watches to give, the file is looked at until it has."""
        self.end()
        module = load_inotify()
        scarce = _Scarce(module)
        self.told = 0
        self.end = FileWatch(REACTOR, lambda: scarce).watch(self.file, self._tell)
        await self.noticed()
        scarce.left = 1
        await self.noticed()
        self.assertEqual(scarce.left, 0)
        await deferLater(REACTOR, EACH + 0.2, lambda: None)
        self.assertEqual(self.told, 0)
        self.file.write_text("second")
        await self.noticed()


class _Scarce:
    """The module for inotify, with only so many notifiers left."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def INotify(self, reactor: Any) -> Any:
        if not self.left:
            raise self._module.INotifyError("none left")
        self.left -= 1
        return self._module.INotify(reactor)
