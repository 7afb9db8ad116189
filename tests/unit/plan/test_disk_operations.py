"""Tests of growing, recreating and replacing disks (texts as observed)."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, disks_of, made, well, world_of, world_with
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_evacuation import asked, good
from tests.unit.plan.test_templates import info
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import CreateVolume, GrowVolume, RenewVolume
from twisted_rapi.plan.table import locks_for
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, volumes_of
from twisted_rapi.testing.world import Ended, World

ONE, TWO, THREE = NODES
WAITING = f" - INFO: Waiting for instance {A} to sync disks"
NO = "Node node{}.example.com: no"
IN_SYNC = f" - INFO: Instance {A}'s disks are in sync"


def run(world: World, what: str, **more: Any) -> Ended:
    """The end of an opcode about the instance."""
    return world.run(op(f"INSTANCE_{what}", instance_name=A, **more))


class Case(SynchronousTestCase):
    """Compares what is refused."""

    def refused(self, world: World, what: str, error: list[str], **more: Any) -> None:
        """It is refused with this, and all is as it was."""
        before = (dict(world.names), volumes_of(world), dict(world.records))
        self.assertEqual(pair(run(world, what, **more)), ["OpPrereqError", error])
        self.assertEqual((dict(world.names), volumes_of(world), dict(world.records)), before)

    def sound(self, world: World) -> None:
        """Nothing is half made."""
        self.assertEqual(complaints(world), [])


class GrowTests(Case):
    """Growing disks."""

    def test_texts(self) -> None:
        """By an amount or to a size, the log says from where to where."""
        world = world_with("sharedfile", disks=[{"size": 32}], start=False)
        ended = well(run(world, "GROW_DISK", disk=0, amount=16))
        growing = "Growing disk 0 of instance 'a.example.com' by 16M to {}M"
        self.assertEqual((ended.result, ended.log), (None, [growing.format(48), WAITING, IN_SYNC]))
        ended = well(run(world, "GROW_DISK", disk=0, amount=64, absolute=True, wait_for_sync=False))
        self.assertEqual(ended.log, [growing.format(64)])
        self.assertEqual(world.instance(A).disks[0].size, 64)
        self.sound(world)

    def test_templates(self) -> None:
        """All that can grow do, on all their nodes; running or not."""
        for template in ("drbd", "ext", "file", "gluster", "plain", "rbd", "sharedfile"):
            for start in (True, False):
                world = world_with(template, start=start)
                well(run(world, "GROW_DISK", disk=0, amount=60))
                self.sound(world)
                self.assertEqual(world.instance(A).disks[0].size, 700)
                self.assertEqual(world.instance(A).disks_active, start or template == "drbd")

    def test_mirrored(self) -> None:
        """What is new is filled; disks at rest rest again."""
        world = world_with("drbd")
        well(run(world, "GROW_DISK", disk=0, amount=600, wait_for_sync=False))
        self.assertEqual(info(world)["pstatus"][4:], [10, True, 1])
        world = world_with("drbd")
        well(run(world, "SHUTDOWN"))
        well(run(world, "GROW_DISK", disk=0, amount=600))
        self.assertIsNone(info(world)["pstatus"])
        well(run(world, "STARTUP"))
        self.assertEqual(info(world)["pstatus"][5:], [False, 1])

    def test_refused(self) -> None:
        """What cannot be grown."""
        bad = "Invalid disk index: 7 (instance has disks 0 to 0)"
        small = "Requested size (1M) is smaller than current disk size (640M)"
        world = world_with("plain")
        self.refused(world, "GROW_DISK", [bad, "wrong_input"], disk=7, amount=1)
        self.refused(world, "GROW_DISK", [small, "wrong_state"], disk=0, amount=1, absolute=True)
        room = (
            "Not enough disk space on target node node1.example.com vg xenvg: "
            "required 1048000 MiB, available 1047936 MiB"
        )
        self.refused(
            world,
            "GROW_DISK",
            [room, "insufficient_resources"],
            disk=0,
            amount=1048000,
            ignore_ipolicy=True,
        )
        growing = ["Instance's disk layout does not support growing", "wrong_input"]
        for template in ("diskless", "blockdev"):
            self.refused(world_with(template), "GROW_DISK", growing, disk=0, amount=1)

    def test_nothing_grown(self) -> None:
        """When no side could be grown all is as before."""
        world = world_with("drbd")
        world.nodes.nodes[TWO].faults[GrowVolume] = [StepFailed("no", "storage")]
        self.assertEqual(pair(run(world, "GROW_DISK", disk=0, amount=60)), ["OpExecError", [NO.format(2)]])
        self.assertEqual(world.instance(A).disks[0].size, 640)
        self.sound(world)

    def test_half_grown(self) -> None:
        """When one side could be, the other follows when it can."""
        world = world_with("drbd")
        world.nodes.nodes[ONE].faults[GrowVolume] = [StepFailed("no", "storage")]
        self.assertEqual(pair(run(world, "GROW_DISK", disk=0, amount=60)), ["OpExecError", [NO.format(1)]])
        self.assertEqual((world.instance(A).disks[0].size, len(world.leftovers)), (700, 1))
        world.settle()
        self.sound(world)


class RecreateTests(Case):
    """Making disks anew."""

    def lost(self, template: str, **more: Any) -> World:
        """A world where an instance has lost its volumes."""
        world = world_with(template, start=False, **more)
        for node in world.nodes.nodes.values():
            node.volumes.clear()
            node.shelf.values.clear()
        world.nodes.shared.mirrored.values.clear()
        return world

    def test_all(self) -> None:
        """Everything that was lost is there again, as the record says."""
        for template in ("file", "plain", "drbd"):
            world = self.lost(template, disks=disks_of(template, 2))
            self.assertEqual(well(run(world, "RECREATE_DISKS")).result, None)
            self.sound(world)

    def test_changed(self) -> None:
        """Single disks may have another size and mode."""
        world = self.lost("drbd", disks=disks_of("drbd", 2))
        well(run(world, "RECREATE_DISKS", disks=[[1, {"size": "1G", "mode": "ro"}]]))
        disk = world.instance(A).disks[1]
        self.assertEqual((disk.size, disk.mode, [c.size for c in disk.children]), (1024, "ro", [1024, 128]))
        well(run(world, "RECREATE_DISKS", disks=[0]))
        self.sound(world)

    def test_nodes(self) -> None:
        """On other nodes: they are the instance's then, and its addresses theirs."""
        for template, nodes in (("plain", ["node3"]), ("drbd", ["node2", "node3"])):
            world = self.lost(template)
            world.nodes.nodes[ONE].down = True
            world.put(replace(world.view().node("node1"), offline=True))
            well(run(world, "RECREATE_DISKS", nodes=nodes))
            instance = world.instance(A)
            self.assertEqual(instance.primary_node, TWO if template == "drbd" else THREE)
            world.settle()
            self.sound(world)

    def test_chosen(self) -> None:
        """The built-in allocator chooses nodes."""
        world = self.lost("drbd")
        ended = well(run(world, "RECREATE_DISKS", iallocator="builtin"))
        nodes = [world.instance(A).primary_node, *world.instance(A).secondary_nodes]
        names = ", ".join(world.of(NodeRecord)[node].name for node in nodes)
        self.assertEqual(ended.log, [f" - INFO: Selected nodes for instance {A}: {names}"])
        world.settle()
        self.sound(world)

    def test_script(self) -> None:
        """A script is asked as for a new instance of this size; the nodes it says are the instance's then."""
        world = self.lost("drbd")
        names = ["node3.example.com", "node1.example.com"]
        requests = asked(world, good(names))
        ended = well(run(world, "RECREATE_DISKS", iallocator="ask", disks=[[0, {"size": 700}]]))
        [request] = [each["request"] for each in requests]
        wanted = {"type": "allocate", "name": A, "group_name": "default", "required_nodes": 2}
        self.assertEqual({name: request[name] for name in wanted}, wanted)
        self.assertEqual(request["disks"][0]["size"], 700)
        instance = world.instance(A)
        self.assertEqual((instance.primary_node, instance.secondary_nodes), (THREE, (ONE,)))
        told = f" - INFO: Selected nodes for instance {A} via iallocator ask: {', '.join(names)}"
        self.assertEqual((ended.log, ended.stages[:3]), ([told], ["consulted", "looked", "begun"]))
        world.settle()
        self.sound(world)

    def test_script_refuses(self) -> None:
        """Where a script finds no way, or one that leaves the group, all is as it was."""
        world = self.lost("drbd")
        asked(world, {"success": False, "info": "no way", "result": []})
        error = ["Can't compute nodes using iallocator 'ask': no way", "insufficient_resources"]
        self.refused(world, "RECREATE_DISKS", error, iallocator="ask")
        well(world.run(op("GROUP_ADD", group_name="g2")))
        well(world.run(op("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node3"])))
        asked(world, good(["node3.example.com", "node1.example.com"]))
        text = "iallocator 'ask' returned nodes that are not in group default"
        self.assertEqual(pair(run(world, "RECREATE_DISKS", iallocator="ask")), ["OpExecError", [text]])
        self.assertEqual(world.instance(A).primary_node, ONE)

    def test_locks(self) -> None:
        """Where an allocator chooses, all nodes of the group are locked, and those of others are not."""
        world = self.lost("drbd")
        well(world.run(op("GROUP_ADD", group_name="g2")))
        well(world.run(op("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node3"])))
        view = world.view()
        group = view.group("default").uuid
        opcode = op("INSTANCE_RECREATE_DISKS", instance_name=A, iallocator="ask")
        locks = {(lock.level, lock.name, lock.shared) for lock in locks_for(opcode, view)}
        nodes = {(level, node, False) for level in ("node", "node-res") for node in (ONE, TWO)}
        others = {("nodegroup", group, True), ("instance", A, False), ("cluster", "BGL", True)}
        self.assertEqual(locks, nodes | others)

    def test_there(self) -> None:
        """What is there is not made anew (text as observed)."""
        world = world_with("sharedfile", disks=[{"size": 32}], start=False)
        [disk] = world.instance(A).disks
        path = disk.logical_id[1]
        text = (
            f"Can't create block device <Disk(type=sharedfile, logical_id=('loop', '{path}'), children=[], "
            f"visible as /dev/disk/0, size=32m)> on node node1.example.com for instance {A}: "
            f"Can't create block device: {path}: can't create: [Errno 17] File exists: '{path}'"
        )
        self.assertEqual(pair(run(world, "RECREATE_DISKS")), ["OpExecError", [text]])
        self.sound(world)

    def test_failed(self) -> None:
        """When one cannot be made, none is."""
        world = self.lost("drbd", disks=disks_of("drbd", 2))
        before = (dict(world.names), volumes_of(world), world.instance(A))
        world.nodes.nodes[TWO].faults[CreateVolume] = [StepFailed("no", "storage")]
        self.assertIsNotNone(run(world, "RECREATE_DISKS").error)
        self.assertEqual((dict(world.names), volumes_of(world), world.instance(A)), before)

    def test_refused(self) -> None:
        """What cannot be meant."""
        world = world_with("drbd")
        up = "Instance 'a.example.com' is marked to be up, cannot recreate disks"
        self.refused(world, "RECREATE_DISKS", [up, "wrong_state"])
        well(run(world, "SHUTDOWN"))
        for more, text in (
            ({"disks": [[9, {}]]}, "Invalid disk index '9'"),
            (
                {"disks": [[0, {"vg": "x"}]]},
                "Parameters for disk 0 try to change unmodifyable parameter(s): vg",
            ),
            (
                {"disks": [[0, {"size": 1}], [0, {}]]},
                "Some disks have been specified more than once: 0",
            ),
            (
                {"nodes": ["node3"]},
                f"Instance {A} currently has 2 nodes, but 1 replacement nodes were specified",
            ),
            ({"nodes": ["node3", "node3"]}, "The replacement nodes must be different nodes"),
            (
                {"nodes": ["node3", "node2"], "iallocator": "x"},
                "Give either the iallocator or the new nodes, not both",
            ),
        ):
            self.refused(world, "RECREATE_DISKS", [text, "wrong_input"], **more)
        text = "Instance 'a.example.com' has no disks"
        self.refused(world_with("diskless", start=False), "RECREATE_DISKS", [text, "wrong_input"])


