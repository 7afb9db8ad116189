"""Looking after disks: what is not in use, what is gone, which sizes are wrong, whose volumes there are."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, B, disks_of, made, well, world_of, world_with
from tests.unit.plan.test_create import pair
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.opcodes import to_wire
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import ProviderSeen
from twisted_rapi.model.steps import InspectDisks, ListVolumes
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.grow import resized
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.table import locks_for
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import World

ONE, TWO, THREE = NODES
NAMES = [f"node{n}.example.com" for n in (1, 2, 3)]
TEMPLATES = ("blockdev", "drbd", "ext", "file", "gluster", "plain", "rbd", "sharedfile")


class VerifyDisksTests(SynchronousTestCase):
    """``OP_CLUSTER_VERIFY_DISKS`` and ``OP_GROUP_VERIFY_DISKS``."""

    def found(self, world: World, **more: Any) -> Any:
        """What is found in the group."""
        return well(world.run(op("GROUP_VERIFY_DISKS", group_name="default", **more))).result

    def test_submitted(self) -> None:
        """Each group gets a job; or the one that is named, which has to exist."""
        world = world_of()
        well(world.run(op("GROUP_ADD", group_name="g2")))
        for more, names in (({}, ["default", "g2"]), ({"group_name": "g2"}, ["g2"])):
            jobs = well(world.run(op("CLUSTER_VERIFY_DISKS", is_strict=False, **more))).jobs
            wires = [to_wire(each) for [each] in jobs]
            wanted = [("OP_GROUP_VERIFY_DISKS", name, False) for name in names]
            self.assertEqual([(w["OP_ID"], w["group_name"], w["is_strict"]) for w in wires], wanted)
        error = pair(world.run(op("CLUSTER_VERIFY_DISKS", group_name="nosuch")))
        self.assertEqual(error, ["OpPrereqError", ["Node group 'nosuch' not found", "unknown_entity"]])

    def test_well(self) -> None:
        """Where all is as it should be nothing is found, whatever the template."""
        for template in TEMPLATES:
            self.assertEqual(self.found(world_with(template)), [{}, [], {}], template)

    def test_missing(self) -> None:
        """Volumes that are gone are told by node; nothing could activate those disks."""
        world = world_with("drbd", disks=disks_of("drbd", 2))
        lost = world.instance(A).disks[1].children[0]
        volume = "/".join(lost.logical_id)
        world.nodes.nodes[TWO].shelf.remove(volume)
        self.assertEqual(self.found(world), [{}, [], {A: [[NAMES[1], volume]]}])
        for template in TEMPLATES:
            if template not in ("drbd", "blockdev"):
                world = world_with(template)
                self.lose(world)
                errors, resting, missing = self.found(world)
                self.assertEqual((errors, resting, list(missing)), ({}, [], [A]), template)
                [[node, name]] = missing[A]
                self.assertEqual(node, NAMES[0])
                self.assertIn(name.partition("/")[2], "/".join(world.instance(A).disks[0].logical_id))

    def lose(self, world: World) -> None:
        """All volumes of the world are gone."""
        for node in world.nodes.nodes.values():
            node.volumes.clear()
            node.shelf.values.clear()
        world.nodes.shared.files.clear()
        for shelf in world.nodes.shared.shelves.values():
            shelf.values.clear()

    def test_resting(self) -> None:
        """Disks that are not in use on one of their nodes have to be activated, which mends that."""
        for node in (ONE, TWO):
            world = world_with("drbd", start=False)
            well(world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A)))
            disk = world.instance(A).disks[0]
            key = f"{disk.uuid}@{node}"
            side = world.nodes.shared.mirrored.read(key)
            assert side is not None
            world.nodes.shared.mirrored.write(key, {**side, "active": False, "primary": False})
            self.assertEqual(self.found(world, is_strict=False), [{}, [A], {}])
            well(world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A)))
            self.assertEqual(self.found(world), [{}, [], {}])

    def test_at_rest(self) -> None:
        """Disks that should not be in use are nobody's business."""
        world = world_with("drbd", start=False)
        well(world.run(op("INSTANCE_DEACTIVATE_DISKS", instance_name=A)))
        self.lose(world)
        self.assertEqual(self.found(world), [{}, [], {}])

    def test_strict(self) -> None:
        """A side without the data, that nothing fills, counts where it is looked at strictly."""
        world = world_with("drbd")
        disk = world.instance(A).disks[0]
        shelf = world.nodes.shared.mirrored
        for node in nodes_of(disk):
            side = shelf.read(f"{disk.uuid}@{node}")
            assert side is not None
            shelf.write(f"{disk.uuid}@{node}", {**side, "peer": ""})
        self.assertEqual(self.found(world, is_strict=False), [{}, [], {}])
        self.assertEqual(self.found(world), [{}, [A], {}])

    def test_silent(self) -> None:
        """A node that does not answer, or cannot look, is told of; one that is offline is not asked."""
        world = world_with("drbd")
        world.nodes.nodes[TWO].faults[InspectDisks] = [StepFailed("no", "storage")]
        world.nodes.nodes[THREE].down = True
        errors = {NAMES[1]: "its disks could not be looked at", NAMES[2]: "it does not answer"}
        self.assertEqual(self.found(world), [errors, [], {}])
        world.put(replace(world.of(NodeRecord)[THREE], offline=True))
        self.assertEqual(self.found(world), [{}, [], {}])

    def test_groups(self) -> None:
        """Instances are looked at in the group of their primary node only."""
        world = world_with("plain")
        well(world.run(op("GROUP_ADD", group_name="g2")))
        well(world.run(op("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node1"])))
        self.lose(world)
        self.assertEqual(self.found(world), [{}, [], {}])
        other = well(world.run(op("GROUP_VERIFY_DISKS", group_name="g2"))).result
        self.assertEqual(list(other[2]), [A])


