"""Tests of starting, stopping, rebooting and removing instances."""

from functools import partial
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import DEVICES, NAMES, create, op
from tests.unit.plan.test_create import pair
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import InstanceRecord, NodeRecord, name_key
from twisted_rapi.model.steps import StartDomain, StopDomain
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

A, B = NAMES
UNKNOWN = ["OpPrereqError", ["Instance 'nosuch' not known", "unknown_entity"]]


def world_with(**parameters: Any) -> World:
    """A world with one instance on the first node."""
    world = World()
    ended = world.run(create(pnode="node1", **parameters))
    assert ended.error is None, ended
    world.nodes.nodes[NODES[0]].done.clear()
    return world


def changed(world: World, cls: type[Record] = InstanceRecord, **values: Any) -> None:
    """Give the instance, or the first node, other values."""
    record: Any = world.of(NodeRecord)[NODES[0]] if cls is NodeRecord else world.instance(A)
    world.put(replace(record, **values))


class StartupTests(SynchronousTestCase):
    """``OP_INSTANCE_STARTUP``."""

    def run_in(self, world: World, **parameters: Any) -> Ended:
        return world.run(op("INSTANCE_STARTUP", **{"instance_name": A, **parameters}))

    def test_whole(self) -> None:
        """It is marked up first and started then; the result is null and nothing is logged."""
        world = world_with(start=False)
        ended = self.run_in(world)
        self.assertEqual((ended.result, pair(ended), ended.log), (None, None, []))
        self.assertEqual((ended.stages, ended.steps), (["marked", "started"], ["domain.start"]))
        record = world.instance(A)
        self.assertEqual((record.admin_state, record.disks_active, record.serial_no), ("up", True, 2))

    def test_again(self) -> None:
        """One that runs is left alone."""
        world = world_with()
        before = picture(world)
        self.assertEqual(pair(self.run_in(world)), None)
        self.assertEqual(picture(world), before)

    def test_refused(self) -> None:
        """Unknown, offline, without memory or bridges, with parameters that do not exist."""
        world = world_with(start=False)
        before = picture(world)
        self.assertEqual(pair(self.run_in(world, instance_name="nosuch")), UNKNOWN)
        for parameters, error in (
            ({"beparams": {"foo": 1}}, ["TypeEnforcementError", ["Unknown parameter 'foo'"]]),
            ({"hvparams": {"acpi": True}}, ["HypervisorError", ["Parameter 'acpi' is not supported"]]),
            (
                {"beparams": {"maxmem": "64G"}},
                [
                    "OpPrereqError",
                    [
                        (
                            f"Not enough memory on node node1.example.com for instance {A}: "
                            "needed 65536 MiB, available 32768 MiB"
                        ),
                        "insufficient_resources",
                    ],
                ],
            ),
        ):
            self.assertEqual(pair(self.run_in(world, **parameters)), error)
        self.assertEqual(picture(world), before)
        changed(world, admin_state="offline")
        self.assertEqual(
            pair(self.run_in(world)),
            ["OpPrereqError", [f"Instance '{A}' is marked to be offline, cannot start", "wrong_state"]],
        )

    def test_once(self) -> None:
        """Values for this one start are not kept, and it need not be remembered at all."""
        world = world_with(start=False)
        self.run_in(world, beparams={"memory": 512}, no_remember=True, startup_paused=True)
        record = world.instance(A)
        self.assertEqual((record.admin_state, record.beparams), ("down", {}))
        domain = world.nodes.nodes[NODES[0]].domains[A]
        self.assertEqual((domain.memory, domain.state), (512, "paused"))

    def test_node_offline(self) -> None:
        """A node that is marked offline is an error unless it is to be ignored."""
        world = world_with(start=False)
        changed(world, NodeRecord, offline=True)
        self.assertEqual(
            pair(self.run_in(world)),
            ["OpPrereqError", ["Node 'node1.example.com' is marked offline", "wrong_state"]],
        )
        ended = self.run_in(world, ignore_offline_nodes=True)
        self.assertEqual((ended.log, ended.steps), ([" - WARNING: Ignoring offline primary node"], []))
        self.assertEqual(world.instance(A).admin_state, "up")