class ReplaceTests(Case):
    """Replacing the sides of mirrored disks."""

    def test_sides(self) -> None:
        """The sides on one node are renewed and filled, running or not; early or late."""
        for mode, node in (("replace_on_primary", ONE), ("replace_on_secondary", TWO)):
            for start in (True, False):
                for early in (True, False):
                    world = world_with("drbd", start=start, disks=disks_of("drbd", 2))
                    ended = well(run(world, "REPLACE_DISKS", mode=mode, disks=[1], early_release=early))
                    [step] = [s for s in world.nodes.nodes[node].done if isinstance(s, RenewVolume)]
                    self.assertEqual((step.disk.index, ended.result), (1, None))
                    self.sound(world)
                    self.assertEqual(info(world)["pstatus"][5:], [False, 1])

    def test_log(self) -> None:
        """The steps are told."""
        world = world_with("drbd")
        ended = well(run(world, "REPLACE_DISKS", mode="replace_on_secondary"))
        self.assertEqual(
            ended.log,
            [
                f"Replacing disk(s) 0 for instance '{A}'",
                "Current primary node: node1.example.com",
                "Current secondary node: node2.example.com",
                "STEP 1/6 Check device existence",
                "STEP 2/6 Check peer consistency",
                "STEP 3/6 Allocate new storage",
                "STEP 4/6 Changing drbd configuration",
                "STEP 5/6 Sync devices",
                WAITING,
                IN_SYNC,
                "STEP 6/6 Removing old storage",
            ],
        )

    def test_auto(self) -> None:
        """What is broken is replaced; nothing where all is well."""
        world = world_with("drbd")
        ended = well(run(world, "REPLACE_DISKS", mode="replace_auto"))
        self.assertEqual(ended.log, [f"No disks need replacement for instance '{A}'"])
        [disk] = world.instance(A).disks
        world.nodes.shared.mirrored.remove(f"{disk.uuid}@{TWO}")
        well(run(world, "REPLACE_DISKS", mode="replace_auto"))
        self.assertEqual(info(world)["sstatus"][5:], [False, 1])
        self.sound(world)

    def test_auto_at_rest(self) -> None:
        """Disks have to be in use to be judged."""
        world = world_with("drbd")
        well(run(world, "SHUTDOWN"))
        text = f"Please run activate-disks on instance {A} first"
        self.refused(world, "REPLACE_DISKS", [text, "wrong_state"], mode="replace_auto")

    def test_new_secondary(self) -> None:
        """Another secondary node, named or chosen; the old one has nothing of it any more."""
        for more in ({"remote_node": "node3"}, {"iallocator": "builtin"}):
            for start in (True, False):
                world = world_with("drbd", start=start, disks=disks_of("drbd", 2))
                before = world.instance(A).disks
                well(run(world, "REPLACE_DISKS", mode="replace_new_secondary", **more))
                instance = world.instance(A)
                self.assertEqual(instance.secondary_nodes, (THREE,))
                self.assertEqual([d.logical_id[2] for d in instance.disks], [d.logical_id[2] for d in before])
                self.assertEqual(info(world)["sstatus"][5:], [False, 1])
                self.sound(world)

    def test_dead_secondary(self) -> None:
        """A secondary node that is gone is replaced; what it keeps is removed when it is back."""
        world = world_with("drbd")
        world.nodes.nodes[TWO].down = True
        ended = well(run(world, "REPLACE_DISKS", mode="replace_new_secondary", remote_node="node3"))
        self.assertIn("work is left for node node2.example.com", ended.log[-1])
        world.settle()
        self.sound(world)

    def test_failed(self) -> None:
        """When the new sides cannot be made the old ones stay."""
        world = world_with("drbd")
        before = (dict(world.names), volumes_of(world), world.instance(A))
        world.nodes.nodes[THREE].faults[CreateVolume] = [StepFailed("no", "storage")]
        ended = run(world, "REPLACE_DISKS", mode="replace_new_secondary", remote_node="node3")
        self.assertEqual(pair(ended), ["OpExecError", ["Node node3.example.com: no"]])
        self.assertEqual((dict(world.names), volumes_of(world), world.instance(A)), before)

    def test_refused(self) -> None:
        """What cannot be meant (texts as observed)."""
        strange = "The instance has a strange layout, expected one secondary but found 0"
        self.refused(
            world_with("plain"), "REPLACE_DISKS", [strange, "internal_error"], mode="replace_auto", disks=[0]
        )
        only = "The iallocator and new node options can only be used when changing the secondary node"
        either = "When changing the secondary either an iallocator script must be used or the new node given"
        new = "replace_new_secondary"
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({"mode": "replace_auto", "disks": [0]}, "Cannot specify disks to be replaced"),
            ({"mode": "replace_auto", "remote_node": "node3"}, only),
            ({"mode": "replace_on_primary", "iallocator": "x"}, only),
            (
                {"mode": "replace_on_primary", "disks": [3]},
                "Invalid disk index: 3 (instance has disks 0 to 0)",
            ),
            ({"mode": new}, either),
            ({"mode": new, "remote_node": "node1"}, "The specified node is the primary node of the instance"),
            (
                {"mode": new, "remote_node": "node2"},
                "The specified node is already the secondary node of the instance",
            ),
        )
        world = world_with("drbd")
        for more, text in cases:
            self.refused(world, "REPLACE_DISKS", [text, "wrong_input"], **more)


