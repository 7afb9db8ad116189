"""The built-in allocator: which nodes are feasible, why others are not, and which is picked."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import create
from tests.unit.plan.templates import A, B, well, world_of, world_with
from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.allocation.builtin import answer
from twisted_rapi.plan.allocation.request import options, request
from twisted_rapi.plan.drafting import allocation
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import World

HAIL_REQUIRES = {
    "top": "cluster_tags enabled_hypervisors nodegroups nodes instances request",
    "group": "name alloc_policy networks ipolicy tags",
    "node": "offline drained group ndparams total_memory reserved_memory free_memory total_disk free_disk "
    "total_cpus reserved_cpus free_spindles",
    "instance": "tags vcpus memory spindle_use nodes nics disks disk_template disk_space_total",
    "request": "type name disk_template tags vcpus memory spindle_use disks disk_space_total nics "
    "required_nodes",
}
"""Keys without which hail refuses its input (iallocator.json)."""


def asked(world: World, name: str = B, **more: Any) -> ask.Allocate:
    """What is asked for a new instance."""
    creation = create(name, **more)
    assert isinstance(creation, InstanceCreate)
    return allocation(creation, world.view())


class ChoiceTests(SynchronousTestCase):
    """Feasible, scored, picked."""

    def chosen(self, world: World, **more: Any) -> list[str]:
        found = answer(world.view(), asked(world, **more))
        assert isinstance(found, ask.Nodes)
        return [node.uuid for node in found.nodes]

    def why(self, world: World, **more: Any) -> str:
        error = self.assertRaises(OpPrereqError, self.chosen, world, **more)
        self.assertEqual(error.code, "insufficient_resources")
        return str(error.text)

    def test_most_left(self) -> None:
        """The node that is left with most is taken."""
        world = world_with("file", beparams={"memory": 4096})
        well(world.run(create("c", pnode="node2", beparams={"memory": 2048})))
        self.assertEqual(self.chosen(world), [NODES[2]])

    def test_ratio(self) -> None:
        """A node whose CPUs are promised too often already is not taken, unless the policy is ignored."""
        world = world_of()
        world.put(replace(world.cluster, ipolicy={**world.cluster.ipolicy, "vcpu-ratio": 0.5}))
        self.assertEqual(len(self.chosen(world, beparams={"vcpus": 8})), 1)
        self.assertIn("it has 0 virtual CPUs of at most 8", self.why(world, beparams={"vcpus": 9}))
        self.assertEqual(len(self.chosen(world, beparams={"vcpus": 9}, ignore_ipolicy=True)), 1)

    def test_reserved(self) -> None:
        """What a node keeps free for instances it is secondary node of is not given away."""
        world = world_with("drbd", beparams={"memory": 20000})
        self.assertEqual(self.chosen(world, beparams={"memory": 20000}), [NODES[2]])
        world.put(replace(world.of(NodeRecord)[NODES[2]], drained=True))
        text = self.why(world, beparams={"memory": 20000})
        self.assertIn("node2.example.com: its 32768 MiB of memory are reserved", text)
        text = self.why(world, beparams={"memory": 12000}, disk_template="drbd", disks=[{"size": 1 << 20}])
        self.assertIn("MiB of volume group xenvg free", text)

    def test_two(self) -> None:
        """A mirrored instance has two nodes of one group; with one node there is none."""
        world = world_of()
        nodes = self.chosen(world, disk_template="drbd", disks=[{"size": 64}])
        self.assertEqual(len(set(nodes)), 2)
        for uuid in NODES[:2]:
            world.put(replace(world.of(NodeRecord)[uuid], drained=True))
        text = self.why(world, disk_template="drbd", disks=[{"size": 64}])
        self.assertIn("node3.example.com: no other node can be the secondary one", text)
        self.assertIn("node1.example.com: it is drained", text)

    def test_volume_groups(self) -> None:
        """Space is that of the volume group."""
        world = world_of()
        disks = [{"size": 64, "vg": "nosuch"}]
        self.assertIn("it has no volume group nosuch", self.why(world, disk_template="plain", disks=disks))
        large = [{"size": 1048000}, {"size": 1000}]
        self.assertIn("MiB of volume group xenvg free", self.why(world, disk_template="plain", disks=large))

    def test_exclusion(self) -> None:
        """Instances that share an exclusion tag are kept apart."""
        world = world_of(tags=("htools:iextags:role",))
        for n in (1, 2, 3):
            well(world.run(create(f"i{n}", pnode=f"node{n}", tags=["role:db", "other:x"])))
        self.assertIn("it has an instance with the tag role:db", self.why(world, tags=["role:db"]))
        self.assertEqual(len(self.chosen(world, tags=["other:x"])), 1)


class RequestTests(SynchronousTestCase):
    """The input of scripts."""

    def test_keys(self) -> None:
        """It has every key hail requires; live values are left out of nodes that have none."""
        world = world_with("drbd")
        world.put(replace(world.of(NodeRecord)[NODES[2]], offline=True))
        found = request(world.view(), asked(world))
        parts = {
            "top": found,
            "group": next(iter(found["nodegroups"].values())),
            "node": found["nodes"]["node1.example.com"],
            "instance": found["instances"][A],
            "request": found["request"],
        }
        for part, keys in HAIL_REQUIRES.items():
            self.assertEqual(set(keys.split()) - set(parts[part]), set(), part)
        self.assertNotIn("free_memory", found["nodes"]["node3.example.com"])
        self.assertEqual(found["instances"][A]["nodes"], ["node1.example.com", "node2.example.com"])
        self.assertEqual(found["instances"][A]["disk_space_total"], 640 + 128)

    def test_silent(self) -> None:
        """A node that does not answer is as good as offline."""
        world = world_of()
        world.nodes.nodes[NODES[1]].down = True
        nodes = request(world.view(), asked(world))["nodes"]
        self.assertEqual([nodes[f"node{n}.example.com"]["offline"] for n in (1, 2, 3)], [False, True, False])

    def test_claims(self) -> None:
        """Memory that an instance wanted up may still claim is not free."""
        world = world_with("file", beparams={"memory": 1024})
        free = request(world.view(), asked(world))["nodes"]["node1.example.com"]["free_memory"]
        world.nodes.nodes[NODES[0]].domains.clear()
        again = request(world.view(), asked(world))["nodes"]["node1.example.com"]["free_memory"]
        self.assertEqual((free, again), (32768 - 1024, 32768 - 1024))

    def test_options(self) -> None:
        """Parameters are options."""
        self.assertEqual(options({"ignore-soft-errors": None, "x": 1}), ("--ignore-soft-errors", "--x=1"))
