"""The contract of `IAllocators` on the fake; that of the real one is with the functional tests."""

import json

from twisted.trial.unittest import TestCase

from twisted_rapi.agent.interface import IAllocators
from twisted_rapi.testing.allocators import FakeAllocators
from twisted_rapi.testing.contracts.allocators import AllocatorsContract


class FakeAllocatorsTests(AllocatorsContract, TestCase):
    """The fake."""

    def make(self) -> IAllocators:
        return FakeAllocators(
            {
                "echo": lambda request, options: (0, json.dumps([options, request])),
                "bad": lambda *_: (3, "".join(f"line {n}\n" for n in range(1, 31))),
            }
        )
