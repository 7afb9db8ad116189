"""The log file as a service."""

from pathlib import Path
from typing import TextIO

from twisted.application.service import Service
from twisted.logger import ILogObserver, globalLogPublisher

from twisted_rapi.observe.log import observer


class LogToFile(Service):
    """Appends the process's log to a file while it runs, as JSON lines."""

    def __init__(self, path: Path, level: str = "info") -> None:
        self._path, self._level = path, level
        self._out: TextIO | None = None
        self._observer: ILogObserver | None = None

    def startService(self) -> None:
        """Open the file."""
        super().startService()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._out = self._path.open("a", encoding="utf-8")
        self._observer = observer(self._out, self._level)
        globalLogPublisher.addObserver(self._observer)

    def stopService(self) -> None:
        """Close it."""
        super().stopService()
        if self._observer is not None and self._out is not None:
            globalLogPublisher.removeObserver(self._observer)
            self._out.close()
