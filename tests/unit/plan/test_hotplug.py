"""Devices that a running guest gets and loses."""

from itertools import product
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, well, world_with
from tests.unit.plan.test_exports import node
from tests.unit.plan.test_properties import FAULTS
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.steps import AttachDisk, DetachDisk, ShowGrowth
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import World

DISKS = [["remove", 1, {}], ["add", -1, {"size": 16}]]
NICS = [["remove", 0, {}], ["add", -1, {"mac": "aa:00:00:00:00:02"}]]


def modify(**more: Any) -> Opcode:
    """A modification of the instance."""
    return op("INSTANCE_SET_PARAMS", instance_name=A, **more)


def scene(template: str = "file", **more: Any) -> World:
    """A running guest with two disks and two NICs."""
    two = {"disks": [{"size": 64}, {"size": 32}], "nics": [{}, {}]}
    return world_with(template, **{**two, **more})


def differs(world: World) -> set[str]:
    """Which devices the guest has and its record has not, or the other way round."""
    instance = world.instance(A)
    wanted = {*(disk.uuid[:20] for disk in instance.disks), *(nic.mac for nic in instance.nics)}
    return wanted ^ set(node(world, "node1").domains[A].devices)


class HotplugTests(SynchronousTestCase):
    """``hotplug`` and ``hotplug_if_possible``."""

    def test_at_once(self) -> None:
        """The guest gets and loses what its record does; the removed disk is gone."""
        for template, how in product(("file", "plain"), ("hotplug", "hotplug_if_possible")):
            world = scene(template)
            ended = well(world.run(modify(disks=DISKS, nics=NICS, **{how: True})))
            self.assertEqual((differs(world), complaints(world), ended.unlocked), (set(), [], set()))
            self.assertEqual(ended.log[-1], " - INFO: Hotplug done.")
            self.assertEqual([d.size for d in world.instance(A).disks], [64, 16])

    def test_changed_nic(self) -> None:
        """A NIC that is another way now is taken and given again."""
        world = scene()
        well(world.run(modify(nics=[["modify", 0, {"mac": "aa:00:00:00:00:09"}]], hotplug=True)))
        self.assertEqual(differs(world), set())

    def test_later(self) -> None:
        """Without it changes wait for the next start, and disks in use stay."""
        world = scene()
        well(world.run(modify(disks=[["add", -1, {"size": 16}]], nics=NICS)))
        self.assertEqual(len(differs(world)), 3)
        error = world.run(modify(disks=[["remove", 0, {}]])).error
        assert error is not None
        self.assertEqual(error.code, "wrong_state")

    def test_at_rest(self) -> None:
        """A guest that does not run cannot be meant by ``hotplug``; the other word does not mind."""
        world = scene(start=False)
        error = world.run(modify(disks=DISKS, hotplug=True)).error
        assert error is not None
        self.assertEqual(error.code, "wrong_state")
        well(world.run(modify(disks=DISKS, hotplug_if_possible=True)))
        self.assertEqual(complaints(world), [])

    def test_kept(self) -> None:
        """A disk the guest does not let go of stays its disk, and what was made is removed."""
        world = scene()
        before = world.instance(A)
        node(world, "node1").faults = {DetachDisk: [StepFailed("it is in use", "hypervisor")]}
        error = world.run(modify(disks=DISKS, nics=NICS, hotplug=True)).error
        assert error is not None
        self.assertIn("in use", error.text)
        self.assertEqual((world.instance(A), differs(world), complaints(world)), (before, set(), []))

    def test_not_attached(self) -> None:
        """What the guest does not take it has from its next start on, and the log says so."""
        world = scene()
        node(world, "node1").faults = {AttachDisk: [StepFailed("no slot", "hypervisor")]}
        ended = well(world.run(modify(disks=[["add", -1, {"size": 16}]], hotplug=True)))
        self.assertIn("no slot", ended.log[-1])
        self.assertEqual((len(differs(world)), complaints(world)), (1, []))

    def test_growth(self) -> None:
        """A running guest is told that its disk has grown; where that fails the log says so."""
        grow = op("INSTANCE_GROW_DISK", instance_name=A, disk=0, amount=64)
        world = scene()
        well(world.run(grow))
        [shown] = [step for step in node(world, "node1").done if isinstance(step, ShowGrowth)]
        self.assertEqual((shown.disk.size, world.instance(A).disks[0].size), (128, 128))
        node(world, "node1").faults = {ShowGrowth: [StepFailed("no way", "hypervisor")]}
        ended = well(world.run(grow))
        self.assertTrue(any("no way" in line for line in ended.log), ended.log)

    def test_interrupted(self) -> None:
        """Wherever the master dies or a step fails, record and guest agree, or the log says so."""
        opcode = modify(disks=DISKS, nics=NICS, hotplug=True)
        calm = scene()
        moments, steps = calm.moments, calm.steps
        well(calm.run(opcode))
        for crash in range(moments, calm.moments):
            world = scene()
            world.crashes = {crash}
            well(world.run(opcode))
            self.assertEqual((differs(world), complaints(world)), (set(), []), crash)
        for step, fault in product(range(steps, calm.steps), FAULTS):
            world = scene()
            world.faults = {step: fault}
            ended = world.run(opcode)
            world.settle()
            told = any("WARNING" in line for line in ended.log)
            self.assertEqual((complaints(world), world.leftovers), ([], {}), (step, fault))
            self.assertTrue(told or ended.error is not None or not differs(world), (step, fault))
