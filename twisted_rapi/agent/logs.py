"""The logs that a node shows: what guests write on their serial ports, and what the agent says itself."""

import re
from collections import deque
from pathlib import Path

from twisted.application.service import Service
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEventAsClassicLogText, globalLogPublisher
from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import ReadLog

MOST = 1024 * 1024  # bytes of a log that are read, the last ones
KEPT = 1000  # lines of the agent's own log
LONGEST = 2000  # characters of such a line
_NAME = re.compile(r"[^/\0]{1,240}")


@implementer(ILogObserver)
class History(Service):
    """Keeps the last lines of what the process logs, from when it begins."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT)

    def startService(self) -> None:
        """Begin to listen."""
        super().startService()
        globalLogPublisher.addObserver(self)

    def stopService(self) -> None:
        """No longer listen; what was kept stays."""
        super().stopService()
        globalLogPublisher.removeObserver(self)

    def __call__(self, event: LogEvent) -> None:
        """Keep an event; those that are only for debugging are not."""
        if event.get("log_level") is LogLevel.debug:
            return
        text = formatEventAsClassicLogText(event)
        for line in (text or "").splitlines():
            self._lines.append(line[:LONGEST])

    def text(self) -> str:
        """What was kept."""
        return "\n".join(self._lines)


def last(text: str, lines: int) -> str:
    """The last lines of a text; what follows the last end of a line is one, even if nothing does."""
    return "\n".join(text.split("\n")[-lines:])


def tail(file: Path) -> str:
    """
    The end of a file as text, whatever bytes it has; from the beginning of a line where it is cut.

    :raises OSError: it cannot be read.
    """
    with file.open("rb") as f:
        size = f.seek(0, 2)
        f.seek(max(0, size - MOST))
        found = f.read(MOST)
    if size > MOST:
        found = found.partition(b"\n")[2]
    return found.replace(b"\r\n", b"\n").decode("utf-8", "replace")


class NodeLogs:
    """
    Reads the logs of this node.  Blocks: for threads.

    :param serial_dir: where guests' serial ports are written to; empty: nowhere.
    :param log_file: what the agent logs to; empty: `history` has what there is.
    """

    def __init__(self, serial_dir: str, log_file: str, history: History) -> None:
        self._serial_dir, self._log_file, self._history = serial_dir, log_file, history

    def __call__(self, step: ReadLog) -> str:
        """
        What a step asks for.

        :raises StepFailed: there is no such log.
        """
        try:
            text = self._console(step.instance) if step.instance else self._own()
        except OSError as e:
            raise StepFailed(f"the log cannot be read: {e.strerror}", "log") from e
        return last(text, max(1, step.lines))

    def _own(self) -> str:
        return tail(Path(self._log_file)) if self._log_file else self._history.text()

    def _console(self, name: str) -> str:
        if not self._serial_dir:
            raise StepFailed("this node does not keep what guests write (serial_dir in agent.toml)", "log")
        if not _NAME.fullmatch(name):
            raise StepFailed("no guest has such a name", "log")
        try:
            return tail(Path(self._serial_dir, f"{name}.log"))
        except FileNotFoundError:
            return ""  # it has not been started here
