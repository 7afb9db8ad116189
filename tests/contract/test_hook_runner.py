"""The contract of `IHookRunner` on the fake; that of the real one is with the functional tests."""

from twisted.trial.unittest import TestCase

from twisted_rapi.testing.contracts.hook_runner import HookRunnerContract
from twisted_rapi.testing.hook_runner import FakeHookRunner


class FakeHookRunnerTests(HookRunnerContract, TestCase):
    """The fake."""

    def make(self) -> FakeHookRunner:
        self.fake = FakeHookRunner()
        return self.fake

    async def put(self, folder: str, name: str, well: bool, output: str) -> None:
        self.fake.put(folder, name, well, output)
