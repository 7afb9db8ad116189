"""Switching other nodes off, as this node's ``fencing.toml`` says."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.internet.interfaces import IReactorProcess, IReactorTime
from zope.interface import implementer

from twisted_rapi.agent import fencing_settings as settings
from twisted_rapi.agent.fencers import (
    CommandFencer,
    HandFencer,
    IpmiFencer,
    Means,
    OutOfBandFencer,
    Ran,
    refused,
)
from twisted_rapi.agent.interface import IFencer
from twisted_rapi.agent.scripts import Scripts, Session, need_tools
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.model.steps import FenceNode

MOST_OUTPUT = 64 * 1024  # bytes of a program's that are read
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Programs:
    """
    Runs programs so that nothing of them outlives their time, or the agent (see `scripts`).

    :param run_dir: what runs is noted there, with its output.
    """

    def __init__(
        self, run_dir: Path, processes: IReactorProcess, clock: IReactorTime, in_thread: InThread
    ) -> None:
        self._outputs, self._in_thread = run_dir / "output", in_thread
        self._scripts = Scripts(run_dir / "notes", processes, clock, in_thread)

    async def clean(self) -> None:
        """End what an agent before this one left running."""
        await self._scripts.clean()
        await self._in_thread(shutil.rmtree, self._outputs, True)

    async def run(self, command: Sequence[str], environment: Mapping[str, str], seconds: float) -> Ran:
        """
        How the program ended, within so many seconds.

        :raises StepFailed: kind ``fencing``: no program can be run here.
        """
        try:
            folder: Path = await self._in_thread(_prepare, self._outputs)
            try:
                status = await self._scripts.run(_session(command, environment, seconds, folder))
                output: str = await self._in_thread(_read, folder / "log")
            finally:
                await self._in_thread(shutil.rmtree, folder, True)
        except OSError as e:
            raise refused(f"{command[0]} cannot be run: {e.strerror}") from e
        return Ran(status, output)


def _session(command: Sequence[str], environment: Mapping[str, str], seconds: float, folder: Path) -> Session:
    return Session(
        command=tuple(command),
        environment={"PATH": _PATH, "LC_ALL": "C.UTF-8", **environment, "RAPI_FENCING": folder.name},
        folder="/",
        log=folder / "log",
        label=folder.name,
        mark=f"RAPI_FENCING={folder.name}",
        seconds=seconds,
    )


def _prepare(outputs: Path) -> Path:
    need_tools("fencing")
    outputs.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="fencing-", dir=outputs))


def _read(log: Path) -> str:
    """The beginning of what was printed."""
    with log.open("rb") as f:
        return f.read(MOST_OUTPUT).decode(errors="replace")


@implementer(IFencer)
class Fencing:
    """
    `IFencer` in the way that is configured for the node.

    The file is read each time.  Where it does not name the node, nor has a default, the node's
    ``oob_program`` is used.

    :param file: ``fencing.toml``; it need not exist.
    :param run_dir: for what runs.
    """

    def __init__(
        self,
        file: Path,
        run_dir: Path,
        processes: IReactorProcess,
        clock: IReactorTime,
        in_thread: InThread,
    ) -> None:
        self._file, self._in_thread = file, in_thread
        self._programs = Programs(run_dir, processes, clock, in_thread)
        self._means = Means(self._programs.run, clock, in_thread)

    async def clean(self) -> None:
        """End what an agent before this one left running."""
        await self._programs.clean()

    async def fence(self, step: FenceNode) -> str:
        """See `IFencer.fence`."""
        try:
            found: settings.FencingSettings = await self._in_thread(settings.load, self._file)
        except ConfigurationError as e:
            raise refused(str(e)) from e
        return await self._driver(found, step).fence(step)

    def _driver(self, found: settings.FencingSettings, step: FenceNode) -> IFencer:
        way = found.nodes.get(step.name, found.default)
        match way:
            case settings.Ipmi():
                return IpmiFencer(found.ipmitool, way, self._means)
            case settings.Command():
                return CommandFencer(way, self._means)
            case settings.ByHand():
                return HandFencer()
        if step.program:
            return OutOfBandFencer(step.program, self._means)
        raise refused(f"{self._file} here does not say how {step.name} is fenced")
