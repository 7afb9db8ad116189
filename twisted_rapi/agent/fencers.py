"""The ways to switch another node's machine off."""

import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from twisted_rapi.agent import fencing_settings as settings
from twisted_rapi.agent.interface import IFencer
from twisted_rapi.agent.scripts import TOO_LATE
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import ConfigurationError, StepFailed
from twisted_rapi.model.steps import FenceNode

PAUSE = 1.0  # seconds between two looks; a board tells nobody when the power is gone
CALL = 25.0  # seconds one call of ipmitool may take; it gives up a silent board after 18
OOB_CALL = 60.0  # constants.json oob_timeout_s
_TOLD = 300  # letters of a program's output
_POWER = re.compile(r"^Chassis Power is (on|off)\s*$", re.MULTILINE)
_NOISE = ("IANA PEN registry open failed", "Get HPM.x Capabilities request failed")
"""What ipmitool prints also when all is well."""


def refused(text: str) -> StepFailed:
    """The failure of all drivers."""
    return StepFailed(text, "fencing")


_NOT_RUN = {126: "it cannot be executed", 127: "not found"}
"""What a shell's exit status says of a program."""


@attrs.frozen
class Ran:
    """How a program ended: its exit status or `TOO_LATE`, and what it printed."""

    status: int
    output: str

    def why(self) -> str:
        """What is told of one that failed: its last line."""
        if self.status == TOO_LATE:
            return "it took too long"
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(_NOISE)]
        told = lines[-1][:_TOLD] if lines else "it printed nothing"
        told = _NOT_RUN.get(self.status, told)
        return told if self.status == 0 else f"{told} (exit status {self.status})"


Run = Callable[[Sequence[str], Mapping[str, str], float], Awaitable[Ran]]
"""Runs a program with arguments and an environment for at most so many seconds; see `Programs.run`."""


@attrs.frozen
class Means:
    """
    What drivers work with.

    :ivar run: runs a program; `in_thread`: does what blocks.
    """

    run: Run
    clock: IReactorTime
    in_thread: InThread


Look = Callable[[float], Awaitable[tuple[bool | None, str]]]
"""Whether the machine has power, ``None``: not known, and why; given the seconds that are left."""


async def _until_off(means: Means, seconds: float, cut: Callable[[float], Awaitable[str]], look: Look) -> str:
    """
    Switch off once, then look until it is off; answers the words of the look that saw it.

    :param cut: switches off; answers why that failed, "" when it did not.
    """
    given_up = means.clock.seconds() + seconds
    trouble = await cut(seconds)
    while True:
        left = given_up - means.clock.seconds()
        on, words = await look(max(left, PAUSE))
        if on is False:
            return words
        # One that is off already may refuse to be switched off; one that is on and refuses stays so.
        if on is None or trouble or left <= PAUSE:
            raise refused("; ".join(dict.fromkeys(filter(None, (trouble, words)))))
        await deferLater(means.clock, PAUSE)


@implementer(IFencer)
class IpmiFencer:
    """
    `IFencer` by ``ipmitool`` (1.8): the power is cut, then the board has to say that it is off.

    The password is read by ipmitool from its file: it is neither an argument nor known here.
    """

    def __init__(self, program: str, way: settings.Ipmi, means: Means) -> None:
        self._program, self._way, self._means = program, way, means

    def _command(self, *words: str) -> tuple[str, ...]:
        way = self._way
        suite = () if way.cipher_suite is None else ("-C", str(way.cipher_suite))
        where = ("-I", way.interface, "-H", way.address, "-p", str(way.port))
        who = ("-U", way.user, "-f", way.password_file, "-L", way.privilege)
        return (self._program, *where, *who, *suite, "-N", "2", "-R", "3", "chassis", "power", *words)

    async def fence(self, step: FenceNode) -> str:
        """See `IFencer.fence`."""
        try:
            # Without its file, ipmitool would go on with an empty password.
            await self._means.in_thread(settings.check_private, Path(self._way.password_file))
        except ConfigurationError as e:
            raise refused(str(e)) from e
        board = f"{self._way.address}, asked by ipmitool"
        try:
            words = await _until_off(self._means, step.seconds, self._cut, self._look)
        except StepFailed as e:
            raise refused(f"{board}: {e.text}") from e
        return f"{board}: {words}"

    async def _cut(self, seconds: float) -> str:
        ran = await self._means.run(self._command("off"), {}, min(CALL, seconds))
        return "" if ran.status == 0 else ran.why()

    async def _look(self, seconds: float) -> tuple[bool | None, str]:
        ran = await self._means.run(self._command("status"), {}, min(CALL, seconds))
        found = _POWER.findall(ran.output)
        if ran.status or len(found) != 1:
            return None, ran.why()
        return found[0] == "on", f"Chassis Power is {found[0]}"