templates = st.sampled_from(["drbd", "drbd", "plain", "file", "rbd"])
nodes = st.sampled_from(["node1", "node2", "node3"])
operations = st.one_of(
    st.builds(
        lambda disk, amount, wait: ("GROW_DISK", {"disk": disk, "amount": amount, "wait_for_sync": wait}),
        st.integers(0, 1),
        st.sampled_from([0, 64]),
        st.booleans(),
    ),
    st.builds(
        lambda mode, disks: ("REPLACE_DISKS", {"mode": mode, "disks": disks}),
        st.sampled_from(["replace_auto", "replace_on_primary", "replace_on_secondary"]),
        st.sampled_from([[], [0]]),
    ),
    st.builds(lambda node: ("REPLACE_DISKS", {"mode": "replace_new_secondary", "remote_node": node}), nodes),
    st.builds(
        lambda disks, chosen: ("RECREATE_DISKS", {"disks": disks, "nodes": chosen}),
        st.sampled_from([[], [0], [[0, {"size": 100}]]]),
        st.sampled_from([[], ["node3"], ["node3", "node1"], ["node2", "node3"]]),
    ),
    st.sampled_from(
        [
            ("SET_PARAMS", {"disks": [["add", {"size": 64}]]}),
            ("SET_PARAMS", {"disks": [["remove", -1, {}]]}),
            ("SHUTDOWN", {}),
            ("STARTUP", {}),
            ("ACTIVATE_DISKS", {}),
            ("DEACTIVATE_DISKS", {}),
            ("REMOVE", {}),
            ("REMOVE", {"ignore_failures": True}),
        ]
    ),
)
faults = st.dictionaries(
    st.integers(3, 60), st.sampled_from(["fails", "fails late", "dies", "dies late"]), max_size=2
)


