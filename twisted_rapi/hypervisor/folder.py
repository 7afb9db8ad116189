"""Noticing changes in a folder, by the kernel's word (inotify)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import inotify
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

Watch = Callable[[Path, Callable[[], None]], Callable[[], None]]
"""Calls the function after each change of a file in the folder; answers how to end that."""

_CHANGES = inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO | inotify.IN_MOVED_FROM | inotify.IN_DELETE


def unwatched(_: Path, __: Callable[[], None]) -> Callable[[], None]:
    """A `Watch` that notices nothing."""
    return lambda: None


def watch_with(reactor: Any) -> Watch:
    """A `Watch` by inotify."""

    def watch(folder: Path, changed: Callable[[], None]) -> Callable[[], None]:
        notifier = inotify.INotify(reactor)
        notifier.startReading()
        notifier.watch(FilePath(str(folder)), _CHANGES, callbacks=[lambda *_: changed()])
        return lambda: notifier.connectionLost(Failure(ConnectionDone()))

    return watch
