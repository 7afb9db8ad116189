"""Allocator scripts that are functions."""

from collections.abc import Callable, Mapping

from zope.interface import implementer

from twisted_rapi.agent.interface import IAllocators
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.records import Params
from twisted_rapi.model.steps import RunAllocator

LINES_TOLD = 20

Script = Callable[[Params, tuple[str, ...]], tuple[int, str]]
"""From a request and options to the exit status and what is printed."""


@implementer(IAllocators)
class FakeAllocators:
    """`IAllocators` without directories and processes."""

    def __init__(self, scripts: Mapping[str, Script] | None = None) -> None:
        self._scripts = dict(scripts or {})

    async def names(self) -> tuple[str, ...]:
        """See `IAllocators.names`."""
        return tuple(sorted(self._scripts))

    async def run(self, step: RunAllocator) -> str:
        """See `IAllocators.run`."""
        script = self._scripts.get(step.name)
        if script is None:
            raise StepFailed(f"iallocator '{step.name}' not found in the search path", "allocator")
        status, printed = script(step.request, step.options)
        if status:
            told = "\n".join(printed.splitlines()[-LINES_TOLD:])
            text = f"iallocator '{step.name}' exited with {status}, its output:\n{told}"
            raise StepFailed(text, "allocator")
        return printed
