"""Hooks that are values: what their scripts print and how they end is said beforehand."""

from collections.abc import Callable, Mapping

from zope.interface import implementer

from twisted_rapi.agent.interface import IHookRunner
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import RunHooks


@implementer(IHookRunner)
class FakeHookRunner:
    """
    `IHookRunner` without directories and processes.

    :ivar scripts: by path and phase (``instance-start-pre``) and name, success and output.
    :ivar ran: the steps it was asked for.
    """

    def __init__(self, scripts: Mapping[str, Mapping[str, tuple[bool, str]]] | None = None) -> None:
        self.scripts = {folder: dict(found) for folder, found in (scripts or {}).items()}
        self.ran: list[RunHooks] = []
        self._observers: list[Callable[[], None]] = []

    def put(self, folder: str, name: str, well: bool, output: str) -> None:
        """There is such a script now."""
        self.scripts.setdefault(folder, {})[name] = (well, output)
        for observer in tuple(self._observers):
            observer()

    async def folders(self) -> tuple[str, ...]:
        """See `IHookRunner.folders`."""
        return tuple(sorted(folder for folder, found in self.scripts.items() if found))

    async def run(self, step: RunHooks) -> tuple[tuple[str, bool, str], ...]:
        """See `IHookRunner.run`."""
        if not step.path or "/" in step.path:
            raise StepFailed(f"'{step.path}' is no path of hooks", "os")
        self.ran.append(step)
        found = self.scripts.get(f"{step.path}-{step.phase}", {})
        return tuple((name, *found[name]) for name in sorted(found))

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `IHookRunner.observe`."""
        self._observers.append(changed)
        return lambda: self._observers.remove(changed)
