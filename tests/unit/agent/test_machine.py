"""Tests of the steps about the node itself."""

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent.node import Node
from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model import steps
from twisted_rapi.model.steps import DomainSpec, Outcome, Step
from twisted_rapi.storage.units import Groups, SimulatedUnits
from twisted_rapi.testing.agents import at_once, make_node
from twisted_rapi.testing.fencing import FakeFencer
from twisted_rapi.testing.volumes import MemoryShelf

DOMAIN = DomainSpec(
    name="web1", instance_uuid="u1", hypervisor="fake", memory=128, minmem=128, vcpus=1, disks=()
)


class MachineCase(SynchronousTestCase):
    """Has a folder and a clock, and makes nodes with them."""

    def setUp(self) -> None:
        self.folder, self.clock = Path(self.mktemp()), Clock()

    def begun(self, **parts: Any) -> Node:
        """A node at work."""
        node = make_node(self.folder, self.clock, **parts)
        self.successResultOf(Deferred.fromCoroutine(node.begin()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(node.end())))
        return node

    def does(self, node: Node, step: Step) -> Outcome:
        """What the step gives."""
        return self.successResultOf(Deferred.fromCoroutine(node.perform(step, 1)))

    def fails(self, node: Node, step: Step) -> StepFailed:
        """Why the step fails."""
        found = self.failureResultOf(Deferred.fromCoroutine(node.perform(step, 1)), StepFailed).value
        assert isinstance(found, StepFailed)
        return found


class PingTests(MachineCase):
    """`Ping`."""

    def test_simulated(self) -> None:
        """A simulated node has every address."""
        self.assertEqual(self.does(self.begun(), steps.Ping(instance="", address="203.0.113.1")), Outcome())

    def test_real(self) -> None:
        """A real one has its own, of both kinds."""
        node = self.begun(simulated=None)
        self.does(node, steps.Ping(instance=""))
        self.does(node, steps.Ping(instance="", address="127.0.0.1"))
        for address in ("203.0.113.1", "2001:db8::1"):
            error = self.fails(node, steps.Ping(instance="", address=address))
            self.assertEqual((error.kind, address in error.text), ("network", True))


class PowercycleTests(MachineCase):
    """`Powercycle`."""

    def test_simulated(self) -> None:
        """Guests are gone after the delay, and not before."""
        hypervisor = SimulatedHypervisor(self.folder / "fake", self.clock, at_once, Random(1))
        node = self.begun(hypervisors={"fake": hypervisor})
        self.does(node, steps.StartDomain(instance="web1", domain=DOMAIN))
        outcome = self.does(node, steps.Powercycle(instance="", delay=5))
        self.assertEqual(outcome.text, "Reboot scheduled in 5 seconds")
        self.clock.advance(4)
        self.assertTrue(self.running(hypervisor))
        self.clock.advance(1)
        self.assertFalse(self.running(hypervisor))

    def running(self, hypervisor: SimulatedHypervisor) -> bool:
        """Whether the guest runs."""
        found = self.successResultOf(Deferred.fromCoroutine(hypervisor.domains()))
        return "web1" in found and found["web1"].running

    def test_command(self) -> None:
        """A real node is restarted once, however often it is asked meanwhile."""
        begun: list[float] = []
        node = self.begun(simulated=None, powercycle=lambda: begun.append(self.clock.seconds()))
        for _ in range(2):
            self.does(node, steps.Powercycle(instance="", delay=5))
            self.clock.advance(2)
        self.clock.advance(10)
        self.assertEqual(len(begun), 1)

    def test_ended(self) -> None:
        """An agent that has ended restarts nothing."""
        begun: list[None] = []
        node = make_node(self.folder, self.clock, powercycle=lambda: begun.append(None))
        self.successResultOf(Deferred.fromCoroutine(node.begin()))
        self.does(node, steps.Powercycle(instance="", delay=5))
        self.successResultOf(Deferred.fromCoroutine(node.end()))
        self.clock.advance(10)
        self.assertEqual(begun, [])

    def test_barred(self) -> None:
        """Without a command a real node is not restarted."""
        error = self.fails(self.begun(simulated=None), steps.Powercycle(instance=""))
        self.assertIn("powercycle_command", error.text)


class UnitTests(MachineCase):
    """`ListUnits`, `ChangeUnit` and `RepairUnit`."""

    def test_units(self) -> None:
        """They go to whoever has the kind."""
        groups = Groups(MemoryShelf(), ("xenvg",), lambda: (9, 4), lambda: {"xenvg/a": 5})
        units = SimulatedUnits(groups, at_once)
        node = self.begun(units=dict.fromkeys(("lvm-vg", "lvm-pv"), units))
        [group] = self.does(node, steps.ListUnits(instance="", kind="lvm-vg")).units
        self.assertEqual(group, {"name": "xenvg", "size": 9, "used": 5, "free": 4, "allocatable": True})
        [device] = self.does(node, steps.ListUnits(instance="", kind="lvm-pv")).units
        change = steps.ChangeUnit(instance="", kind="lvm-pv", name=device["name"], allocatable=False)
        self.does(node, change)
        [device] = self.does(node, steps.ListUnits(instance="", kind="lvm-pv")).units
        self.assertIs(device["allocatable"], False)
        self.does(node, steps.RepairUnit(instance="", kind="lvm-vg", name="xenvg"))
        [volume] = self.does(node, steps.ListVolumes(instance="", kind="lvm-vg")).units
        self.assertEqual(volume, {"unit": "xenvg", "name": "a", "size": 5, "device": device["name"]})

    def test_absent(self) -> None:
        """A kind nobody has is a failure about storage."""
        error = self.fails(self.begun(), steps.ListUnits(instance="", kind="lvm-vg"))
        self.assertEqual(error.kind, "storage")


class FenceTests(MachineCase):
    """`FenceNode`."""

    STEP = steps.FenceNode(instance="", name="node2.example.com", uuid="u2")

    def test_fences(self) -> None:
        """The proof is answered, and why there is none."""
        fencer = FakeFencer({"node2.example.com"}, {"node2.example.com": "no answer"})
        node = self.begun(fencer=fencer)
        self.assertEqual(self.fails(node, self.STEP).text, "no answer")
        fencer.trouble.clear()
        self.assertEqual(self.does(node, self.STEP), Outcome(text="node2.example.com is off"))

    def test_none(self) -> None:
        """Where there is no way to fence, it says so."""
        self.assertEqual(self.fails(self.begun(), self.STEP).kind, "fencing")
