"""Running allocator scripts (behaviour.md §7), each in a session of its own (see `scripts`)."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from zope.interface import implementer

from twisted_rapi.agent.interface import IAllocators
from twisted_rapi.agent.scripts import TOO_LATE, Scripts, Session, need_tools
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.records import Params
from twisted_rapi.model.steps import RunAllocator

RUN_TIME = 300.0
LINES_TOLD = 20
MOST_OUTPUT = 12 * 1024 * 1024  # bytes; an answer has to fit into a message
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
_PATH = "/sbin:/bin:/usr/sbin:/usr/bin"


@implementer(IAllocators)
class Allocators:
    """
    `IAllocators` over real directories and processes.

    :param search_path: directories with scripts; the first that has one counts.
    :param state_dir: requests, answers and notes of what runs are kept below while a script runs.
    """

    def __init__(
        self,
        search_path: Sequence[Path],
        state_dir: Path,
        processes: IReactorProcess,
        clock: IReactorTime,
        in_thread: InThread,
        seconds: float = RUN_TIME,
    ) -> None:
        self._search_path, self._work_dir, self._in_thread = (
            tuple(search_path),
            state_dir / "iallocator",
            in_thread,
        )
        # Where an agent that starts looks for what an earlier one left running.
        self._scripts = Scripts(state_dir / "scripts", processes, clock, in_thread)
        self._seconds = seconds

    async def clean(self) -> None:
        """End the scripts an agent before this one left running, and remove what they worked on."""
        await self._scripts.clean()
        await self._in_thread(shutil.rmtree, self._work_dir, True)

    async def names(self) -> tuple[str, ...]:
        """See `IAllocators.names`."""
        found: tuple[str, ...] = await self._in_thread(_names, self._search_path)
        return found

    async def run(self, step: RunAllocator) -> str:
        """See `IAllocators.run`."""
        script = await self._in_thread(_find, self._search_path, step.name)
        folder = await self._in_thread(_prepare, self._work_dir, step.request)
        try:
            status = await self._scripts.run(self._session(step, script, folder))
            text: str = await self._in_thread(_outcome, step.name, status, folder)
            return text
        except OSError as e:
            raise StepFailed(f"iallocator '{step.name}': {e.strerror}", "allocator") from e
        finally:
            await self._in_thread(shutil.rmtree, folder, True)

    def _session(self, step: RunAllocator, script: Path, folder: Path) -> Session:
        # What it prints apart from its answer goes to the log.
        redirected = ("/bin/sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "sh", str(folder / "answer"))
        return Session(
            command=(*redirected, str(script), *step.options, str(folder / "request")),
            environment={"PATH": _PATH, "LC_ALL": "C.UTF-8", "RAPI_ALLOCATION": folder.name},
            folder=str(folder),
            log=folder / "log",
            outputs=(folder / "answer",),
            label=f"iallocator-{folder.name}",
            mark=f"RAPI_ALLOCATION={folder.name}",
            seconds=self._seconds,
        )


# In threads.


def _find(search_path: Sequence[Path], name: str) -> Path:
    if _NAME.fullmatch(name):
        for folder in search_path:
            script = folder / name
            if script.is_file() and os.access(script, os.X_OK):
                return script
    raise StepFailed(f"iallocator '{name}' not found in the search path", "allocator")


def _names(search_path: Sequence[Path]) -> tuple[str, ...]:
    found = set()
    for folder in search_path:
        if folder.is_dir():
            found |= {
                script.name
                for script in folder.iterdir()
                if _NAME.fullmatch(script.name) and script.is_file() and os.access(script, os.X_OK)
            }
    return tuple(sorted(found))


def _prepare(work_dir: Path, request: Params) -> Path:
    need_tools("allocator")
    try:
        work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=work_dir))
        (folder / "request").write_bytes(msgspec.json.encode(request))
    except OSError as e:
        raise StepFailed(f"{e.filename}: {e.strerror}", "allocator") from e
    return folder


def _outcome(name: str, status: int, folder: Path) -> str:
    """What the script answered."""
    if status == TOO_LATE:
        raise StepFailed(f"iallocator '{name}' took too long", "allocator")
    answer, log = _read(folder / "answer"), _read(folder / "log")
    if status:
        lines = (answer + log).splitlines()[-LINES_TOLD:]
        told = "\n".join(lines)
        raise StepFailed(f"iallocator '{name}' exited with {status}, its output:\n{told}", "allocator")
    if len(answer) > MOST_OUTPUT:
        raise StepFailed(f"iallocator '{name}' answered more than {MOST_OUTPUT} bytes", "allocator")
    return answer


def _read(file: Path) -> str:
    """What was written, and one byte more at most than may be."""
    try:
        with file.open("rb") as f:
            return f.read(MOST_OUTPUT + 1).decode(errors="replace")
    except FileNotFoundError:
        return ""