class ShutdownTests(SynchronousTestCase):
    """``OP_INSTANCE_SHUTDOWN``."""

    def run_in(self, world: World, **parameters: Any) -> Ended:
        return world.run(op("INSTANCE_SHUTDOWN", **{"instance_name": A, **parameters}))

    def test_whole(self) -> None:
        """It is marked down first and stopped then, with the time the guest was given."""
        world = world_with()
        ended = self.run_in(world, timeout=7)
        self.assertEqual((ended.result, pair(ended), ended.log), (None, None, []))
        self.assertEqual((ended.stages, ended.steps), (["marked", "stopped"], ["domain.stop"]))
        self.assertEqual(world.instance(A).admin_state, "down")
        [step] = world.nodes.nodes[NODES[0]].done
        assert isinstance(step, StopDomain)
        self.assertEqual((step.timeout, step.force, step.boot), (7, False, ""))

    def test_refused(self) -> None:
        """Unknown or marked offline, except by force; then it stays offline."""
        world = world_with(start=False)
        self.assertEqual(pair(self.run_in(world, instance_name="nosuch")), UNKNOWN)
        changed(world, admin_state="offline")
        self.assertEqual(
            pair(self.run_in(world)),
            ["OpPrereqError", [f"Instance '{A}' is marked to be offline, cannot shutdown", "wrong_state"]],
        )
        self.assertEqual(pair(self.run_in(world, force=True)), None)
        self.assertEqual(world.instance(A).admin_state, "offline")

    def test_not_remembered(self) -> None:
        """What is wanted stays as it was, if asked for."""
        world = world_with()
        self.run_in(world, no_remember=True)
        self.assertEqual((world.instance(A).admin_state, world.nodes.nodes[NODES[0]].domains), ("up", {}))

    def test_silent_node(self) -> None:
        """A node that does not answer is an error, and nothing is marked."""
        world = world_with()
        world.nodes.nodes[NODES[0]].down = True
        self.assertEqual(
            pair(self.run_in(world)),
            ["OpPrereqError", ["Node 'node1.example.com' does not answer", "environment_error"]],
        )
        self.assertEqual(world.instance(A).admin_state, "up")


class RebootTests(SynchronousTestCase):
    """``OP_INSTANCE_REBOOT``."""

    def run_in(self, world: World, kind: str = "hard", **parameters: Any) -> Ended:
        return world.run(op("INSTANCE_REBOOT", **{"instance_name": A, "reboot_type": kind, **parameters}))

    def test_running(self) -> None:
        """The boot that runs is stopped, at once only for a hard reboot, and another one begins."""
        for kind in ("hard", "soft", "full"):
            world = world_with()
            ended = self.run_in(world, kind, shutdown_timeout=9)
            self.assertEqual((ended.result, pair(ended), ended.log), (None, None, []))
            stop, start = world.nodes.nodes[NODES[0]].done
            assert isinstance(stop, StopDomain)
            self.assertEqual((stop.force, stop.timeout, stop.boot), (kind == "hard", 9, "boot1"))
            self.assertIsInstance(start, StartDomain)
            self.assertEqual(world.nodes.nodes[NODES[0]].domains[A].boot, "boot2")

    def test_stopped(self) -> None:
        """One that is stopped is started, which is told, and marked up."""
        world = world_with(start=False)
        ended = self.run_in(world)
        self.assertEqual(ended.log, [f" - INFO: Instance {A} was already stopped, starting now"])
        self.assertEqual((ended.steps, world.instance(A).admin_state), (["domain.start"], "up"))

    def test_refused(self) -> None:
        """Unknown, or marked offline."""
        world = world_with(start=False)
        self.assertEqual(pair(self.run_in(world, instance_name="nosuch")), UNKNOWN)
        changed(world, admin_state="offline")
        self.assertEqual(
            pair(self.run_in(world)),
            ["OpPrereqError", [f"Instance '{A}' is marked to be offline, cannot reboot", "wrong_state"]],
        )