class AnySequenceTests(SynchronousTestCase):
    """Whatever is done to disks."""

    @settings(max_examples=150, deadline=None)
    @given(
        templates,
        st.booleans(),
        st.lists(operations, max_size=6),
        st.sets(st.integers(5, 120), max_size=3),
        faults,
    )
    def test_sound(
        self,
        template: str,
        start: bool,
        program: list[tuple[str, dict[str, Any]]],
        crashes: set[int],
        planted: dict[int, Any],
    ) -> None:
        """With masters dying and steps failing no volume is orphaned, lost or of another size in the end."""
        world = world_of()
        world.crashes, world.faults = crashes, planted
        world.run(made(template, start=start, disks=disks_of(template, 2)))
        for what, more in program:
            ended = world.run(op(f"INSTANCE_{what}", instance_name=A, **more))
            if what == "REMOVE" and ended.error is not None:
                # Half removed, it can only be removed.
                world.run(op("INSTANCE_REMOVE", instance_name=A, ignore_failures=True))
            self.assertEqual(complaints(world), [])
        world.settle()
        self.assertEqual((complaints(world), world.leftovers), ([], {}))
        for instance in world.of(InstanceRecord).values():
            well(world.run(op("INSTANCE_REMOVE", instance_name=instance.name)))
        self.assertEqual(volumes_of(world), {})
