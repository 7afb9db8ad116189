"""Tests of reinstalling and renaming instances."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import DEVICES, NAMES, create, op
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_power import UNKNOWN, changed, world_with
from twisted_rapi.model.records import name_key
from twisted_rapi.model.steps import RunOs
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

A, B = NAMES
AT = "OS Parameters validation failed on node node1.example.com: "


def _without_os() -> World:
    """A world whose instance has no OS, as an earlier release could make them."""
    world = world_with(no_install=True)
    changed(world, os="")
    return world


class ReinstallTests(SynchronousTestCase):
    """``OP_INSTANCE_REINSTALL``."""

    def run_in(self, world: World, **parameters: Any) -> Ended:
        return world.run(op("INSTANCE_REINSTALL", **{"instance_name": A, **parameters}))

    def test_whole(self) -> None:
        """Parameters are checked, the change is noted, the script runs; log as observed."""
        world = world_with(start=False)
        ended = self.run_in(world, os_type="noop+alt", osparams={"dhcp": "no"})
        self.assertEqual((pair(ended), ended.result), (None, None))
        self.assertEqual(
            ended.log,
            ["Changing OS scripts to 'noop+alt'...", " - INFO: Running instance OS create scripts..."],
        )
        self.assertEqual(ended.steps, ["os.verify", "os.run"])
        record = world.instance(A)
        self.assertEqual((record.os, record.osparams), ("noop+alt", {"dhcp": "no"}))
        run = world.nodes.nodes[NODES[0]].done[-1]
        assert isinstance(run, RunOs)
        self.assertEqual((run.action, run.reinstall, run.domain.os), ("create", True, "noop+alt"))

    def test_same(self) -> None:
        """With nothing changed the record stays as it was."""
        world = world_with(start=False)
        before = picture(world)
        ended = self.run_in(world)
        self.assertEqual(ended.log, [" - INFO: Running instance OS create scripts..."])
        self.assertEqual(picture(world), before)

    def test_refused(self) -> None:
        """Unknown, up, without disks or OS, of an OS that is not there."""
        self.assertEqual(pair(self.run_in(World(), instance_name="nosuch")), UNKNOWN)
        for world, parameters, error in (
            (
                world_with(),
                {},
                ["OpPrereqError", [f"Instance '{A}' is marked to be up, cannot reinstall", "wrong_state"]],
            ),
            (
                world_with(start=False, disk_template="diskless", disks=[]),
                {},
                ["OpPrereqError", [f"Instance '{A}' has no disks", "wrong_input"]],
            ),
            (
                _without_os(),
                {},
                ["OpPrereqError", [f"Instance '{A}' has no OS and none was given", "wrong_input"]],
            ),
            (
                world_with(start=False),
                {"os_type": "nope"},
                ["OpExecError", [f"{AT}Directory for OS nope not found in search path"]],
            ),
            (
                world_with(start=False),
                {"osparams": {"colour": "red"}},
                ["OpExecError", [f"{AT}The following parameters are not supported by the OS noop: colour"]],
            ),
        ):
            before = picture(world)
            ended = self.run_in(world, **parameters)
            self.assertEqual((pair(ended), ended.steps, picture(world)), (error, [], before))

    def test_secret(self) -> None:
        """A secret parameter reaches the script and is not kept."""
        world = world_with(start=False)
        self.run_in(world, osparams_secret={"dhcp": "hush"})
        run = world.nodes.nodes[NODES[0]].done[-1]
        assert isinstance(run, RunOs)
        self.assertEqual(run.domain.osparams["dhcp"], "hush")
        self.assertNotIn("hush", picture(world))


class RenameTests(SynchronousTestCase):
    """``OP_INSTANCE_RENAME``."""

    def run_in(self, world: World, **parameters: Any) -> Ended:
        usual = {"instance_name": A, "new_name": "c.example.com"}
        return world.run(op("INSTANCE_RENAME", **{**usual, **parameters}))

    def test_whole(self) -> None:
        """The name is reserved, the files moved, the record changed, the OS told; the old name is free."""
        world = world_with(start=False, **DEVICES)
        ended = self.run_in(world, new_name="C.example.com.")
        self.assertEqual((pair(ended), ended.result, ended.log), (None, "c.example.com", []))
        self.assertEqual(ended.stages, ["reserved", "moved", "renamed", "told"])
        self.assertEqual(ended.steps, ["volume.move", "volume.move", "os.run"])
        record = world.instance("c.example.com")
        for disk in record.disks:
            self.assertTrue(disk.logical_id[1].startswith("/files/c.example.com/"))
        run = world.nodes.nodes[NODES[0]].done[-1]
        assert isinstance(run, RunOs)
        self.assertEqual((run.action, run.old_name, run.domain.name), ("rename", A, "c.example.com"))
        self.assertEqual((complaints(world), name_key("instance", A) in world.names), ([], False))

    def test_same_name(self) -> None:
        """To its own name nothing happens."""
        world = world_with(start=False)
        before = picture(world)
        ended = self.run_in(world, new_name=A)
        self.assertEqual((ended.result, ended.steps, picture(world)), (A, [], before))

    def test_refused(self) -> None:
        """Unknown, up, to a name that is taken or is none."""
        up, down = world_with(), world_with(start=False)
        down.run(create(B))
        self.assertEqual(pair(self.run_in(down, instance_name="nosuch")), UNKNOWN)
        for world, parameters, error in (
            (
                up,
                {},
                ["OpPrereqError", [f"Instance '{A}' is marked to be up, cannot rename", "wrong_state"]],
            ),
            (
                down,
                {"new_name": B},
                ["OpPrereqError", [f"Instance '{B}' is already in the cluster", "already_exists"]],
            ),
            (down, {"new_name": "a b"}, ["OpPrereqError", ["Invalid hostname 'a b'", "wrong_input"]]),
            (
                down,
                {"ip_check": True},
                ["OpPrereqError", ["IP address check requires a name check", "wrong_input"]],
            ),
        ):
            before = picture(world)
            self.assertEqual((pair(self.run_in(world, **parameters)), picture(world)), (error, before))

    def test_taken_back(self) -> None:
        """A move that fails is taken back, and the new name is free again."""
        world = world_with(start=False, **DEVICES)
        before = picture(world)
        world.faults = {world.steps + 1: "fails"}
        ended = self.run_in(world)
        self.assertEqual(pair(ended), ["OpExecError", ["Node node1.example.com: a planted fault"]])
        self.assertEqual((picture(world), world.leftovers), (before, {}))
        self.assertEqual(ended.steps, ["volume.move"] * 4)

    def test_lost_volume(self) -> None:
        """A file that is not there keeps it from being renamed, and the others are where they were."""
        world = world_with(start=False, **DEVICES)
        first, second = (disk.logical_id[1] for disk in world.instance(A).disks)
        del world.nodes.nodes[NODES[0]].volumes[second]
        self.assertEqual(
            pair(self.run_in(world)), ["OpExecError", [f"Node node1.example.com: {second} does not exist"]]
        )
        self.assertEqual(list(world.nodes.nodes[NODES[0]].volumes), [first])

    def test_script_fails(self) -> None:
        """A script that fails is a warning: the instance has its new name."""
        world = world_with(start=False)
        world.faults = {world.steps + 1: "fails"}
        ended = self.run_in(world)
        self.assertEqual(
            (ended.result, ended.log),
            (
                "c.example.com",
                [
                    " - WARNING: Could not run OS rename script: Node node1.example.com: a planted fault",
                ],
            ),
        )

    @settings(max_examples=12)
    @given(st.sampled_from(["c", "c.d", "0", "x_y.example.com"]), st.sampled_from([None, "sub", "c"]))
    def test_there_and_back(self, name: str, folder: str | None) -> None:
        """Renamed there and back again all is as before, but for the serial number."""
        world = world_with(start=False, no_install=True, file_storage_dir=folder)
        changed(world, os="")
        before = picture(world)
        self.run_in(world, new_name=name)
        ended = self.run_in(world, instance_name=name, new_name=A)
        self.assertEqual(ended.result, A)
        changed(world, serial_no=1)
        self.assertEqual(picture(world), before)