class RemoveTests(SynchronousTestCase):
    """``OP_INSTANCE_REMOVE``."""

    def run_in(self, world: World, **parameters: Any) -> Ended:
        return world.run(op("INSTANCE_REMOVE", **{"instance_name": A, **parameters}))

    def test_whole(self) -> None:
        """It is stopped, its disks go, its name and addresses are free again."""
        empty = picture(World())
        world = world_with(**DEVICES)
        ended = self.run_in(world)
        self.assertEqual((ended.result, pair(ended), ended.log), (None, None, []))
        self.assertEqual(ended.steps, ["domain.stop", "volume.delete", "volume.delete"])
        self.assertEqual(picture(world), empty)
        self.assertEqual(pair(self.run_in(world, instance_name="nosuch")), UNKNOWN)

    def test_silent_node(self) -> None:
        """A node that does not answer keeps it from being removed, unless failures are to be ignored."""
        world = world_with()
        world.nodes.nodes[NODES[0]].down = True
        before = picture(world)
        self.assertEqual(
            pair(self.run_in(world)),
            ["OpPrereqError", ["Node 'node1.example.com' does not answer", "environment_error"]],
        )
        self.assertEqual(picture(world), before)
        ended = self.run_in(world, ignore_failures=True)
        self.assertEqual(ended.log, [f" - WARNING: removal of {A}: work is left for node node1.example.com"])
        self.assertEqual(len(world.leftovers), 1)
        world.settle()
        self.assertEqual(picture(world), picture(World()))

    def test_failures_ignored(self) -> None:
        """What cannot be stopped keeps its files until it can."""
        world = world_with()
        world.faults = {world.steps: "fails"}
        ended = self.run_in(world, ignore_failures=True)
        self.assertEqual(ended.steps, ["domain.stop"])
        self.assertEqual(
            ended.log,
            [
                " - WARNING: Node node1.example.com: a planted fault",
                f" - WARNING: removal of {A}: work is left for node node1.example.com",
            ],
        )
        [left] = world.leftovers.values()
        self.assertEqual([s["step"] for s in left.steps], ["domain.stop", "volume.delete"])

    def test_earlier_reservations(self) -> None:
        """One whose addresses were never reserved, by an earlier version, is removed as any other."""
        world = world_with(nics=[{}, {}])
        for nic in world.instance(A).nics:
            del world.names[name_key("mac", nic.mac)]
        self.assertEqual(pair(self.run_in(world)), None)
        self.assertEqual(complaints(world), [])


class SubjectTests(SynchronousTestCase):
    """An opcode is about the instance it began with, though names change hands meanwhile."""

    def test_new_name_in_the_way(self) -> None:
        """A new instance that is called by what was short for another is not touched."""
        for opcode, stage in (
            (op("INSTANCE_REMOVE", instance_name="a"), "begun"),
            (op("INSTANCE_SHUTDOWN", instance_name="a"), "marked"),
            (op("INSTANCE_REBOOT", instance_name="a", reboot_type="hard"), "begun"),
            (op("INSTANCE_STARTUP", instance_name="a"), "marked"),
            (op("INSTANCE_ACTIVATE_DISKS", instance_name="a"), "marked"),
            (op("INSTANCE_SET_PARAMS", instance_name="a", nics=[["add", {}]]), "judged"),
        ):
            world = world_with(**DEVICES)
            other: list[InstanceRecord] = []

            def appear(world: World = world, other: list[InstanceRecord] = other) -> None:
                assert world.run(create("a", start=False), 7).error is None
                other.append(world.instance("a"))

            world.meanwhile[stage] = appear
            ended = world.run(opcode)
            self.assertEqual((pair(ended), complaints(world)), (None, []), opcode.OP_ID)
            self.assertEqual(world.instance("a"), other[0], opcode.OP_ID)

    def test_at_rest(self) -> None:
        """The same of opcodes for instances at rest."""
        for opcode, stage in (
            (op("INSTANCE_DEACTIVATE_DISKS", instance_name="a"), "inactive"),
            (op("INSTANCE_REINSTALL", instance_name="a"), "noted"),
            (op("INSTANCE_RENAME", instance_name="a", new_name="c.example.com"), "reserved"),
        ):
            world = world_with(start=False)
            world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A))
            world.meanwhile[stage] = partial(world.run, create("a", start=False), 7)
            ended = world.run(opcode)
            self.assertEqual((pair(ended), complaints(world)), (None, []), opcode.OP_ID)
            self.assertEqual((world.instance("a").serial_no, world.instance("a").os), (1, "noop+default"))
