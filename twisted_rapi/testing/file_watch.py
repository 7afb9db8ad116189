"""Changes of files that a test has looked for."""

from collections.abc import Callable
from pathlib import Path

from zope.interface import implementer

from twisted_rapi.web.watching import IFileWatch


@implementer(IFileWatch)
class LookedAt:
    """`IFileWatch` that finds changes when `look` is called, and at no other time."""

    def __init__(self) -> None:
        self._watched: dict[object, tuple[Path, Callable[[], None]]] = {}
        self._known: dict[object, object] = {}

    def watch(self, file: Path, changed: Callable[[], None]) -> Callable[[], None]:
        """See `IFileWatch.watch`."""
        key = object()
        self._watched[key] = (file, changed)
        self._known[key] = _stamp(file)

        def end() -> None:
            self._watched.pop(key, None)

        return end

    def look(self) -> None:
        """Tell of what has changed since it was watched, or since this was called last."""
        for key, (file, changed) in list(self._watched.items()):
            stamp = _stamp(file)
            if stamp != self._known[key]:
                self._known[key] = stamp
                changed()


def _stamp(file: Path) -> object:
    try:
        found = file.stat()
    except OSError as e:
        return e.errno
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
