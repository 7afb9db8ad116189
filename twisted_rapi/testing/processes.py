"""Daemons as real processes on this machine, for the demo, the acceptance tests and the figures."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from twisted_rapi.testing.nursery import Born, Nursery

_RUN = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


class DidNotStart(Exception):
    """A process ended or stayed silent instead of becoming ready; the text has the end of its log."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def await_true(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """
    Wait until something outside of this process holds; it is asked less often the longer it takes.

    :raises TimeoutError: it does not within `seconds`.
    """
    begun = time.monotonic()
    while not holds():
        passed = time.monotonic() - begun
        if passed > seconds:
            raise TimeoutError(f"after {seconds:g} s still not: {what}")
        time.sleep(min(0.2, max(0.02, passed / 20)))


def port_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


@attrs.define
class Daemon:
    """
    One process with a log file of its own.

    :ivar ready: whether it can be used; asked while it starts.
    :ivar nursery: what starts it, if it is one of our plug-ins (`twistd`) and is to start fast.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] = attrs.field(factory=dict)
    nursery: Nursery | None = None
    _process: subprocess.Popen[bytes] | Born | None = None

    def start(self, wait: bool = True) -> None:
        """
        Start it; with `wait`, until it is ready.

        :raises DidNotStart: it ended, or was not ready within 40 seconds.
        """
        environment = {**os.environ, **self.environment}
        if self.nursery is not None:
            self._process = self.nursery.start(self.command[len(_RUN) :], self.log, environment)
        else:
            self._process = self._anew(environment)
        if wait:
            self.await_ready()

    def _anew(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def await_ready(self, seconds: float = 40.0) -> None:
        """
        Wait until it is ready.

        :raises DidNotStart: it ended, or time ran out.
        """
        try:
            await_true(f"{self.name} is ready", lambda: not self.running or self.ready(), seconds)
        except TimeoutError as e:
            raise DidNotStart(f"{e}\n{self.log_end()}") from e
        if not self.running:
            raise DidNotStart(f"{self.name} ended\n{self.log_end()}")

    def log_end(self, size: int = 3000) -> str:
        """The last part of its log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    @property
    def pid(self) -> int:
        """Its process id, while it has been started."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it with a signal and wait until it is gone; one that does not run is well."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def signal(self, what: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, f"{self.name} was not started"
        self._process.send_signal(what)

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        self.kill(signal.SIGTERM)

    def ended(self, seconds: float) -> bool:
        """Whether it ends by itself within so many seconds."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def twistd(plugin: str, config: Path, directory: Path) -> tuple[str, ...]:
    """The command that runs one of our plug-ins in the foreground, with its pid file in `directory`."""
    pidfile = directory / f"{config.stem}.pid"
    return (*_RUN, "-n", f"--pidfile={pidfile}", plugin, "--config", str(config))
