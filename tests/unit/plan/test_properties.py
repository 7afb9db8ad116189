"""What holds of all plans of `twisted_rapi.plan.table`, whatever happens while they are carried out."""

import json
import re
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import programs
from twisted_rapi.model.opcodes import OPCODES, Opcode
from twisted_rapi.model.opcodes.instance import InstanceRemove
from twisted_rapi.plan.table import PLANS
from twisted_rapi.testing.faulty_nodes import Fault
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FAULTS: tuple[Fault, ...] = ("fails", "fails late", "dies", "dies late")


def end(ended: Ended) -> str:
    """How an opcode ended, random values aside."""
    text = json.dumps([ended.result, ended.error.pair() if ended.error else None, ended.log])
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|aa:00:00(:[0-9a-f]{2}){3}", "#", text)


def run(world: World, program: list[Opcode]) -> list[str]:
    """Run the opcodes one after the other; how each ended."""
    return [end(world.run(op, job)) for job, op in enumerate(program, 1)]


class PropertyTests(SynchronousTestCase):
    """Programs of a few opcodes about the same few instances."""

    def test_known(self) -> None:
        """What has a plan is an opcode a client can send."""
        self.assertEqual(set(PLANS) - set(OPCODES.values()), set())

    @thorough
    @given(programs)
    def test_undisturbed(self, program: list[Opcode]) -> None:
        """
        After each opcode nothing is half made, the reservations are those of the instances that exist, no
        object was changed without its lock, and one that failed beforehand changed nothing.
        """
        world = World()
        for job, op in enumerate(program, 1):
            before = picture(world)
            ended = world.run(op, job)
            self.assertEqual((complaints(world), ended.unlocked), ([], set()), repr(op))
            if ended.error is not None:
                self.assertEqual(picture(world), before, repr(op))

    @thorough
    @given(programs, st.sets(st.integers(0, 60), min_size=1, max_size=4), st.integers(1, 1000))
    def test_crashes(self, program: list[Opcode], crashes: set[int], seed: int) -> None:
        """Wherever the master dies, the end is the one that comes without, and nothing is done twice."""
        calm, stormy = World(), World(crashes=crashes, chance=Random(seed))
        self.assertEqual(run(stormy, program), run(calm, program))
        self.assertEqual(picture(stormy), picture(calm))

    @thorough
    @given(
        programs,
        st.dictionaries(st.integers(0, 30), st.sampled_from(FAULTS), min_size=1, max_size=3),
        st.sets(st.integers(0, 60), max_size=2),
    )
    def test_faults(self, program: list[Opcode], faults: dict[int, Fault], crashes: set[int]) -> None:
        """
        Whatever steps fail and nodes die, nothing half made is left but what leftovers mend; and they do.

        A removal that failed may have taken disks away: the instance is there for it to be tried again.
        """
        world = World(faults=faults, crashes=crashes)
        removing = False
        for job, op in enumerate(program, 1):
            ended = world.run(op, job)
            removing |= isinstance(op, InstanceRemove) and ended.error is not None
            found = [text for text in complaints(world) if not (removing and text.endswith(" is missing"))]
            self.assertEqual((found, ended.unlocked), ([], set()), repr(op))
        world.settle()
        left = [text for text in complaints(world) if not (removing and text.endswith(" is missing"))]
        self.assertEqual((left, world.leftovers), ([], {}))

    @thorough
    @given(programs)
    def test_dry_run(self, program: list[Opcode]) -> None:
        """A dry run changes nothing, and fails just where the opcode would be refused."""
        world = World()
        for job, op in enumerate(program, 1):
            before = picture(world)
            dry = world.run(
                type(op)(**{**{f: getattr(op, f) for f in op.__struct_fields__}, "dry_run": True})
            )
            self.assertEqual(picture(world), before)
            ended = world.run(op, job)
            self.assertEqual(
                dry.error.pair() if dry.error else None, ended.error.pair() if ended.error else None
            )
