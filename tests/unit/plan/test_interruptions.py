"""Crashes and faults at every single place of every opcode that asks nodes for something."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, op
from tests.unit.plan.scenes import SCENES, opcode_of, world_before
from tests.unit.plan.test_properties import FAULTS, end
from twisted_rapi.model.opcodes import Opcode, to_wire
from twisted_rapi.plan.table import PLANS
from twisted_rapi.testing.faulty_nodes import Fault
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

SECOND: tuple[Fault, ...] = ("fails", "dies late")
EVERY = bool(os.environ.get("RAPI_EVERY"))
"""Whether everything that may happen soon after happens after each place, and not one of it, in turn."""

# A failed removal has taken disks away, to be removed again; some were gone before they were made anew.
TAKES_DISKS_AWAY = (
    *("remove", "recreate", "recreate elsewhere", "recreate where a script says"),
    *("export and remove", "undefine with disks"),
)
# A size that could not be measured stays as wrong as it was.
FINDS_WRONG_SIZES = ("repair sizes", "roll a disk back", "define")
# A guest that went while a node died is found by the opcode that cleans up after migrations.
MOVES_GUESTS = (
    *("migrate", "migrate a mirrored one", "failover", "failover of a mirrored one"),
    *("move a machine", "move a mirrored machine", "move a machine that rests", "leave", "return"),
)
# What is not repeated as it was is told as it is found then.
TOLD_ANEW = (*MOVES_GUESTS, "remove an export")
# A guest is stopped, and started, again.
BOOTS_ANEW = ("export",)

TRACELESS = (
    *("create", "create without an OS", "commit", "rename", "activate"),
    *("convert file to drbd", "convert plain to ext", "convert drbd to file"),
)


def told_of(name: str, ended: Ended) -> object:
    """How it ended, and what it submitted."""
    if name in TOLD_ANEW:
        ended.log.clear()
    return end(ended), [[to_wire(each) for each in job] for job in ended.jobs]


def unexcused(name: str, world: World, ended: Ended) -> list[str]:
    """What is wrong in the world and is not to be expected after the opcode was disturbed."""
    found = complaints(world)
    if ended.error is not None and name in TAKES_DISKS_AWAY:
        found = [complaint for complaint in found if not complaint.endswith(" is missing")]
    if name in FINDS_WRONG_SIZES:
        found = [complaint for complaint in found if " MiB instead of " not in complaint]
    return found


def seen(name: str, world: World) -> str:
    """What is there."""
    told = re.sub(r"<serial>[0-9a-f-]{20}</serial>", "", picture(world))  # half a uuid is a disk's there
    return re.sub(r"'boot\d+'", "a boot", told) if name in BOOTS_ANEW else told


def in_turn(number: int, choices: Sequence[Any]) -> Sequence[Any]:
    """Nothing, and what happens soon after the place of this number."""
    return (None, *choices) if EVERY else (None, choices[number % len(choices)])


class InterruptionTests(SynchronousTestCase):
    """Every opcode in a scene in which it succeeds, disturbed at each of its places in turn."""

    def setUp(self) -> None:
        self.worlds: dict[str, World] = {}

    def scene(self, name: str, seed: int = 0) -> tuple[World, Opcode]:
        """A world in which the opcode is about to be carried out."""
        if name not in self.worlds:
            self.worlds[name] = world_before(name)
        world = self.worlds[name].fork(Random(seed))
        return world, opcode_of(name, world)

    def test_whole(self) -> None:
        """There is a scene for every opcode that has a plan."""
        self.assertEqual(set(PLANS) - {type(self.scene(name)[1]) for name in SCENES}, set())

    def test_calm(self) -> None:
        """Undisturbed they succeed, and the world is in order."""
        for name in SCENES:
            world, opcode = self.scene(name)
            ended = world.run(opcode)
            self.assertEqual((ended.error, complaints(world), ended.unlocked), (None, [], set()), name)
            self.assertEqual(world.leftovers, {}, name)

    def test_crash_anywhere(self) -> None:
        """Wherever the master dies, once or once more soon after, the end is the same."""
        for name in SCENES:
            calm, opcode = self.scene(name)
            first = calm.moments
            wanted = told_of(name, calm.run(opcode)), seen(name, calm)
            places = range(first, calm.moments)
            for crash, again in ((place, more) for place in places for more in in_turn(place, (1, 2, 4))):
                stormy, opcode = self.scene(name, seed=crash)
                stormy.crashes = {crash} if again is None else {crash, crash + again}
                got = told_of(name, stormy.run(opcode)), seen(name, stormy)
                self.assertEqual(got, wanted, f"{name}: {stormy.crashes}")

    def _disturbed(self, name: str) -> Iterator[tuple[str, World, Ended]]:
        calm, opcode = self.scene(name)
        first = calm.steps
        calm.run(opcode)
        second = tuple(product((1, 2), SECOND))
        disturbed = enumerate(product(range(first, calm.steps), FAULTS))
        for step, fault, later in (
            (*d, more) for n, d in disturbed for more in in_turn(n + n // len(FAULTS), second)
        ):
            world, opcode = self.scene(name)
            world.faults = {step: fault}
            if later is not None:
                world.faults[step + later[0]] = later[1]
            told = f"{name}: {world.faults}"
            yield told, world, world.run(opcode)

    def test_fault_anywhere(self) -> None:
        """Whatever step fails, and one soon after it, nothing half made is left but what leftovers mend."""
        for name in SCENES:
            for told, world, ended in self._disturbed(name):
                if name not in MOVES_GUESTS:
                    self.assertEqual(unexcused(name, world, ended), [], told)
                self.assertEqual(ended.unlocked, set(), told)
                world.settle()
                if name in MOVES_GUESTS and complaints(world):
                    self.assertIsNotNone(ended.error, told)
                    self.assertIsNone(
                        world.run(op("INSTANCE_MIGRATE", instance_name=NAMES[0], cleanup=True)).error
                    )
                self.assertEqual((unexcused(name, world, ended), world.leftovers), ([], {}), told)

    def test_taken_back(self) -> None:
        """What fails before it took effect leaves no trace once the leftovers are settled."""
        for name in TRACELESS:
            before = picture(self.scene(name)[0])
            traceless = 0
            for told, world, ended in self._disturbed(name):
                if ended.error is not None and "made" not in ended.stages:
                    if len(world.faults) == 1 and not any(n.down for n in world.nodes.nodes.values()):
                        self.assertEqual(world.leftovers, {}, told)
                    world.settle()
                    got = picture(world).splitlines()
                    volatile = ('"mtime"', '"serial_no"')
                    self.assertEqual(
                        [line for line in got if not line.strip().startswith(volatile)],
                        [line for line in before.splitlines() if not line.strip().startswith(volatile)],
                        told,
                    )
                    traceless += 1
            self.assertGreater(traceless, 0, name)
