"""Tests of opcodes in a world of their own."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import Ended, World


class OpcodeCase(SynchronousTestCase):
    """Has a world, which every opcode leaves sound, changing nothing it has not locked."""

    def setUp(self) -> None:
        self.world = World()

    def run_op(self, op_id: str, **parameters: Any) -> Ended:
        ended = self.world.run(op(op_id, **parameters))
        self.assertEqual(ended.unlocked, set())
        self.assertEqual(complaints(self.world), [])
        return ended

    def well(self, op_id: str, **parameters: Any) -> Ended:
        """It succeeds."""
        ended = self.run_op(op_id, **parameters)
        self.assertIsNone(ended.error)
        return ended
