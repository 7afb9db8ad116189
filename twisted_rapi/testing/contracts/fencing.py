"""What every `IFencer` does."""

from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent.interface import IFencer
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import FenceNode

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object

NODE = "node2.example.com"
STEP = FenceNode(instance="", name=NODE, uuid="00000000-0000-4000-8000-000000000002")


class NoProofContract(_Base):
    """What also holds where there is never proof; mixed into a test case that has these."""

    step = STEP

    def make(self) -> IFencer:
        """One for the machine of `STEP`, which has power."""
        raise NotImplementedError

    def has_power(self) -> bool:
        """Whether that machine is on."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make it."""
        self.fencer = self.make()

    async def failure(self, step: FenceNode | None = None) -> str:
        """Why it fails, of kind ``fencing``."""
        try:
            proof = await self.fencer.fence(step or self.step)
        except StepFailed as e:
            self.assertEqual(e.kind, "fencing")
            self.assertTrue(e.text)
            return e.text
        raise self.failureException(f"it did not fail: {proof}")

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(IFencer, self.fencer)


class FencerContract(NoProofContract):
    """The whole contract, of those that can switch a machine."""

    def stay_on(self) -> None:
        """From now on the machine has power whatever is done."""
        raise NotImplementedError

    async def test_off(self) -> None:
        """It answers once the machine is off, and how that is known."""
        self.assertTrue(await self.fencer.fence(self.step))
        self.assertFalse(self.has_power())

    async def test_again(self) -> None:
        """One that is off already stays so, and there is proof again."""
        await self.fencer.fence(self.step)
        self.assertTrue(await self.fencer.fence(self.step))
        self.assertFalse(self.has_power())

    async def test_stays_on(self) -> None:
        """There is no proof where the machine stays on, but the reason."""
        self.stay_on()
        await self.failure()
        self.assertTrue(self.has_power())