class RepairTests(SynchronousTestCase):
    """``OP_CLUSTER_REPAIR_DISK_SIZES``."""

    def test_texts(self) -> None:
        """What was wrong is right afterwards, in the record only, and told."""
        for template in ("drbd", "file", "plain", "rbd"):
            world = world_with(template, disks=disks_of(template, 2))
            right = world.instance(A)
            world.put(resized(right, 1, 600))
            ended = well(world.run(op("CLUSTER_REPAIR_DISK_SIZES")))
            told = (
                f" - INFO: Disk 1 of instance {A} has mismatched size, correcting: recorded 600, actual 640"
            )
            self.assertEqual((ended.result, ended.log), ([[A, 1, "size", 640]], [told]))
            self.assertEqual([d.size for d in world.instance(A).disks], [640, 640])
            self.assertEqual(complaints(world), [])
            again = well(world.run(op("CLUSTER_REPAIR_DISK_SIZES")))
            self.assertEqual((again.result, again.log, again.stages), ([], [], ["looked"]))

    def test_child(self) -> None:
        """Where only what is below a disk is said to be of another size, that is put right, too."""
        world = world_with("drbd")
        record = world.instance(A)
        [disk] = record.disks
        data = replace(disk.children[0], size=600)
        world.put(replace(record, disks=(replace(disk, children=(data, disk.children[1])),)))
        ended = well(world.run(op("CLUSTER_REPAIR_DISK_SIZES", instances=["a"])))
        self.assertEqual(ended.result, [[A, 0, "size", 640]])
        self.assertEqual(ended.log, [" - INFO: Child disk has size 600, parent 640, fixing"])
        self.assertEqual(complaints(world), [])

    def test_not_seen(self) -> None:
        """What cannot be looked at is left as it is, with a warning."""
        world = world_with("plain")
        world.put(resized(world.instance(A), 0, 600))
        world.nodes.nodes[ONE].faults[InspectDisks] = [StepFailed("no", "storage")]
        for texts in (
            [f" - WARNING: The disks of {A} could not be looked at, ignoring them"],
            [f" - WARNING: Disk 0 of instance {A} did not return size information, ignoring"],
            [f" - WARNING: Node {NAMES[0]} does not answer, ignoring {A}"],
        ):
            ended = well(world.run(op("CLUSTER_REPAIR_DISK_SIZES")))
            self.assertEqual((ended.result, ended.log), ([], texts))
            if "look" not in texts[0]:
                world.nodes.nodes[ONE].down = True
            world.nodes.nodes[ONE].shelf.values.clear()
        self.assertEqual(world.instance(A).disks[0].size, 600)

    def test_many(self) -> None:
        """However many are wrong, all are put right, a few with each commit."""
        world = world_of()
        names = [f"i{n}.example.com" for n in range(70)]
        for name in names:
            well(world.run(made("rbd", name, start=False)))
            world.put(resized(world.instance(name), 0, 1))
        ended = well(world.run(op("CLUSTER_REPAIR_DISK_SIZES")))
        self.assertEqual(sorted(each[0] for each in ended.result), sorted(names))
        self.assertEqual(ended.stages, ["looked", *["found"] * 4])
        self.assertEqual({i.disks[0].size for i in map(world.instance, names)}, {640})

    def test_unknown(self) -> None:
        """An instance that is not there is refused."""
        error = pair(world_of().run(op("CLUSTER_REPAIR_DISK_SIZES", instances=["x"])))
        self.assertEqual(error, ["OpPrereqError", ["Instance 'x' not known", "unknown_entity"]])

    @given(st.lists(st.tuples(st.sampled_from(["drbd", "plain", "file"]), st.integers(1, 2000)), max_size=3))
    def test_any(self, given_sizes: list[tuple[str, int]]) -> None:
        """Whatever the records said, afterwards they say what there is."""
        world = world_of()
        for n, (template, size) in enumerate(given_sizes):
            well(world.run(made(template, f"i{n}.example.com")))
            world.put(resized(world.instance(f"i{n}.example.com"), 0, size))
        ended = well(world.run(op("CLUSTER_REPAIR_DISK_SIZES")))
        wrong = [f"i{n}.example.com" for n, (_, size) in enumerate(given_sizes) if size != 640]
        self.assertEqual([each[0] for each in ended.result], wrong)
        self.assertEqual((complaints(world), ended.unlocked), ([], set()))


