"""Tests of the opcodes about storage units."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import create, op
from tests.unit.plan.test_create import pair
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.node_disks import DISK
from twisted_rapi.testing.world import Ended, World

DISABLED = [
    "OpPrereqError",
    [
        (
            "No disk template of storage type 'lvm-vg' is enabled in this cluster. "
            "Enabled disk templates are: file,sharedfile,diskless"
        )
    ],
]
ALL = ["name", "size", "used", "free", "allocatable"]


class UnitCase(SynchronousTestCase):
    """Has a world, with LVM enabled where a test says so."""

    def setUp(self) -> None:
        self.world = World()

    def enable(self) -> None:
        """Disks may be logical volumes."""
        templates = (*self.world.cluster.enabled_disk_templates, "plain")
        self.world.put(replace(self.world.cluster, enabled_disk_templates=templates))

    def ask(
        self, kind: str | None = None, fields: Any = ("name",), nodes: Any = ("node1",), **more: Any
    ) -> Ended:
        """List units."""
        given = {} if kind is None else {"storage_type": kind}
        return self.world.run(
            op("NODE_QUERY_STORAGE", output_fields=list(fields), nodes=list(nodes), **given, **more)
        )

    def failed(self, text: str, op_id: str, kind: str, **parameters: Any) -> None:
        """It ends with this text, as wrong input."""
        ended = self.world.run(op(op_id, node_name="node1", storage_type=kind, **parameters))
        self.assertEqual(pair(ended), ["OpPrereqError", [text, "wrong_input"]])


class ListTests(UnitCase):
    """``OP_NODE_QUERY_STORAGE``."""

    def test_files(self) -> None:
        """Folders have a size and what is used of it; the first enabled template decides without a type."""
        self.assertIsNone(self.world.run(create(pnode="node1")).error)
        self.assertEqual(self.ask("file", ALL).result, [["/files", DISK, 64, DISK - 64, True]])
        self.assertEqual(self.ask("sharedfile").result, [["/shared"]])
        self.assertEqual(self.ask().result, [["/files"]])

    def test_lvm(self) -> None:
        """Groups and devices, once LVM is enabled; by node and name."""
        self.assertEqual(pair(self.ask("lvm-pv")), DISABLED)
        self.assertEqual(pair(self.ask("lvm-vg")), DISABLED)
        self.enable()
        fields = ["node", "type", "name"]
        found = self.ask("lvm-vg", fields, nodes=()).result
        names = [(f"node{n}.example.com", "lvm-vg", g) for n in (1, 2, 3) for g in ("othervg", "xenvg")]
        self.assertEqual(list(map(tuple, found)), names)
        self.assertEqual(self.ask("lvm-vg", name="xenvg").result, [["xenvg"]])
        self.assertEqual(len(self.ask("lvm-pv").result), 2)

    def test_refused(self) -> None:
        """Unknown fields, nodes and kinds."""
        self.assertEqual(
            pair(self.ask("file", ["nope"])),
            ["OpPrereqError", ["Unknown output fields selected: nope", "wrong_input"]],
        )
        self.assertEqual(
            pair(self.ask("file", nodes=["nosuch"])),
            ["OpPrereqError", ["Node 'nosuch' not known", "unknown_entity"]],
        )
        self.assertIn("no units", str(self.ask("diskless").error))

    def test_silent(self) -> None:
        """Nodes that do not answer are warned of, offline ones left out."""
        self.world.nodes.nodes[NODES[1]].down = True
        self.world.put(replace(self.world.of(NodeRecord)[NODES[2]], offline=True))
        ended = self.ask("file", ["node"], nodes=())
        self.assertEqual(ended.result, [["node1.example.com"]])
        self.assertEqual(ended.log, [" - WARNING: Can't get storage data from node node2.example.com"])
        self.assertEqual(self.ask("file", nodes=["node3"]).result, [])


class ChangeTests(UnitCase):
    """``OP_NODE_MODIFY_STORAGE`` and ``OP_REPAIR_NODE_STORAGE``."""

    def test_modify(self) -> None:
        """A physical volume gives space or not, and keeps to that."""
        self.enable()
        [[device], _] = self.ask("lvm-pv").result
        parameters = {"node_name": "node1", "storage_type": "lvm-pv", "name": device}
        for allocatable in (False, False, True):
            ended = self.world.run(
                op("NODE_MODIFY_STORAGE", changes={"allocatable": allocatable}, **parameters)
            )
            self.assertEqual((ended.error, ended.result), (None, None))
            found = self.ask("lvm-pv", ["allocatable"], name=device).result
            self.assertEqual(found, [[allocatable]])
        self.assertIsNone(self.world.run(op("NODE_MODIFY_STORAGE", changes={}, **parameters)).error)

    def test_modify_refused(self) -> None:
        """Only what can be changed of what is there."""
        change = {"changes": {"allocatable": True}, "name": "/dev/x"}
        text = "Storage units of type 'file' can not be modified"
        self.failed(text, "NODE_MODIFY_STORAGE", "file", **change)
        parameters = {"node_name": "node1", "storage_type": "lvm-pv"}
        self.assertEqual(pair(self.world.run(op("NODE_MODIFY_STORAGE", **parameters, **change))), DISABLED)
        self.enable()
        ended = self.world.run(op("NODE_MODIFY_STORAGE", **parameters, **change))
        self.assertIn("there is no lvm-pv /dev/x", str(ended.error))
        for more, text in (
            ({"changes": {"size": 1}, "name": "x"}, "fields can not be modified: size"),
            ({"changes": {"allocatable": 1}, "name": "x"}, "is true or false"),
            ({"changes": {"allocatable": True}}, "name of the storage unit is missing"),
        ):
            self.assertIn(text, str(self.world.run(op("NODE_MODIFY_STORAGE", **parameters, **more)).error))

    def test_repair_mirrors(self) -> None:
        """While the other side of a mirrored disk is not well nothing is repaired, unless that is ignored."""
        self.enable()
        cluster = self.world.cluster
        templates = (*cluster.enabled_disk_templates, "drbd")
        policy = {**cluster.ipolicy, "disk-templates": ["drbd", "file"]}
        lvm = {"volume_group_name": "xenvg", "drbd_usermode_helper": "/bin/true"}
        self.world.put(replace(cluster, enabled_disk_templates=templates, ipolicy=policy, **lvm))
        ended = self.world.run(create(disk_template="drbd", pnode="node1", snode="node2"))
        self.assertIsNone(ended.error)
        parameters = {"node_name": "node1", "storage_type": "lvm-vg", "name": "xenvg"}
        ended = self.world.run(op("REPAIR_NODE_STORAGE", **parameters))
        self.assertEqual((ended.error, ended.steps), (None, ["volume.inspect", "storage.repair"]))
        self.world.nodes.nodes[NODES[1]].down = True
        ended = self.world.run(op("REPAIR_NODE_STORAGE", **parameters))
        self.assertIn("nothing is repaired: a.example.com", str(ended.error))
        ended = self.world.run(op("REPAIR_NODE_STORAGE", ignore_consistency=True, **parameters))
        self.assertEqual((ended.error, len(ended.log)), (None, 1))

    def test_repair(self) -> None:
        """Volume groups only, those that are there."""
        text = "Storage units of type 'file' can not be repaired"
        self.failed(text, "REPAIR_NODE_STORAGE", "file", name="x")
        parameters = {"node_name": "node1", "storage_type": "lvm-vg"}
        repair = op("REPAIR_NODE_STORAGE", name="xenvg", **parameters)
        self.assertEqual(pair(self.world.run(repair)), DISABLED)
        self.enable()
        self.assertEqual((self.world.run(repair).error, self.world.run(repair).result), (None, None))
        ended = self.world.run(op("REPAIR_NODE_STORAGE", name="nosuch", **parameters))
        self.assertIn("there is no lvm-vg nosuch", str(ended.error))
