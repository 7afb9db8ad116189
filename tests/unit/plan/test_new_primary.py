"""Tests of a change of the primary node in the record only."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, well, world_with
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_exports import node
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import Ended, World

ONE, TWO, THREE = NODES


def change(world: World, name: str, **more: Any) -> Ended:
    """The end of a change."""
    return world.run(op("INSTANCE_SET_PARAMS", instance_name=A, pnode=name, **more))


class NewPrimaryTests(SynchronousTestCase):
    """``pnode``."""

    def test_shared(self) -> None:
        """What every node has is used on the other one from then on."""
        for template in ("sharedfile", "rbd", "ext", "gluster", "blockdev", "diskless"):
            world = world_with(template, start=False)
            ended = well(change(world, "node3"))
            self.assertEqual(ended.result, [("pnode", "node3.example.com")])
            self.assertEqual((world.instance(A).primary_node, complaints(world)), (THREE, []))
            self.assertEqual(ended.unlocked, set())
            well(world.run(op("INSTANCE_STARTUP", instance_name=A)))
            self.assertIn(A, node(world, "node3").domains)

    def test_mirrored(self) -> None:
        """The sides change roles; a third node has none."""
        world = world_with("drbd", start=False)
        active = f"The disks of instance {A} are active, cannot change its primary node"
        self.assertEqual(pair(change(world, "node2")), ["OpPrereqError", [active, "wrong_state"]])
        well(world.run(op("INSTANCE_DEACTIVATE_DISKS", instance_name=A)))
        well(change(world, "node2"))
        instance = world.instance(A)
        self.assertEqual((instance.primary_node, instance.secondary_nodes), (TWO, (ONE,)))
        well(world.run(op("INSTANCE_STARTUP", instance_name=A)))
        self.assertEqual(complaints(world), [])
        well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
        text = f"Node node3.example.com has no side of the disks of instance {A}"
        self.assertEqual(pair(change(world, "node3")), ["OpPrereqError", [text, "wrong_input"]])

    def test_brought(self) -> None:
        """Files of the node have to be there, each as large as it should be."""
        world = world_with("file", start=False)
        missing = f"Disk 0 of instance {A} is not on node node2.example.com"
        self.assertEqual(pair(change(world, "node2")), ["OpPrereqError", [missing, "wrong_state"]])
        [(path, size)] = node(world, "node1").volumes.items()
        node(world, "node2").volumes[path] = 1
        small = f"Disk 0 of instance {A} has 1 MiB on node node2.example.com instead of {size}"
        self.assertEqual(pair(change(world, "node2")), ["OpPrereqError", [small, "wrong_state"]])
        node(world, "node2").volumes[path] = size
        del node(world, "node1").volumes[path]
        well(change(world, "node2"))
        self.assertEqual(complaints(world), [])

    def test_offline(self) -> None:
        """A node that is marked offline need not answer."""
        world = world_with("sharedfile", start=False)
        node(world, "node1").down = True
        silent = "Node 'node1.example.com' does not answer"
        self.assertEqual(pair(change(world, "node2")), ["OpPrereqError", [silent, "environment_error"]])
        world.put(replace(world.of(NodeRecord)[ONE], offline=True))
        well(change(world, "node2"))

    def test_refused(self) -> None:
        """What is in use, is there already, or comes with other changes."""
        together = "A change of the primary node and other changes are not offered at the same time"
        up = f"Instance '{A}' is marked to be up, cannot change its primary node"
        already = f"Instance {A} has the primary node node1.example.com already"
        world = world_with("sharedfile")
        self.assertEqual(pair(change(world, "node2")), ["OpPrereqError", [up, "wrong_state"]])
        world.put(replace(world.of(NodeRecord)[ONE], offline=True))
        self.assertEqual(pair(change(world, "node2")), ["OpPrereqError", [up, "wrong_state"]])
        world = world_with("sharedfile", start=False)
        for more in ({"beparams": {"vcpus": 2}}, {"disk_template": "file"}, {"offline": True}):
            self.assertEqual(
                pair(change(world, "node2", **more)), ["OpPrereqError", [together, "wrong_input"]]
            )
        self.assertEqual(pair(change(world, "node1")), ["OpPrereqError", [already, "wrong_input"]])
        unknown = ["OpPrereqError", ["Node 'nosuch' not known", "unknown_entity"]]
        self.assertEqual(pair(change(world, "nosuch")), unknown)

    def test_secondary(self) -> None:
        """A secondary node alone means nothing."""
        world = world_with("sharedfile", start=False)
        got = world.run(op("INSTANCE_SET_PARAMS", instance_name=A, remote_node="node2"))
        text = "A secondary node is for conversions to a mirrored disk template only"
        self.assertEqual(pair(got), ["OpPrereqError", [text, "wrong_input"]])
