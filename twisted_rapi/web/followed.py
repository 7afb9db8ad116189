"""A file whose text is kept in memory, and read again whenever it changes."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_rapi.web.watching import IFileWatch

InThread = Callable[..., Awaitable[Any]]


class FollowedFile(Service):
    """
    What follows a file; `taken` is called with its text whenever that is another.

    :cvar WHAT: what it has, for the log.
    :param in_thread: reads the file elsewhere.
    :param watch: tells when the file is to be read again.
    :ivar told: called with the text of the file whenever that is another one.
    """

    _log = Logger()
    WHAT = ""

    def __init__(self, file: Path, in_thread: InThread, watch: IFileWatch) -> None:
        self._file, self._in_thread, self._watch = file, in_thread, watch
        self._text: str | None = None
        self._reading: Deferred[None] | None = None
        self._again = False
        self._end: Callable[[], None] = lambda: None
        self.told: Callable[[str], None] = lambda _: None

    @property
    def text(self) -> str:
        """What the file said when it was read last."""
        return self._text or ""

    def taken(self, text: str) -> None:
        """Work with this text from now on."""
        raise NotImplementedError

    def startService(self) -> None:
        """Read the file, and again whenever it changes."""
        super().startService()
        self._end = self._watch.watch(self._file, self._look)
        self._look()

    def stopService(self) -> Deferred[None] | None:
        """No longer read the file."""
        super().stopService()
        self._end()
        return self._reading

    def _look(self) -> None:
        """Read the file; what is told meanwhile makes it be read once more."""
        if self._reading is not None:
            self._again = True
            return
        self._reading = Deferred.fromCoroutine(self.refresh())
        self._reading.addErrback(
            lambda f: self._log.failure(
                "the {what} file could not be read; the {what} stay as they were", f, what=self.WHAT
            )
        )
        self._reading.addBoth(self._looked)

    def _looked(self, _: object) -> None:
        self._reading = None
        if self._again and self.running:
            self._again = False
            self._look()

    async def refresh(self) -> None:
        """
        Read the file.

        One that is missing or may not be read is as an empty one; one that is no text changes nothing.
        """
        try:
            text = await self._in_thread(_read, self._file)
        except UnicodeDecodeError as e:
            self._log.error(
                "the {what} file is no text, the {what} stay as they were: {why}", what=self.WHAT, why=str(e)
            )
            return
        except OSError as e:
            self._log.warn("there are no {what}: {why}", what=self.WHAT, why=str(e))
            text = ""
        if text != self._text:
            self._text = text
            self.taken(text)
            self.told(text)


def _read(file: Path) -> str:
    """The text of the file; none of one that is not there."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