class QueryVolumesTests(SynchronousTestCase):
    """``OP_NODE_QUERYVOLS``."""

    FIELDS = ("phys", "vg", "name", "size", "instance", "node")

    def test_rows(self) -> None:
        """A row of texts for each volume, with the instance it is a part of."""
        world = world_with("drbd")
        well(world.run(made("plain", B)))
        world.nodes.nodes[TWO].shelf.write("othervg/stray", {"size": 8})
        ended = well(world.run(op("NODE_QUERYVOLS", output_fields=list(self.FIELDS))))
        [disk], [own] = world.instance(A).disks, world.instance(B).disks
        data, meta = (child.logical_id[1] for child in disk.children)
        mirrored = [["/dev/sim0", "xenvg", data, "640", A], ["/dev/sim0", "xenvg", meta, "128", A]]
        plain = ["/dev/sim0", "xenvg", own.logical_id[1], "640", B]
        wanted = [[*row, NAMES[0]] for row in sorted([*mirrored, plain])]
        wanted += [[*row, NAMES[1]] for row in sorted(mirrored)]
        wanted += [["/dev/sim1", "othervg", "stray", "8", "-", NAMES[1]]]
        self.assertEqual((ended.result, ended.log), (wanted, []))
        few = well(world.run(op("NODE_QUERYVOLS", output_fields=["name"], nodes=["node3", "node2"])))
        self.assertEqual(few.result, [[row[2]] for row in wanted if row[5] == NAMES[1]])

    def test_silent(self) -> None:
        """Of nodes that cannot tell the log does; offline ones are not asked."""
        world = world_of()
        world.nodes.nodes[ONE].faults[ListVolumes] = [StepFailed("no volume groups", "storage")]
        world.nodes.nodes[TWO].down = True
        world.put(replace(world.of(NodeRecord)[THREE], offline=True))
        ended = well(world.run(op("NODE_QUERYVOLS", output_fields=["name"])))
        told = [f" - WARNING: Can't compute volume data on node {name}" for name in NAMES[:2]]
        self.assertEqual((ended.result, ended.log), ([], told))

    def test_refused(self) -> None:
        """Columns and nodes have to be known."""
        for more, error in (
            ({"output_fields": ["name", "y", "x"]}, ["Unknown output fields selected: x,y", "wrong_input"]),
            ({"output_fields": [], "nodes": ["x"]}, ["Node 'x' not known", "unknown_entity"]),
        ):
            self.assertEqual(pair(world_of().run(op("NODE_QUERYVOLS", **more))), ["OpPrereqError", error])

    def test_locks(self) -> None:
        """The nodes that are asked are shared."""
        locks = locks_for(op("NODE_QUERYVOLS", output_fields=[], nodes=["node2"]), world_of().view())
        self.assertEqual(locks, {Lock("cluster", "BGL", shared=True), Lock("node", TWO, shared=True)})


class ExtStorageTests(SynchronousTestCase):
    """``OP_EXT_STORAGE_DIAGNOSE``, and the query resource of the same rows."""

    def setUp(self) -> None:
        self.world = world_of()
        fast = ProviderSeen(name="fast", path="/es/fast", parameters=(("kind", "how fast"),))
        for node in NODES:
            self.world.nodes.nodes[node].providers = (fast,)
        slow = ProviderSeen(name="slow", path="/es/slow", invalid="no create")
        self.world.nodes.nodes[TWO].providers = (fast, slow)

    def test_rows(self) -> None:
        """A row each, with where it can be used."""
        fields = ["name", "nodegroup_status", "parameters"]
        ended = well(self.world.run(op("EXT_STORAGE_DIAGNOSE", output_fields=fields)))
        fast = ["fast", {"default": True}, [["kind", "how fast"]]]
        self.assertEqual(ended.result, [fast, ["slow", {"default": False}, []]])
        named = op("EXT_STORAGE_DIAGNOSE", output_fields=["name", "node_status"], names=["slow", "nosuch"])
        [[name, status]] = well(self.world.run(named)).result
        wanted = {NAMES[0]: [], NAMES[1]: [["/es/slow", False, "no create", []]], NAMES[2]: []}
        self.assertEqual((name, status), ("slow", wanted))

    def test_query(self) -> None:
        """The query has the same."""
        found = well(self.world.run(op("QUERY", what="extstorage", fields=["name"]))).result
        self.assertEqual(found["data"], [[[0, "fast"]], [[0, "slow"]]])

    def test_refused(self) -> None:
        """Columns have to be known."""
        error = pair(self.world.run(op("EXT_STORAGE_DIAGNOSE", output_fields=["name", "x"])))
        self.assertEqual(error, ["OpPrereqError", ["Unknown output fields selected: x", "wrong_input"]])
