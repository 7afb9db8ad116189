"""What every `IFileWatch` does."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.web.watching import IFileWatch

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class FileWatchContract(_Base):
    """Mixed into a test case that makes the watch with `make` and lets it notice with `settle`."""

    def make(self) -> IFileWatch:
        """What is tested."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Let it notice what has changed, or that nothing has."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Watch a file."""
        self.folder = Path(self.mktemp()).resolve() / "etc"
        self.folder.mkdir(parents=True)
        self.file = self.folder / "users"
        self.file.write_text("first")
        self.told = 0
        self.watch = self.make()
        self.end: Callable[[], None] = self.watch.watch(self.file, self._tell)
        self.addCleanup(self._end)

    def _end(self) -> None:
        self.end()

    def _tell(self) -> None:
        self.told += 1

    async def noticed(self) -> None:
        """It is told, and what comes later is told anew."""
        await self.settle()
        self.assertGreater(self.told, 0)
        self.told = 0

    def replace(self, text: str) -> None:
        """Put another file in the place of this one, as is done to be safe."""
        part = self.folder / ".part"
        part.write_text(text)
        part.replace(self.file)

    async def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(IFileWatch, self.watch)

    async def test_written(self) -> None:
        """Writing into the file is told, each time."""
        for text in ("second", "and third"):
            self.file.write_text(text)
            await self.noticed()

    async def test_replaced(self) -> None:
        """Replacing it is told, each time, and writing into the new one, too."""
        for text in ("second", "and third"):
            self.replace(text)
            await self.noticed()
        self.file.write_text("4")
        await self.noticed()

    async def test_removed(self) -> None:
        """Its end is told, and that it is there again."""
        self.file.unlink()
        await self.noticed()
        self.file.write_text("again")
        await self.noticed()

    async def test_link(self) -> None:
        """A file behind a link is watched where it is, also after the link leads elsewhere."""
        for name in ("a", "b"):
            target = self.folder.parent / name
            target.mkdir()
            (target / "users").write_text(name)
        self.file.unlink()
        self.file.symlink_to("../a/users")
        await self.noticed()
        (self.folder.parent / "a/users").write_text("changed there")
        await self.noticed()
        (self.folder / "next").symlink_to("../b/users")
        os.replace(self.folder / "next", self.file)
        await self.noticed()
        (self.folder.parent / "b/users").write_text("changed in the other")
        await self.noticed()

    async def test_folder(self) -> None:
        """A folder that goes and comes again does not hide the file for good."""
        self.folder.rename(self.folder.parent / "old")
        await self.noticed()
        self.folder.mkdir()
        self.file.write_text("in the new one")
        await self.noticed()
        self.file.write_text("in the new one, later")
        await self.noticed()

    async def test_ended(self) -> None:
        """After its end nothing is told; ending it again is well."""
        self.end()
        self.file.write_text("second")
        await self.settle()
        self.assertEqual(self.told, 0)
        self.end()
