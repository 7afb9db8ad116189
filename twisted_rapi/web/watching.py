"""
When a file has changed.

Note [How files are watched].  The kernel (inotify) tells of the folder a file is in, as a file that is
replaced by another is no longer the one that was watched; and of the folder a link leads to.  Where that
cannot be had (another system, too many watches, no such folder) the file is said to have perhaps changed
each second.  Changes that other machines make on a shared file system are not told by the kernel: such a file
belongs on a local one.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.filepath import FilePath
from zope.interface import Interface, implementer

EACH = 1.0  # seconds, where the kernel tells nothing


class IFileWatch(Interface):
    """Tells of changes of files."""

    def watch(file: Path, changed: Callable[[], None]) -> Callable[[], None]:
        """
        Call `changed` when the file may be another than before, at the latest two seconds afterwards.

        That is when it was written and closed, replaced, made or removed, or a link to it leads elsewhere.
        It may also be called when nothing of this happened.  Neither file nor folder need to be there.

        :returns: what ends it; `changed` is not called any more.
        """


def load_inotify() -> Any:
    """Twisted's module for inotify; ``None`` where there is none.  Loading it takes a moment."""
    try:
        from twisted.internet import inotify
    except (ImportError, OSError):
        return None
    return inotify


@implementer(IFileWatch)
class FileWatch:
    """
    `IFileWatch` by inotify, or each second.

    :param reactor: reads what the kernel tells, and has a clock.
    :param load: see `load_inotify`.
    """

    def __init__(self, reactor: IReactorTime, load: Callable[[], Any] = load_inotify) -> None:
        self._reactor, self._load = reactor, load

    def watch(self, file: Path, changed: Callable[[], None]) -> Callable[[], None]:
        """See `IFileWatch.watch`."""
        watching = _Watching(self._reactor, self._load(), file, changed)
        watching.begin()
        return watching.end


class _Watching:
    """One file that is watched."""

    def __init__(self, reactor: Any, inotify: Any, file: Path, changed: Callable[[], None]) -> None:
        self._reactor, self._inotify, self._file, self._changed = reactor, inotify, file, changed
        self._notifier: Any = None
        self._folders: set[str] = set()
        self._timer: Any = None

    def begin(self) -> None:
        """Have the kernel tell, or look again in a second."""
        if not self._armed():
            self._timer = self._reactor.callLater(EACH, self._again)

    def end(self) -> None:
        """No longer tell anything."""
        self._changed = lambda: None
        self._disarm()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self) -> None:
        self._timer = None
        self.begin()
        # What was changed while nothing was watched is told, too.
        self._changed()

    def _armed(self) -> bool:
        if self._inotify is None:
            return False
        try:
            self._notifier = self._inotify.INotify(self._reactor)
            self._folders = _folders(self._file)
            for folder in self._folders:
                self._notifier.watch(FilePath(folder), self._mask(), callbacks=[self._told])
        except (self._inotify.INotifyError, OSError):
            self._disarm()
            return False
        self._notifier.startReading()
        return True

    def _mask(self) -> int:
        """What is of interest.  Writing is told when the file is closed, and reading it tells nothing."""
        i = self._inotify
        mask = i.IN_CLOSE_WRITE | i.IN_MOVED | i.IN_CREATE | i.IN_DELETE | i.IN_ATTRIB
        return int(mask | i.IN_DELETE_SELF | i.IN_MOVE_SELF | i.IN_ONLYDIR)

    def _disarm(self) -> None:
        if self._notifier is not None:
            self._notifier.loseConnection()
            self._notifier = None

    def _told(self, watch: object, path: object, mask: int) -> None:
        i = self._inotify
        gone = i.IN_DELETE_SELF | i.IN_MOVE_SELF | i.IN_UNMOUNT | i.IN_IGNORED
        if self._notifier is None:
            return
        if mask & gone or _folders(self._file) != self._folders:
            self._disarm()
            self.begin()
        self._changed()


def _folders(file: Path) -> set[str]:
    return {str(file.parent), os.path.dirname(os.path.realpath(file))}
