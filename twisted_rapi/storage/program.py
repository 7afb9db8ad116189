"""Running a tool of the node: without a shell, for a bounded time, with its output kept apart."""

import contextlib
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from twisted_rapi.errors import StepFailed
from twisted_rapi.storage.file import InThread

TOO_LATE = -1000
"""Instead of an exit status: the tool was killed because it took too long."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_OUTPUT = 64 * 1024 * 1024  # bytes; a pool of 200 000 images lists in about 40 MB
_MOST_ERRORS = 64 * 1024
_ERRORS = ("rbd: ", "ceph: ", "Error ")  # what lines begin with that say what is wrong
_TOLD = 300  # letters of what a tool says


@attrs.frozen
class Ended:
    """How a tool ended: exit status (a signal as a negative number) or `TOO_LATE`, and what it printed."""

    status: int
    output: bytes = b""
    errors: str = ""

    def why(self) -> str:
        """What is told of one that failed: the last line of its errors, advice that follows one left out."""
        if self.status == TOO_LATE:
            return "it took too long and was ended"
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        lines = [line for line in lines if line.startswith(_ERRORS)] or lines
        told = lines[-1][:_TOLD] if lines else "it did not say why"
        return f"{told} (exit status {self.status})"


Run = Callable[[Sequence[str], float], Awaitable[Ended]]
"""
Runs a program with arguments for at most so many seconds; see `Programs.run`.

It raises `StepFailed`, kind ``storage``, when the program is not there.
"""


class _Output(ProcessProtocol):
    """Collects what is printed, and fires `ended` with how it ended."""

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred(lambda _: self._kill())
        self.output = bytearray()
        self.errors = bytearray()
        self.too_much = self.late = False

    def give_up(self) -> None:
        """End it: it took too long."""
        self.late = True
        self._kill()

    def _kill(self) -> None:
        if self.transport is not None:
            with contextlib.suppress(ProcessExitedAlready):
                self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        """Keep it; more than `MOST_OUTPUT` ends the tool."""
        if len(self.output) + len(data) > MOST_OUTPUT:
            self.too_much = True
            self._kill()
        else:
            self.output += data

    def errReceived(self, data: bytes) -> None:
        """Keep the end of it."""
        self.errors += data
        del self.errors[:-_MOST_ERRORS]

    def processEnded(self, reason: Failure) -> None:
        """Tell how."""
        value: Any = reason.value
        status = value.exitCode if value.exitCode is not None else -(value.signal or 0)
        if not self.ended.called:  # who asked may have gone
            self.ended.callback(status)


class Programs:
    """
    Runs tools as processes of the agent; no word of theirs is read by a shell.

    :param environment: beside the usual search path, or with another one.
    """

    def __init__(
        self,
        processes: IReactorProcess,
        clock: IReactorTime,
        in_thread: InThread,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._processes, self._clock, self._in_thread = processes, clock, in_thread
        self._environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", **(environment or {})}

    async def run(self, command: Sequence[str], seconds: float) -> Ended:
        """
        How the program ended; after so many seconds it is killed.

        :raises StepFailed: kind ``storage``: it is not installed, or prints too much.
        """
        program: str | None = await self._in_thread(shutil.which, command[0], 1, self._environment["PATH"])
        if program is None:
            raise StepFailed(f"{command[0]} is not installed on this node", "storage")
        seen = _Output()
        self._processes.spawnProcess(seen, program, list(command), env=self._environment)
        late = self._clock.callLater(seconds, seen.give_up)
        try:
            status = await seen.ended
        finally:
            if late.active():
                late.cancel()
        if seen.late:
            return Ended(TOO_LATE)
        if seen.too_much:
            raise StepFailed(f"{command[0]} printed more than {MOST_OUTPUT} bytes", "storage")
        return Ended(status, bytes(seen.output), seen.errors.decode(errors="replace"))
