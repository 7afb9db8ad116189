"""Running scripts off the reactor's thread, each in a session of its own (see `os_session`)."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.agent import log_room, os_session
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed

CUT_EVERY = 0.5  # seconds
TOO_LATE = -1000
"""Instead of an exit status: the script was ended because it took too long."""


@attrs.frozen(kw_only=True)
class Session:
    """
    A script that is to be run.

    :ivar command: the script and its arguments.
    :ivar environment: all of it.
    :ivar folder: where it runs.
    :ivar log: gets what it prints; of what is much, room is kept for the end only (see `log_room`).
    :ivar outputs: further files it writes that are kept short like that.
    :ivar label: names it among those that run; no other has it.
    :ivar mark: a variable of the environment, as ``NAME=value``, that strangers do not have.
    :ivar seconds: how long it may take.
    :ivar files: further descriptors it has: its number -> ours.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    log: Path
    label: str
    mark: str
    seconds: float
    files: Mapping[int, int] = attrs.field(factory=dict)
    outputs: tuple[Path, ...] = ()


class _Exit(ProcessProtocol):
    """Fires `ended` with the exit status, or the signal as a negative number."""

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        """The supervisor has ended; what the script left running may not have."""
        value: Any = reason.value
        status = value.exitCode if value.exitCode is not None else -(value.signal or 0)
        if not self.ended.called:
            self.ended.callback(status)


class Scripts:
    """
    Runs scripts so that nothing of them outlives their end, or their agent.

    :param run_dir: where it is noted which scripts run.
    """

    _log = Logger()

    def __init__(
        self, run_dir: Path, processes: IReactorProcess, clock: IReactorTime, in_thread: InThread
    ) -> None:
        self._run_dir, self._processes, self._clock, self._in_thread = run_dir, processes, clock, in_thread

    async def clean(self) -> None:
        """End the scripts an agent before this one left running."""
        for note in await self._in_thread(_end_leftovers, self._run_dir):
            self._log.error("{note}: what an earlier script runs could not be ended", note=note)

    async def run(self, session: Session) -> int:
        """
        The script's exit status, a signal as a negative number, or `TOO_LATE`.

        :raises OSError: it cannot be begun.
        """
        exit_of = _Exit()
        await self._in_thread(_make_folder, self._run_dir)
        note = self._run_dir / session.label
        arguments = os_session.command(session.log, note, session.command, session.mark)
        process: Any = self._processes.spawnProcess(
            exit_of,
            arguments[0],
            arguments,
            env=dict(session.environment),
            path=session.folder,
            childFDs=dict(session.files),
            usePTY=False,
        )
        stop_cutting = self._cutting((session.log, *session.outputs))
        try:
            return await self._followed(process, exit_of, note, session.seconds)
        finally:
            await stop_cutting()

    def _cutting(self, files: Sequence[Path]) -> Callable[[], Awaitable[None]]:
        """
        Keep files short from now on; answers how to end that.

        They are looked at again and again: what tells of changes would tell of each line.
        """

        async def look() -> None:
            for file in files:
                await self._in_thread(log_room.cut, file)

        looking = LoopingCall(lambda: Deferred.fromCoroutine(look()))
        looking.clock = self._clock
        ended = looking.start(CUT_EVERY, now=False)
        ended.addErrback(lambda f: self._log.failure("output is no longer kept short", f))

        async def end() -> None:
            if looking.running:
                looking.stop()
            await ended

        return end

    async def _followed(self, process: Any, exit_of: _Exit, note: Path, seconds: float) -> int:
        waiting: Deferred[int] = Deferred()
        exit_of.ended.addCallback(lambda status: None if waiting.called else waiting.callback(status))
        waiting.addTimeout(seconds, self._clock)
        try:
            return await waiting
        except DeferredTimeout:
            return TOO_LATE
        finally:
            if not exit_of.ended.called:  # also one that has not come to writing its note
                process.signalProcess("TERM")
            # Also after a good end: what a script leaves running could still write to a disk.
            if not await self._in_thread(os_session.end, note):
                self._log.error("{note}: what the script runs could not be ended", note=note.name)


def need_tools(kind: str) -> None:
    """
    Look for what scripts cannot be run without; blocks.

    :raises StepFailed: of this kind: it is not installed.
    """
    for tool in (os_session.SETSID, os_session.SETPRIV):
        if not os.access(tool, os.X_OK):
            raise StepFailed(f"{tool} is not installed (Debian package util-linux)", kind)


def _make_folder(run_dir: Path) -> None:
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def _end_leftovers(run_dir: Path) -> list[str]:
    return [note.name for note in sorted(run_dir.glob("*")) if not os_session.end(note)]
