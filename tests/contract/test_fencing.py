"""The contract of `IFencer` on the fake; those of the real ones are with the functional tests."""

from twisted.trial.unittest import TestCase

from twisted_rapi.testing.contracts.fencing import NODE, FencerContract
from twisted_rapi.testing.fencing import FakeFencer


class FakeFencerTests(FencerContract, TestCase):
    """The fake."""

    def make(self) -> FakeFencer:
        self.fake = FakeFencer({NODE})
        return self.fake

    def has_power(self) -> bool:
        return NODE in self.fake.on

    def stay_on(self) -> None:
        self.fake.trouble[NODE] = "the board does not answer"
