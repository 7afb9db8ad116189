"""The daemons of a node, found by what they are told, so that any process can cause their faults."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from twisted_rapi.testing.lab.commands import LabError, inside, within
from twisted_rapi.testing.lab.founding import etcd_command
from twisted_rapi.testing.lab.layout import AGENT, API, ETCD, Layout, Place
from twisted_rapi.testing.lab.removal import processes
from twisted_rapi.testing.processes import await_true, twistd

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
PATIENCE = 60.0  # seconds until a daemon that does not answer has failed


def clock_file(node: Place) -> Path:
    """What the time of day of a node's daemons differs by, where it can be set."""
    return node.folder / "clock"


@attrs.frozen
class Kind:
    """
    :ivar port: where it listens on its node's address when it can be used.
    :ivar mark: what its command has that no other on its node has, below the node's folder.
    """

    name: str
    port: int
    mark: str
    command: Callable[[Layout, Place], tuple[str, ...]]


def _twistd(plugin: str, file: str) -> Callable[[Layout, Place], tuple[str, ...]]:
    return lambda _, node: twistd(plugin, node.folder / "etc" / file, node.folder)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("etcd", ETCD, "etcd", etcd_command),
        Kind("agent", AGENT, "etc/agent.toml", _twistd("rapi-agent", "agent.toml")),
        Kind("rapi", API, "etc/rapi.toml", _twistd("rapi", "rapi.toml")),
    )
}
"""In the order they are started in."""


@attrs.define(eq=False)
class LabDaemon:
    """One daemon of one node."""

    layout: Layout
    node: Place
    kind: Kind
    _child: "subprocess.Popen[bytes] | None" = None

    @property
    def label(self) -> str:
        """What it is called."""
        return f"{self.kind.name} of {self.node.short}"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.node.folder / f"{self.kind.name}.out"

    def pids(self) -> list[int]:
        """Its process, when it runs."""
        mark = os.fsencode(self.node.folder / self.kind.mark)
        found = [pid for pid in processes(self.node.namespace) if mark in _arguments(pid)]
        # One that was started just now may not have come to its namespace yet.
        child = self._child
        return found if child is None or child.poll() is not None else sorted({*found, child.pid})

    def start(self) -> None:
        """Start it unless it runs, without waiting for it."""
        if self.pids():
            return
        self._reap()
        (self.node.folder / f"{self.kind.name}.pid").unlink(missing_ok=True)
        command = (*inside(self.node.namespace), *self.kind.command(self.layout, self.node))
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment()},
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        # Guests are emulated where nobody says otherwise: their kernel may hang on the acceleration there is.
        found = {"RAPI_ACCELERATION": os.environ.get("RAPI_ACCELERATION", "tcg")}
        if not self.layout.clocks or self.kind.name == "etcd":
            return found  # etcd takes the time from the kernel without asking any library
        return found | {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(clock_file(self.node)),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }

    def await_ready(self, seconds: float = PATIENCE) -> None:
        """
        Wait until it listens; one that ends is started again, as a supervisor would.

        A daemon that cannot give the address up in time ends itself (``docs/ha.rst``).

        :raises LabError: it does not in time.
        """
        deadline = time.monotonic() + seconds
        while not self.listens():
            if time.monotonic() > deadline:
                raise LabError(f"{self.label} is not there\n{self.log_end()}")
            if not self.pids():
                time.sleep(1.0)
                self.start()
            time.sleep(0.05)

    def listens(self) -> bool:
        """Whether somebody answers at its port."""
        return within(self.node.namespace, self._port_open)

    def _port_open(self) -> bool:
        try:
            with socket.create_connection((self.node.address, self.kind.port), timeout=1.0):
                return True
        except OSError:
            return False

    def log_end(self, size: int = 3000) -> str:
        """The last part of its output."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def tell(self, what: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        for pid in self.pids():
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                continue

    def end(self, how: signal.Signals = signal.SIGKILL, seconds: float = 30.0) -> None:
        """
        End it, and wait until it has.

        :raises TimeoutError: it does not.
        """
        self.tell(how)
        await_true(f"{self.label} has ended", lambda: not self.pids(), seconds)
        self._reap()

    def _reap(self) -> None:
        if self._child is not None:
            self._child.poll()


def _arguments(pid: int) -> set[bytes]:
    try:
        return set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    except OSError:
        return set()


def daemons_of(layout: Layout) -> dict[tuple[str, str], LabDaemon]:
    """All daemons by node (short name) and kind."""
    return {
        (node.short, name): LabDaemon(layout, node, kind)
        for name, kind in KINDS.items()
        for node in layout.nodes
    }


def missing_faketime() -> bool:
    """Whether the time of day of daemons cannot be set here."""
    return not Path(FAKETIME).exists()
