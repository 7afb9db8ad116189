"""What every `IHookRunner` does."""

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent.interface import IHookRunner
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import RunHooks

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class HookRunnerContract(_Base):
    """
    Mixed into a test case that makes the runner with `make` and scripts with `put`.

    The runner begins with no scripts at all.
    """

    def make(self) -> Any:
        """A runner without scripts."""
        raise NotImplementedError

    async def put(self, folder: str, name: str, well: bool, output: str) -> None:
        """There is such a script now, in the folder of a path and phase."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make the runner."""
        self.runner = self.make()

    def step(self, path: str = "instance-start", phase: Any = "pre") -> RunHooks:
        """A step for the scripts of a path."""
        return RunHooks(instance="x", path=path, phase=phase, environment={"GANETI_HOOKS_PATH": path})

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(IHookRunner, self.runner)

    async def test_none(self) -> None:
        """Without scripts nothing is told and nothing is run."""
        self.assertEqual(await self.runner.folders(), ())
        self.assertEqual(await self.runner.run(self.step()), ())

    async def test_run(self) -> None:
        """Scripts of the path and phase are run in byte order, also after one that fails."""
        await self.put("instance-start-pre", "b", True, "fine")
        await self.put("instance-start-pre", "a", False, "no way")
        await self.put("instance-start-pre", "B", True, "")
        await self.put("instance-start-post", "c", True, "other phase")
        found = await self.runner.run(self.step())
        self.assertEqual(found, (("B", True, ""), ("a", False, "no way"), ("b", True, "fine")))
        self.assertEqual(await self.runner.run(self.step("instance-stop")), ())

    async def test_folders(self) -> None:
        """Paths and phases with scripts are told, sorted."""
        await self.put("node-modify-post", "s", True, "")
        await self.put("instance-start-pre", "s", True, "")
        self.assertEqual(await self.runner.folders(), ("instance-start-pre", "node-modify-post"))

    async def test_no_path(self) -> None:
        """What is no path of hooks is refused."""
        for path in ("", "../etc", "a/b"):
            with self.assertRaises(StepFailed):
                await self.runner.run(self.step(path))

    async def test_observed(self) -> None:
        """Who observes is told of a script that comes, and of nothing once that is ended."""
        await self.put("instance-start-pre", "s", True, "")
        told: Deferred[None] = Deferred()
        end = self.runner.observe(lambda: None if told.called else told.callback(None))
        await self.runner.folders()
        await self.put("instance-start-pre", "t", True, "")
        await told
        end()
