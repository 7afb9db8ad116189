"""
Running the scripts of OS definitions.

Note [No script outlives its agent].  A script that goes on writing to a disk after its agent was killed could
meet the next attempt at the same disk.  So each runs in a session of its own whose leader dies with the agent
(``setpriv --pdeathsig``), its process group is noted in a file, and an agent that starts ends what is left.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rapi.agent import os_definitions, os_environment
from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import RunOs

LINES_TOLD = 20
VERIFY_TIME = 60.0
RUN_TIME = 7000.0
# sh -c is needed to put the output in the log from the first byte on; "$@" is the script.
LAUNCH = ("/usr/bin/setpriv", "--pdeathsig", "KILL", "/bin/sh", "-c", 'exec "$@" </dev/null >>"$0" 2>&1')


class _Exit(ProcessProtocol):
    """Fires `ended` with the exit status, or the signal as a negative number."""

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        """The script and all who hold its output have ended."""
        value: Any = reason.value
        status = value.exitCode if value.exitCode is not None else -(value.signal or 0)
        if not self.ended.called:
            self.ended.callback(status)


@implementer(IOsRunner)
class OsRunner:
    """
    `IOsRunner` over real directories and processes.

    :param log_dir: where the output of scripts is kept.
    :param run_dir: where it is noted which scripts run.
    """

    _log = Logger()

    def __init__(
        self,
        search_path: Sequence[Path],
        log_dir: Path,
        run_dir: Path,
        processes: IReactorProcess,
        clock: IReactorTime,
        now: Callable[[], float],
        in_thread: InThread,
    ) -> None:
        self._search_path, self._log_dir, self._run_dir = tuple(search_path), log_dir, run_dir
        self._processes, self._clock, self._now, self._in_thread = processes, clock, now, in_thread
        self._count = 0

    async def clean(self) -> None:
        """End the scripts an agent before this one left running."""
        await self._in_thread(_end_leftovers, self._run_dir)

    async def discover(self) -> tuple[OsSeen, ...]:
        """See `IOsRunner.discover`."""
        found: tuple[OsSeen, ...] = await self._in_thread(os_definitions.discover, self._search_path)
        return found

    async def verify(self, os: str, osparams: Mapping[str, Any]) -> None:
        """See `IOsRunner.verify`."""
        definition = await self._definition(os)
        if 20 not in definition.api_versions:
            return
        unknown = sorted(set(osparams) - {name for name, _ in definition.parameters})
        if unknown:
            raise StepFailed(f"OS {os} has no parameter {', '.join(unknown)}", "os")
        environment = os_environment.basic(definition, os, osparams)
        await self._script(definition, ["verify", "parameters"], environment, "verify", VERIFY_TIME)

    async def run(self, step: RunOs, paths: Sequence[str]) -> None:
        """See `IOsRunner.run`."""
        definition = await self._definition(step.domain.os)
        script = step.action
        if script == "create" and not definition.trusted:
            raise StepFailed(f"OS {definition.name} is not trusted, its create script is not run", "os")
        environment = os_environment.for_step(step, definition, paths)
        await self._script(definition, [script], environment, step.instance, RUN_TIME)

    async def _definition(self, os: str) -> OsSeen:
        name, variant = os_definitions.split(os)
        found = next((o for o in await self.discover() if o.name == name), None)
        if found is None:
            raise StepFailed(f"Directory for OS {name} not found in search path", "os")
        if found.invalid:
            raise StepFailed(found.invalid, "os")
        if variant and variant not in found.variants:
            self._log.info("OS {os}: variant not listed, used all the same", os=os)
        return found

    async def _script(
        self,
        definition: OsSeen,
        command: list[str],
        environment: Mapping[str, str],
        what: str,
        seconds: float,
    ) -> None:
        if any("\x00" in value for value in environment.values()):
            raise StepFailed("a value for the script's environment has a NUL byte", "os")
        self._count += 1
        label = f"{command[0]}-{definition.name}-{what}-{self._now():.3f}-{self._count}"
        log = self._log_dir / f"{label.replace('/', '_')}.log"
        await self._in_thread(_prepare, log, self._run_dir)
        status = await self._spawn(definition, command, environment, log, seconds)
        if status:
            lines = await self._in_thread(_last_lines, log)
            how = "took too long" if status == _TOO_LATE else f"exited with {status}"
            text = f"OS {command[0]} script of {definition.name} {how}, last lines in its log:\n"
            raise StepFailed(text + "\n".join(lines), "os")

    async def _spawn(
        self,
        definition: OsSeen,
        command: list[str],
        environment: Mapping[str, str],
        log: Path,
        seconds: float,
    ) -> int:
        exit_of = _Exit()
        script = str(Path(definition.path) / command[0])
        arguments = [*LAUNCH, str(log), script, *command[1:]]
        process: Any = self._processes.spawnProcess(
            exit_of,
            LAUNCH[0],
            arguments,
            env=dict(environment),
            path=definition.path,
            childFDs={},
            usePTY=False,
        )
        return await self._followed(process, exit_of, seconds)

    async def _followed(self, process: Any, exit_of: _Exit, seconds: float) -> int:
        pid = process.pid
        note = self._run_dir / str(pid)
        await self._in_thread(_note, note, pid)
        waiting: Deferred[int] = Deferred()
        exit_of.ended.addCallback(lambda status: None if waiting.called else waiting.callback(status))
        waiting.addTimeout(seconds, self._clock)
        try:
            return await waiting
        except DeferredTimeout:
            return _TOO_LATE
        finally:
            await self._in_thread(_end_group, pid)
            await self._in_thread(note.unlink, True)


_TOO_LATE = -1000


# In threads.


def _prepare(log: Path, run_dir: Path) -> None:
    try:
        log.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as e:
        raise StepFailed(f"{e.filename}: {e.strerror}", "os") from e


def _last_lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_TOLD:]


def _started(pid: int) -> str:
    """When a process started, as the kernel counts; empty for one that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(entry.parent.name)
            found += [child, *_descendants(child)]
    return found


def _note(note: Path, pid: int) -> None:
    note.write_text(_started(pid), encoding="ascii")


def _end_group(pid: int) -> None:
    """End a process and all that descend from it."""
    for victim in (*_descendants(pid), *([pid] if Path(f"/proc/{pid}").exists() else [])):
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _end_leftovers(run_dir: Path) -> None:
    for note in run_dir.glob("[0-9]*"):
        pid = int(note.name)
        if (began := _started(pid)) and began == note.read_text(encoding="ascii"):
            _end_group(pid)
        note.unlink(missing_ok=True)
