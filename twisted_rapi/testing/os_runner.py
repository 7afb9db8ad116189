"""OS definitions that are values: what their scripts print and how they end is said beforehand."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.agent.os_definitions import split
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import DomainSpec, RunOs

LINES_TOLD = 20


@attrs.frozen(kw_only=True)
class FakeOs:
    """
    One definition.

    :ivar refused: parameters its ``verify`` script refuses, by name: the value.
    :ivar lines: what its other scripts print; they fail with `status` unless it is 0.
    """

    seen: OsSeen
    refused: Mapping[str, str] = attrs.field(factory=dict)
    lines: tuple[str, ...] = ()
    status: int = 0


@implementer(IOsRunner)
class FakeOsRunner:
    """
    `IOsRunner` without directories and processes.

    :ivar ran: scripts that ran to a good end: action, definition and instance.
    :ivar held: runs that wait for `release`, after `hold`.
    """

    def __init__(self, *definitions: FakeOs) -> None:
        self._definitions = {d.seen.name: d for d in definitions}
        self._holding = False
        self.held: list[Deferred[None]] = []
        self.ran: list[tuple[str, str, str]] = []

    def hold(self) -> None:
        """Have scripts that are run from now on not end until `release`."""
        self._holding = True

    def release(self) -> None:
        """Let the scripts end that are held."""
        self._holding = False
        held, self.held = self.held, []
        for d in held:
            if not d.called:
                d.callback(None)

    async def discover(self) -> tuple[OsSeen, ...]:
        """See `IOsRunner.discover`."""
        return tuple(self._definitions[name].seen for name in sorted(self._definitions))

    def _definition(self, os: str) -> FakeOs:
        name, _ = split(os)
        found = self._definitions.get(name)
        if found is None:
            raise StepFailed(f"Directory for OS {name} not found in search path", "os")
        if found.seen.invalid:
            raise StepFailed(found.seen.invalid, "os")
        return found

    async def verify(self, os: str, osparams: Mapping[str, Any]) -> None:
        """See `IOsRunner.verify`."""
        found = self._definition(os)
        if 20 not in found.seen.api_versions:
            return
        unknown = sorted(set(osparams) - {name for name, _ in found.seen.parameters})
        if unknown:
            raise StepFailed(f"OS {os} has no parameter {', '.join(unknown)}", "os")
        _check(osparams)
        for name, value in osparams.items():
            if found.refused.get(name) == value:
                raise StepFailed(f"OS verify script: {name} cannot be {value}", "os")

    async def disk_script(
        self, direction: Literal["import", "export"], domain: DomainSpec, index: int, paths: Sequence[str]
    ) -> Mapping[str, Any]:
        """See `IOsRunner.disk_script`; a script that reads all and writes nothing."""
        self._definition(domain.os)
        _check(domain.osparams)
        environment = {"OS_NAME": split(domain.os)[0], f"{direction.upper()}_INDEX": str(index)}
        return {"command": ["/bin/sh", "-c", "cat >/dev/null"], "environment": environment, "folder": "/"}

    async def run(self, step: RunOs, paths: Sequence[str]) -> None:
        """See `IOsRunner.run`."""
        found = self._definition(step.domain.os)
        _check(step.domain.osparams)
        if self._holding:
            end: Deferred[None] = Deferred()
            self.held.append(end)
            await end
        if found.status:
            how = f"OS {step.action} script exited with {found.status}, last lines in its log:"
            raise StepFailed("\n".join([how, *found.lines[-LINES_TOLD:]]), "os")
        self.ran.append((step.action, found.seen.name, step.instance))


def _check(osparams: Mapping[str, Any]) -> None:
    for name, value in osparams.items():
        if "\x00" in str(value):
            raise StepFailed(f"{name}: a value for a script cannot have a NUL byte", "os")