@implementer(IFencer)
class CommandFencer:
    """`IFencer` by a configured program, whose exit status 0 is the proof."""

    def __init__(self, way: settings.Command, means: Means) -> None:
        self._way, self._means = way, means

    async def fence(self, step: FenceNode) -> str:
        """See `IFencer.fence`."""
        command = [
            word.replace("{name}", step.name).replace("{uuid}", step.uuid) for word in self._way.command
        ]
        environment = {"RAPI_FENCE_NAME": step.name, "RAPI_FENCE_UUID": step.uuid}
        environment |= {f"RAPI_FENCE_PARAM_{k.upper()}": v for k, v in self._way.parameters.items()}
        ran = await self._means.run(command, environment, step.seconds)
        if ran.status:
            raise refused(f"{command[0]}: {ran.why()}")
        return f"{command[0]} ended with exit status 0"


@implementer(IFencer)
class OutOfBandFencer:
    """
    `IFencer` by the program that a node's parameter ``oob_program`` names.

    It is run with what is asked for (``power-off``, ``power-status``) and the node's name.  Asked for the
    status it prints a JSON object whose ``powered`` is true or false; that is the proof.
    """

    def __init__(self, program: str, means: Means) -> None:
        self._program, self._means = program, means

    async def fence(self, step: FenceNode) -> str:
        """See `IFencer.fence`."""

        async def cut(seconds: float) -> str:
            ran = await self._run("power-off", step.name, seconds)
            return "" if ran.status == 0 else ran.why()

        async def look(seconds: float) -> tuple[bool | None, str]:
            ran = await self._run("power-status", step.name, seconds)
            powered = _powered(ran.output) if ran.status == 0 else None
            if powered is None:
                return None, f"no power status: {ran.why()}"
            return powered, f"its power status is {'on' if powered else 'off'}"

        await self._means.in_thread(_check_program, self._program)
        try:
            words = await _until_off(self._means, step.seconds, cut, look)
        except StepFailed as e:
            raise refused(f"{self._program}: {e.text}") from e
        return f"{self._program}: {words}"

    async def _run(self, what: str, name: str, seconds: float) -> Ran:
        return await self._means.run((self._program, what, name), {}, min(OOB_CALL, seconds))


def _powered(output: str) -> bool | None:
    """What the one line says that is such an object; others may have gone to standard error."""
    found = [said for line in output.splitlines() if isinstance(said := _decoded(line), bool)]
    return found[0] if len(found) == 1 else None


def _decoded(line: str) -> Any:
    try:
        said = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said.get("powered") if isinstance(said, dict) else None


def _check_program(program: str) -> None:
    """It is named in the store, and run as root: only what root has put there is."""
    try:
        found = Path(program).stat()
    except OSError as e:
        raise refused(f"{program}: {e.strerror}") from e
    if not program.startswith("/") or not os.path.isfile(program) or not os.access(program, os.X_OK):
        raise refused(f"{program}: it is not the absolute path of a program")
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise refused(f"{program}: others than root can write it")


@implementer(IFencer)
class HandFencer:
    """`IFencer` where somebody has to go there: there is never proof here."""

    async def fence(self, step: FenceNode) -> str:
        """See `IFencer.fence`."""
        raise refused(
            f"{step.name} is fenced by hand: make sure that it is off, then confirm that it is dead"
        )
