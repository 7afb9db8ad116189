"""
Starts daemons by forking a process that has loaded the program already.

A suite that kills daemons starts hundreds; most of what each start costs is loading the same modules.  What
is forked is a process like any other: a session, a log, an environment, a pid file of its own
(`twisted_rapi.testing.forking`).
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from twisted_rapi.testing.forking import Loaded, load, serve, write_to

LOADED = (
    "twisted_rapi.tap",
    "twisted_rapi.agent.tap",
    "twisted.scripts.twistd",
    "twisted.internet.epollreactor",
)
"""What both daemons load; none of it installs a reactor."""


@attrs.define
class Born:
    """
    A process that a nursery has started; what `subprocess.Popen` offers, as far as it is used.

    It is watched by a descriptor of its own: another process that gets its number later is never meant.
    """

    pid: int
    _watched: int

    @classmethod
    def of(cls, pid: int) -> "Born":
        """The process with this number; it may have ended already."""
        try:
            return cls(pid, os.pidfd_open(pid))
        except ProcessLookupError:
            return cls(pid, -1)

    def poll(self) -> int | None:
        """A number once it has ended."""
        return self._over(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """
        Until it has ended.

        :raises subprocess.TimeoutExpired: it has not in time.
        """
        over = self._over(timeout)
        if over is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return over

    def _over(self, seconds: float | None) -> int | None:
        if self._watched >= 0:
            poll = select.poll()
            poll.register(self._watched, select.POLLIN)
            if not poll.poll(None if seconds is None else seconds * 1000):
                return None
            os.close(self._watched)
            self._watched = -1
        return 0

    def send_signal(self, sig: int) -> None:
        """Send it one, if it is there."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._watched, sig)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A loaded process that waits for what to become."""

    def __init__(self) -> None:
        self._loaded = Loaded("twisted_rapi.testing.nursery", start_new_session=True)

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Born:
        """Run ``twistd`` with these arguments."""
        asked = {"arguments": list(arguments), "log": str(log), "environment": dict(environment)}
        return Born.of(self._loaded.ask(**asked))

    def end(self) -> None:
        """It is no longer needed; what it has started goes on."""
        self._loaded.end()


def main(descriptor: int) -> None:
    """Fork for each line that comes; in the child, become what it says."""
    loaded = load(LOADED)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asked = serve(descriptor, lambda pid: pid)
    if asked is not None:
        _become(asked)
        loaded["twisted.scripts.twistd"].run()


def _become(asked: Mapping[str, Any]) -> None:
    """Leave what the parent had."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    write_to(asked["log"], os.O_APPEND, 0o644)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["twistd", *asked["arguments"]]


if __name__ == "__main__":
    main(int(sys.argv[1]))
