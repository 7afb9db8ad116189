"""Running the scripts of OS definitions, each in a session of its own (see `scripts`)."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.agent import log_room, os_definitions, os_environment
from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.agent.scripts import TOO_LATE, Scripts, Session, need_tools
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import DomainSpec, RunOs

LINES_TOLD = 20
VERIFY_TIME = 60.0
RUN_TIME = 7000.0
LOG_READ = 64 * 1024  # bytes of a log's end that are looked at
LOG_SIZE = log_room.KEPT  # bytes of a log that are kept, the last ones
LOGS_KEPT = 500
LONGEST = 128 * 1024 - 1  # bytes the kernel takes as one variable
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@implementer(IOsRunner)
class OsRunner:
    """
    `IOsRunner` over real directories and processes.

    :param log_dir: where the output of scripts is kept: the end of it, and of the latest scripts.
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
        self._search_path, self._log_dir = tuple(search_path), log_dir
        self._scripts = Scripts(run_dir, processes, clock, in_thread)
        self._now, self._in_thread = now, in_thread
        self._count = 0

    async def clean(self) -> None:
        """End the scripts an agent before this one left running."""
        await self._scripts.clean()

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

    async def disk_script(
        self, direction: Literal["import", "export"], domain: DomainSpec, index: int, paths: Sequence[str]
    ) -> Mapping[str, Any]:
        """See `IOsRunner.disk_script`."""
        definition = await self._definition(domain.os)
        environment = os_environment.for_disk(direction, domain, definition, paths, index)
        _check(environment)
        script = str(Path(definition.path) / direction)
        return {"command": [script], "environment": environment, "folder": definition.path}

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
        _check(environment)
        self._count += 1
        label = f"{command[0]}-{definition.name}-{what}".replace("/", "_")[:180]
        label = f"{label}-{self._now():.3f}-{self._count}"
        log = self._log_dir / f"{label}.log"
        await self._in_thread(_prepare, log)
        session = Session(
            command=(str(Path(definition.path) / command[0]), *command[1:]),
            environment=environment,
            folder=definition.path,
            log=log,
            label=label,
            mark=f"OS_NAME={environment['OS_NAME']}",
            seconds=seconds,
        )
        try:
            status = await self._scripts.run(session)
        except OSError as e:
            raise StepFailed(f"OS {command[0]} script of {definition.name}: {e.strerror}", "os") from e
        finally:
            await self._in_thread(_shorten, log)
        if status:
            lines = await self._in_thread(_last_lines, log)
            how = "took too long" if status == TOO_LATE else f"exited with {status}"
            text = f"OS {command[0]} script of {definition.name} {how}, last lines in its log:\n"
            raise StepFailed(text + "\n".join(lines), "os")


def _check(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name):
            raise StepFailed(f"the script's environment cannot have a variable {name!r}", "os")
        if "\x00" in value:
            raise StepFailed(f"{name}: a value for a script cannot have a NUL byte", "os")
        try:
            size = len(os.fsencode(f"{name}={value}"))
        except UnicodeEncodeError as e:
            raise StepFailed(f"{name}: a value for a script has to be text", "os") from e
        if size >= LONGEST:
            raise StepFailed(f"{name}: a value for a script can have {LONGEST} bytes at most", "os")


# In threads.


def _prepare(log: Path) -> None:
    need_tools("os")
    try:
        log.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        _remove_old(log.parent)
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as e:
        raise StepFailed(f"{e.filename}: {e.strerror}", "os") from e


def _remove_old(folder: Path) -> None:
    """Room for one more; others may remove logs, too."""
    ages = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(folder) if entry.is_file())
    for _, path in ages[: max(0, len(ages) - LOGS_KEPT + 1)]:
        Path(path).unlink(missing_ok=True)


def _shorten(log: Path) -> None:
    """The script has ended, so nobody writes it any more."""
    try:
        size = log.stat().st_size
        if size <= LOG_SIZE:
            return
        with log.open("rb") as f:
            f.seek(size - LOG_SIZE)
            end = f.read()
        log.write_bytes(b"[%d bytes left out]\n" % (size - len(end)) + end)
    except OSError:
        return  # its folder is full or away: what matters is how the script ended


def _last_lines(log: Path) -> list[str]:
    with log.open("rb") as f:
        f.seek(max(0, f.seek(0, os.SEEK_END) - LOG_READ))
        return f.read().decode(errors="replace").splitlines()[-LINES_TOLD:]
