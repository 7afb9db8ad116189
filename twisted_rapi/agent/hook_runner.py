"""
Hooks: running the node's scripts before and after operations (behaviour.md §9).

Note [Known without asking].  Which folders have scripts is told with each report, so that nobody asks in
vain.  Changes are noticed by inotify and reported at once; where that cannot be (the folder does not exist
yet, a file system of another machine) the look before each full report finds them.  What is run is read from
the folder at that moment: an old report can only cost an RPC, or miss a script that is seconds old.
"""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet import inotify
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer

from twisted_rapi.agent.interface import IHookRunner
from twisted_rapi.agent.scripts import TOO_LATE, Scripts, Session, need_tools
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import RunHooks

SEARCH_PATH = "/sbin:/bin:/usr/sbin:/usr/bin"
RUN_TIME = 3400.0  # seconds a script may take
MOST_OUTPUT = 16 * 1024  # bytes of each script's that are told
MARK = "GANETI_HOOKS_PATH"
_SCRIPT = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_FOLDER = re.compile(r"([a-z0-9-]+-(?:pre|post))\.d", re.ASCII)


class Watching:
    """Folders watched by the kernel; made by `watch_tree`."""

    _log = Logger()

    _CHANGES = (
        inotify.IN_CLOSE_WRITE
        | inotify.IN_MOVED_TO
        | inotify.IN_MOVED_FROM
        | inotify.IN_DELETE
        | inotify.IN_CREATE
        | inotify.IN_ATTRIB
    )

    def __init__(self, reactor: Any, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._notifier = inotify.INotify(reactor)
        self._notifier.startReading()

    def watch(self, folders: Iterable[Path]) -> None:
        """Watch these too; one that cannot be watched is left out."""
        for folder in folders:
            path = FilePath(str(folder))
            try:
                self._notifier.watch(path, self._CHANGES, callbacks=[lambda *_: self._changed()])
            except Exception as e:  # noqa: BLE001 -- what it raises has no public name
                self._log.debug("{folder} is not watched: {reason}", folder=str(folder), reason=str(e))

    def end(self) -> None:
        """No longer watch."""
        self._notifier.connectionLost(Failure(ConnectionDone()))


def watch_tree(reactor: Any) -> Callable[[Callable[[], None]], Watching]:
    """How to watch folders with this reactor."""
    return lambda changed: Watching(reactor, changed)


@implementer(IHookRunner)
class HookRunner:
    """
    `IHookRunner` over real directories and processes, each script in a session of its own (see `scripts`).

    :param base: has the folders; it need not exist.
    :param run_dir: where it is noted which scripts run, and their output while they do.
    :param watching: how folders are watched; ``None``: they are not.
    """

    _log = Logger()

    def __init__(
        self,
        base: Path,
        run_dir: Path,
        processes: IReactorProcess,
        clock: IReactorTime,
        in_thread: InThread,
        watching: Callable[[Callable[[], None]], Watching] | None = None,
    ) -> None:
        self._base, self._outputs, self._in_thread = base, run_dir / "output", in_thread
        self._scripts = Scripts(run_dir / "notes", processes, clock, in_thread)
        self._make_watching = watching
        self._watching: Watching | None = None
        self._count = 0

    async def clean(self) -> None:
        """End the scripts an agent before this one left running."""
        await self._scripts.clean()
        await self._in_thread(_remove_all, self._outputs)

    async def folders(self) -> tuple[str, ...]:
        """See `IHookRunner.folders`."""
        folders, found = await self._in_thread(_look, self._base)
        if self._watching is not None:
            self._watching.watch(folders)
        told: tuple[str, ...] = found
        return told

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `IHookRunner.observe`."""
        if self._make_watching is None:
            return lambda: None
        try:
            self._watching = watching = self._make_watching(changed)
        except Exception as e:  # noqa: BLE001 -- there are no more watches to be had: looks have to do
            self._log.warn("hooks are not watched: {reason}", reason=str(e))
            return lambda: None
        watching.watch([self._base])

        def end() -> None:
            self._watching = None
            watching.end()

        return end

    async def run(self, step: RunHooks) -> tuple[tuple[str, bool, str], ...]:
        """See `IHookRunner.run`."""
        folder = f"{step.path}-{step.phase}.d"
        if _FOLDER.fullmatch(folder) is None:
            raise StepFailed(f"'{step.path}' is no path of hooks", "os")
        scripts: list[Path] = await self._in_thread(_scripts, self._base / folder)
        return tuple([await self._script(script, step.environment) for script in scripts])

    async def _script(self, script: Path, given: dict[str, str]) -> tuple[str, bool, str]:
        self._count += 1
        session = self._session(script, given)
        await self._in_thread(_prepare, session.log)
        try:
            status = await self._scripts.run(session)
            printed = await self._in_thread(_printed, session.log)
        except (OSError, ValueError) as e:
            raise StepFailed(f"hook {script.name}: {e}", "os") from e
        finally:
            await self._in_thread(session.log.unlink, True)
        if status == TOO_LATE:
            printed = f"{printed}\n(it took too long and was ended)".strip()
        return script.name, status == 0, printed

    def _session(self, script: Path, given: dict[str, str]) -> Session:
        label = f"{script.parent.name}-{script.name}-{os.getpid()}-{self._count}"
        return Session(
            command=(str(script),),
            environment={**given, "PATH": SEARCH_PATH},
            folder="/",
            log=self._outputs / label,
            label=label,
            mark=f"{MARK}={given.get(MARK, '')}",
            seconds=RUN_TIME,
        )


# In threads.


def _folders(base: Path) -> dict[str, Path]:
    """The folders of hooks there are, by path and phase."""
    try:
        entries = list(base.iterdir())
    except OSError:
        return {}
    named = ((_FOLDER.fullmatch(entry.name), entry) for entry in entries)
    return {match[1]: entry for match, entry in named if match is not None and entry.is_dir()}


def _look(base: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The folders to watch, and the paths and phases that have scripts."""
    folders = _folders(base)
    found = sorted(name for name, path in folders.items() if _scripts(path))
    return [base, *folders.values()], tuple(found)


def _scripts(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return []
    found = [e for e in entries if _SCRIPT.fullmatch(e.name) and e.is_file() and os.access(e, os.X_OK)]
    return sorted(found, key=lambda e: os.fsencode(e.name))


def _prepare(output: Path) -> None:
    need_tools("os")
    try:
        output.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    except OSError as e:
        raise StepFailed(f"{e.filename}: {e.strerror}", "os") from e


def _printed(output: Path) -> str:
    with output.open("rb") as f:
        f.seek(max(0, f.seek(0, os.SEEK_END) - MOST_OUTPUT))
        return f.read().decode(errors="replace").strip()


def _remove_all(outputs: Path) -> None:
    for output in outputs.glob("*"):
        output.unlink(missing_ok=True)
