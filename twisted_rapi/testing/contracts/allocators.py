"""What every `IAllocators` does."""

import json
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent.interface import IAllocators
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import RunAllocator

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class AllocatorsContract(_Base):
    """
    Mixed into a test case that makes it with `make`, with these scripts:

    ``echo`` answers a JSON list of its options and the request; ``bad`` prints ``line 1`` to ``line 30`` and
    exits with 3.
    """

    def make(self) -> IAllocators:
        """One that has run nothing."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make it."""
        self.allocators = self.make()

    def step(self, name: str, *options: str, **request: Any) -> RunAllocator:
        """A step with this request."""
        return RunAllocator(instance="web1", name=name, request=request, options=options)

    async def failure(self, step: RunAllocator) -> str:
        """The text of the failure of kind ``allocator`` that a step ends with."""
        try:
            await self.allocators.run(step)
        except StepFailed as e:
            self.assertEqual(e.kind, "allocator")
            return e.text
        raise self.failureException("it did not fail")

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(IAllocators, self.allocators)

    async def test_names(self) -> None:
        """The scripts are known by name."""
        self.assertEqual(await self.allocators.names(), ("bad", "echo"))

    async def test_answer(self) -> None:
        """The script gets the request whole, and its options; what it prints is the answer."""
        request = {"version": 2, "nodes": {"n1": {"tags": ["é", 'a "b"']}}, "x": [None, True, 1.5]}
        answer = json.loads(await self.allocators.run(self.step("echo", "--one", "two words", **request)))
        self.assertEqual(answer, [["--one", "two words"], request])
        self.assertEqual(json.loads(await self.allocators.run(self.step("echo", a=1))), [[], {"a": 1}])

    async def test_fails(self) -> None:
        """A script that fails is told with its status and the last twenty lines it printed."""
        text = await self.failure(self.step("bad"))
        self.assertIn("iallocator 'bad' exited with 3", text)
        self.assertEqual(text.splitlines()[1:], [f"line {n}" for n in range(11, 31)])

    async def test_unknown(self) -> None:
        """What is not in the search path is not run, whatever it is called."""
        for name in ("nosuch", "", "..", "../echo", "a/b", "-x", "echo\n"):
            text = await self.failure(self.step(name))
            self.assertEqual(text, f"iallocator '{name}' not found in the search path")
