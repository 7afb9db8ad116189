"""What every `IOsRunner` does."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DomainSpec, RunOs

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class OsRunnerContract(_Base):
    """
    Mixed into a test case that makes the runner with `make`, with these definitions:

    ``good`` has API 20, the variants ``v1`` and ``v2`` and the parameter ``dhcp``, which its ``verify``
    refuses to be ``maybe``; ``bad`` prints ``line 1`` to ``line 30`` and exits with 3; ``broken`` has API 5.
    """

    def make(self) -> IOsRunner:
        """A runner that has run nothing."""
        raise NotImplementedError

    def ran(self) -> list[tuple[str, str, str]]:
        """Action, definition and instance of the scripts of ``good`` that were run."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make the runner."""
        self.runner = self.make()

    def step(self, os: str, action: Any = "create", **osparams: str) -> RunOs:
        """A step for an instance without disks."""
        domain = DomainSpec(
            name="web1",
            instance_uuid="u",
            hypervisor="fake",
            memory=64,
            minmem=64,
            vcpus=1,
            os=os,
            osparams=osparams,
        )
        return RunOs(instance="web1", action=action, domain=domain, old_name="web0")

    async def failure(self, work: Coroutine[Any, Any, Any]) -> str:
        """The text of the failure of kind ``os`` that `work` raises."""
        error: StepFailed = await self.assertFailure(Deferred.fromCoroutine(work), StepFailed)
        self.assertEqual(error.kind, "os")
        return error.text

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(IOsRunner, self.runner)

    async def test_discovered(self) -> None:
        """All are found, by name, those that cannot be used with the reason."""
        found = await self.runner.discover()
        self.assertEqual([o.name for o in found], ["bad", "broken", "good"])
        self.assertEqual([bool(o.invalid) for o in found], [False, True, False])
        self.assertEqual(found[2].variants, ("v1", "v2"))
        self.assertEqual([name for name, _ in found[2].parameters], ["dhcp"])

    async def test_verified(self) -> None:
        """Good parameters pass; unknown ones and those the script refuses are named; nothing is run."""
        await self.runner.verify("good+v1", {"dhcp": "yes"})
        self.assertIn("dhcp", await self.failure(self.runner.verify("good+v1", {"dhcp": "maybe"})))
        self.assertIn("odd", await self.failure(self.runner.verify("good", {"odd": "1"})))
        self.assertEqual(self.ran(), [])

    async def test_runs(self) -> None:
        """The script that is asked for is run, for the instance, and again when asked again."""
        await self.runner.run(self.step("good+v2"), [])
        await self.runner.run(self.step("good+v2", "rename"), [])
        await self.runner.run(self.step("good"), [])
        self.assertEqual(self.ran(), [(a, "good", "web1") for a in ("create", "rename", "create")])

    async def test_last_lines(self) -> None:
        """A script that fails is told with its status and the last twenty lines it printed."""
        text = await self.failure(self.runner.run(self.step("bad"), []))
        self.assertIn("exited with 3", text)
        self.assertEqual(text.splitlines()[1:], [f"line {n}" for n in range(11, 31)])

    async def test_not_usable(self) -> None:
        """Unknown definitions and those that cannot be used are neither run nor verified."""
        for os in ("nosuch", "broken", "broken+v1", ""):
            self.assertTrue(await self.failure(self.runner.run(self.step(os), [])))
            self.assertTrue(await self.failure(self.runner.verify(os, {})))

    async def test_no_text(self) -> None:
        """A value that no environment can carry is refused, and no script is run."""
        text = await self.failure(self.runner.run(self.step("good", dhcp="a\0b"), []))
        self.assertIn("NUL", text)
        self.assertEqual(self.ran(), [])
