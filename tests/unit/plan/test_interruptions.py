"""Crashes and faults at every single place of every opcode that asks nodes for something."""

from collections.abc import Iterator
from itertools import product
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import DEVICES, NAMES, create, op
from tests.unit.plan.test_properties import FAULTS, end
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

A = NAMES[0]
AT_REST = (create(start=False, **DEVICES),)
RUNNING = (create(**DEVICES),)

SCENES: dict[str, tuple[tuple[Opcode, ...], Opcode]] = {
    "create": ((), create(**DEVICES)),
    "create without an OS": ((), create(**DEVICES, no_install=True)),
    "create diskless": ((), create(disk_template="diskless", disks=[])),
    "remove": (RUNNING, op("INSTANCE_REMOVE", instance_name=A)),
    "remove anyhow": (RUNNING, op("INSTANCE_REMOVE", instance_name=A, ignore_failures=True)),
    "startup": (AT_REST, op("INSTANCE_STARTUP", instance_name=A)),
    "shutdown": (RUNNING, op("INSTANCE_SHUTDOWN", instance_name=A)),
    "reboot": (RUNNING, op("INSTANCE_REBOOT", instance_name=A, reboot_type="hard")),
    "reboot of a stopped one": (AT_REST, op("INSTANCE_REBOOT", instance_name=A, reboot_type="soft")),
    "reinstall": (AT_REST, op("INSTANCE_REINSTALL", instance_name=A, os_type="noop+alt")),
    "rename": (AT_REST, op("INSTANCE_RENAME", instance_name=A, new_name="new.example.com")),
    "modify": (
        AT_REST,
        op(
            "INSTANCE_SET_PARAMS",
            instance_name=A,
            disks=[["add", -1, {"size": 16}], ["add", 0, {"size": 8}], ["remove", 1, {}]],
            nics=[["add", -1, {}], ["remove", 0, {}], ["modify", 0, {"mac": "aa:00:00:00:00:09"}]],
            osparams={"dhcp": "yes"},
        ),
    ),
    "balloon": (RUNNING, op("INSTANCE_SET_PARAMS", instance_name=A, runtime_mem=128, nics=[["add", {}]])),
    "activate": (AT_REST, op("INSTANCE_ACTIVATE_DISKS", instance_name=A)),
    "deactivate": (
        (*AT_REST, op("INSTANCE_ACTIVATE_DISKS", instance_name=A)),
        op("INSTANCE_DEACTIVATE_DISKS", instance_name=A),
    ),
    "look": (RUNNING, op("INSTANCE_QUERY_DATA")),
    "tags": (RUNNING, op("TAGS_SET", kind="instance", name=A, tags=["x"])),
}


def scene(name: str, seed: int = 0) -> tuple[World, Opcode]:
    """The world in which the opcode is about to be carried out."""
    before, opcode = SCENES[name]
    world = World()
    for each in before:
        assert world.run(each).error is None
    world.chance = Random(seed)
    return world, opcode


class InterruptionTests(SynchronousTestCase):
    """Every opcode in a scene in which it succeeds, disturbed at each of its places in turn."""

    def test_calm(self) -> None:
        """Undisturbed they succeed, and the world is in order."""
        for name in SCENES:
            world, opcode = scene(name)
            ended = world.run(opcode)
            self.assertEqual((ended.error, complaints(world), ended.unlocked), (None, [], set()), name)
            self.assertEqual(world.leftovers, {}, name)

    def test_crash_anywhere(self) -> None:
        """Wherever the master dies, once or once more soon after, the end is the same."""
        for name in SCENES:
            calm, opcode = scene(name)
            first = calm.moments
            wanted = end(calm.run(opcode)), picture(calm)
            for crash, again in product(range(first, calm.moments), (None, 1, 2, 4)):
                stormy, opcode = scene(name, seed=crash)
                stormy.crashes = {crash} if again is None else {crash, crash + again}
                got = end(stormy.run(opcode)), picture(stormy)
                self.assertEqual(got, wanted, f"{name}: {stormy.crashes}")

    def _disturbed(self, name: str) -> Iterator[tuple[str, World, Ended]]:
        calm, opcode = scene(name)
        first = calm.steps
        calm.run(opcode)
        for step, fault, later in product(range(first, calm.steps), FAULTS, (None, *product((1, 2), FAULTS))):
            world, opcode = scene(name)
            world.faults = {step: fault}
            if later is not None:
                world.faults[step + later[0]] = later[1]
            told = f"{name}: {world.faults}"
            yield told, world, world.run(opcode)

    def test_fault_anywhere(self) -> None:
        """
        Whatever step fails, and one soon after it, nothing half made is left but what leftovers mend.

        Only a removal that failed has taken disks away of an instance that is there, to be removed again.
        """
        for name in SCENES:
            for told, world, ended in self._disturbed(name):
                excused = name == "remove" and ended.error is not None
                found = [c for c in complaints(world) if not (excused and c.endswith(" is missing"))]
                self.assertEqual((found, ended.unlocked), ([], set()), told)
                world.settle()
                found = [c for c in complaints(world) if not (excused and c.endswith(" is missing"))]
                self.assertEqual((found, world.leftovers), ([], {}), told)

    def test_taken_back(self) -> None:
        """What fails before it took effect leaves no trace once the leftovers are settled."""
        for name in ("create", "create without an OS", "rename", "activate"):
            before = picture(scene(name)[0])
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
