"""Tests of node groups: parameters, members, and what instances are split."""

from typing import Any

from msgspec.structs import replace

from tests.unit.plan.cases import OpcodeCase
from tests.unit.plan.programs import create
from tests.unit.plan.test_create import pair
from twisted_rapi.model import params
from twisted_rapi.model.param_tables import DISKPARAMS_DEFAULTS, ND_DEFAULTS
from twisted_rapi.model.records import GroupRecord, NodeRecord
from twisted_rapi.testing.cluster import GROUP, NODES

MISSING = ["OpPrereqError", ["Node group 'nosuch' not found", "unknown_entity"]]


class GroupCase(OpcodeCase):
    """Has a world with a group besides the first."""

    def setUp(self) -> None:
        super().setUp()
        self.well("GROUP_ADD", group_name="g2")

    def refused(self, text: str, code: str | None, op_id: str, **parameters: Any) -> None:
        """It ends with this text somewhere in the error, and this code."""
        ended = self.run_op(op_id, **parameters)
        assert ended.error is not None
        self.assertIn(text, ended.error.text)
        self.assertEqual(ended.error.code, code)

    def group(self, name: str) -> GroupRecord:
        """The group of this name."""
        return {g.name: g for g in self.world.of(GroupRecord).values()}[name]


class LifeTests(GroupCase):
    """Groups come, are renamed and go."""

    def test_names(self) -> None:
        """A name belongs to one group, whether it is new or another's new one."""
        uuid = self.group("g2").uuid
        self.assertEqual(
            pair(self.run_op("GROUP_ADD", group_name="g2")),
            [
                "OpPrereqError",
                [f"Desired group name 'g2' already exists as a node group (UUID: {uuid})", "already_exists"],
            ],
        )
        self.assertEqual(
            pair(self.run_op("GROUP_RENAME", group_name="default", new_name="g2")),
            [
                "OpPrereqError",
                [f"Desired new name 'g2' clashes with existing node group (UUID: {uuid})", "already_exists"],
            ],
        )
        self.refused("Invalid name", "wrong_input", "GROUP_ADD", group_name="a\nb")
        self.well("GROUP_ADD", group_name="g2.example")
        self.assertEqual(pair(self.run_op("GROUP_REMOVE", group_name="g")), MISSING_G)

    def test_rename(self) -> None:
        """The result is the new name; the old one is free."""
        self.assertEqual(self.well("GROUP_RENAME", group_name="g2", new_name="g3").result, "g3")
        self.well("GROUP_ADD", group_name="g2")
        self.assertEqual(self.group("g3").serial_no, 2)

    def test_unknown(self) -> None:
        """A group that does not exist is not found, whatever is asked of it."""
        for op_id, more in (
            ("GROUP_REMOVE", {}),
            ("GROUP_RENAME", {"new_name": "x"}),
            ("GROUP_SET_PARAMS", {"alloc_policy": "preferred"}),
            ("GROUP_ASSIGN_NODES", {"nodes": []}),
        ):
            self.assertEqual(pair(self.run_op(op_id, group_name="nosuch", **more)), MISSING)

    def test_remove(self) -> None:
        """Only an empty group that is not the last one goes."""
        text = f"Group 'default' not empty, has the following nodes: {', '.join(NODES)}"
        self.refused(text, "wrong_state", "GROUP_REMOVE", group_name="default")
        self.well("GROUP_REMOVE", group_name="g2")
        for node in self.world.of(NodeRecord).values():
            del self.world.records[f"node/{node.uuid}"], self.world.names[f"name/node/{node.name}"]
        self.refused("is the only one", "wrong_state", "GROUP_REMOVE", group_name="default")


MISSING_G = ["OpPrereqError", ["Node group 'g' not found", "unknown_entity"]]


class ParameterTests(GroupCase):
    """Parameters of groups."""

    def test_inherited(self) -> None:
        """What a group does not have itself is the cluster's, and what that has not, the default."""
        values = {"ndparams": {"spindle_count": 4}, "ipolicy": {"vcpu-ratio": 8.0}}
        self.well("GROUP_ADD", group_name="g3", diskparams={"drbd": {"protocol": "A"}, "file": {}}, **values)
        cluster = replace(self.world.cluster, ndparams={"ssh_port": 2222}, diskparams={"rbd": {"pool": "p"}})
        group = self.group("g3")
        self.assertEqual(
            params.group_ndparams(cluster, group), {**ND_DEFAULTS, "ssh_port": 2222, "spindle_count": 4}
        )
        node = replace(self.world.of(NodeRecord)[NODES[0]], ndparams={"ssh_port": 22})
        self.assertEqual(params.ndparams(cluster, group, node)["ssh_port"], 22)
        filled = params.diskparams(cluster, group)
        self.assertEqual((filled["drbd"]["protocol"], filled["rbd"]["pool"]), ("A", "p"))
        self.assertEqual(filled["drbd"]["resync-rate"], DISKPARAMS_DEFAULTS["drbd"]["resync-rate"])
        policy = params.ipolicy(cluster, group)
        self.assertEqual((policy["vcpu-ratio"], policy["minmax"]), (8, cluster.ipolicy["minmax"]))
        self.assertEqual(group.diskparams, {"drbd": {"protocol": "A"}, "file": {}})

    def test_results(self) -> None:
        """Node and disk parameters are told as text, the rest is not told (as observed)."""
        ended = self.well("GROUP_SET_PARAMS", group_name="g2", alloc_policy="unallocable")
        self.assertEqual((ended.result, self.group("g2").alloc_policy), ([], "unallocable"))
        ended = self.well("GROUP_SET_PARAMS", group_name="g2", ndparams={"spindle_count": 3})
        self.assertEqual(ended.result, [("ndparams", "{'spindle_count': 3}")])
        ended = self.well("GROUP_SET_PARAMS", group_name="g2", diskparams={"plain": {"stripes": 2}})
        self.assertEqual(ended.result, [("diskparams", "{'plain': {'stripes': 2}}")])
        self.assertEqual(
            self.well("GROUP_SET_PARAMS", group_name="g2", ipolicy={"spindle-ratio": 5.0}).result, []
        )
        self.well("GROUP_SET_PARAMS", group_name="g2", ndparams={"spindle_count": "default"})
        self.well("GROUP_SET_PARAMS", group_name="g2", ipolicy={"spindle-ratio": "default"})
        self.assertEqual((self.group("g2").ndparams, self.group("g2").ipolicy), ({}, {}))
        self.assertEqual(self.group("g2").serial_no, 7)

    def test_nothing(self) -> None:
        """A modification modifies something; an empty object counts, as observed."""
        nothing = "Please pass at least one modification"
        self.refused(nothing, "wrong_input", "GROUP_SET_PARAMS", group_name="g2")
        self.well("GROUP_SET_PARAMS", group_name="g2", ndparams={})

    def test_states(self) -> None:
        """Declared states are kept by hypervisor and storage unit."""
        self.well("GROUP_SET_PARAMS", group_name="g2", hv_state={"fake": {"mem_total": 5}})
        self.well("GROUP_SET_PARAMS", group_name="g2", disk_state={"plain": {"xenvg": {"disk_total": 5}}})
        group = self.group("g2")
        self.assertEqual(group.hv_state, {"fake": {"mem_total": 5}})
        self.assertEqual(group.disk_state, {"plain": {"xenvg": {"disk_total": 5}}})

    def test_wrong(self) -> None:
        """Each parameter has its type and its range."""
        sizes = dict.fromkeys(
            ("memory-size", "disk-size", "disk-count", "cpu-count", "nic-count", "spindle-use"), 1
        )
        few, more = {"memory-size": 1}, {**sizes, "cpu-count": 2}
        for name, value, text in (
            ("ndparams", {"foo": 1}, "Unknown parameter 'foo'"),
            ("ndparams", {"spindle_count": "many"}, "'spindle_count' (value many) is not a valid integer"),
            ("ndparams", {"spindle_count": -1}, "out of range"),
            ("ndparams", {"ssh_port": 70000}, "out of range"),
            ("ndparams", {"cpu_speed": "fast"}, "is not a valid float"),
            ("ndparams", {"exclusive_storage": "maybe"}, "is not a valid boolean"),
            ("diskparams", {"plain": {"foo": 1}}, "Unknown parameter 'foo'"),
            ("diskparams", {"plain": {"pool": "x"}}, "Unknown parameter 'pool'"),
            ("diskparams", {"plain": {"stripes": -1}}, "out of range"),
            ("diskparams", {"rbd": {"access": "magic"}}, "not one of kernelspace, userspace"),
            ("diskparams", {"drbd": {"protocol": "D"}}, "not one of A, B, C"),
            ("diskparams", {"drbd": {"disk-barriers": "q"}}, "not one of"),
            ("ipolicy", {"foo": 1}, "Invalid keys in an instance policy: foo"),
            ("ipolicy", {"foo": "default"}, "Invalid keys in an instance policy: foo"),
            ("ipolicy", {"std": sizes}, "Invalid keys in an instance policy: std"),
            ("ipolicy", {"vcpu-ratio": 0}, "vcpu-ratio must be a number above zero"),
            ("ipolicy", {"vcpu-ratio": True}, "vcpu-ratio must be a number above zero"),
            ("ipolicy", {"spindle-ratio": "x"}, "spindle-ratio must be a number above zero"),
            ("ipolicy", {"disk-templates": []}, "at least one template"),
            ("ipolicy", {"disk-templates": ["foo"]}, "unknown disk template 'foo'"),
            ("ipolicy", {"disk-templates": ["drbd"]}, "not enabled in the cluster: drbd"),
            ("ipolicy", {"minmax": []}, "a list of ranges"),
            ("ipolicy", {"minmax": [{"min": sizes}]}, "has a min and a max"),
            ("ipolicy", {"minmax": [{"min": few, "max": sizes}]}, "min lacks disk-size"),
            ("ipolicy", {"minmax": [{"min": 1, "max": sizes}]}, "min must be an object"),
            ("ipolicy", {"minmax": [{"min": {"foo": 1}, "max": sizes}]}, "Unknown parameter 'foo'"),
            ("ipolicy", {"minmax": [{"min": {**sizes, "cpu-count": -1}, "max": sizes}]}, "below zero"),
            ("ipolicy", {"minmax": [{"min": more, "max": sizes}]}, "min of cpu-count (2) is more"),
            ("hv_state", {"xen-pvm": {}}, "not enabled in the cluster: xen-pvm"),
            ("hv_state", {"fake": {"foo": 1}}, "Unknown parameter 'foo'"),
            ("hv_state", {"fake": 1}, "must be an object"),
            ("disk_state", {"file": {}}, "only be declared for plain storage"),
            ("disk_state", {"plain": 1}, "must be an object"),
            ("disk_state", {"plain": {"vg": {"foo": 1}}}, "Unknown parameter 'foo'"),
        ):
            for op_id, group in (("GROUP_SET_PARAMS", "g2"), ("GROUP_ADD", "g9")):
                ended = self.run_op(op_id, group_name=group, **{name: value})
                assert ended.error is not None, (name, value)
                self.assertIn(text, ended.error.text)
        self.assertEqual(self.group("g2").serial_no, 1)

    def test_violations(self) -> None:
        """Instances a new policy would not allow are warned of, and only those that were well before."""
        self.assertIsNone(self.world.run(create(pnode="node1")).error)
        ended = self.well("GROUP_SET_PARAMS", group_name="default", ipolicy={"disk-templates": ["diskless"]})
        self.assertEqual(len(ended.log), 1)
        self.assertIn("a.example.com", ended.log[0])
        ended = self.well(
            "GROUP_SET_PARAMS", group_name="default", ipolicy={"disk-templates": ["sharedfile"]}
        )
        self.assertEqual(ended.log, [])


class MemberTests(GroupCase):
    """Nodes are put into groups."""

    def mirrored(self) -> None:
        """An instance on the first two nodes."""
        self.assertIsNone(self.world.run(create(pnode="node1")).error)
        instance = self.world.instance("a.example.com")
        self.world.put(replace(instance, secondary_nodes=(NODES[1],)))

    def test_moved(self) -> None:
        """A node is in one group; the serial numbers of all that changed are raised."""
        ended = self.well("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node3", "node3.example.com"])
        self.assertEqual((ended.result, ended.log), (None, []))
        nodes = self.world.of(NodeRecord)
        g2 = self.group("g2")
        self.assertEqual([nodes[n].group for n in NODES], [GROUP, GROUP, g2.uuid])
        self.assertEqual(
            (nodes[NODES[2]].serial_no, g2.serial_no, self.group("default").serial_no), (2, 2, 2)
        )
        self.well("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node3"])
        self.assertEqual(self.group("g2").serial_no, 2, "nothing had to be changed")

    def test_unknown_node(self) -> None:
        """Nodes must be there."""
        parameters = {"group_name": "g2", "nodes": ["nosuch"]}
        self.refused("Node 'nosuch' not known", "unknown_entity", "GROUP_ASSIGN_NODES", **parameters)

    def test_split(self) -> None:
        """Instances are split by force only, and then it is told."""
        self.mirrored()
        self.refused("a.example.com", None, "GROUP_ASSIGN_NODES", group_name="g2", nodes=["node1"])
        ended = self.well("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node1"], force=True)
        self.assertEqual(len(ended.log), 1)
        self.assertIn("a.example.com", ended.log[0])
        ended = self.well("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node3"])
        self.assertEqual(ended.log, [], "it was split before")
        self.well("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node2"])

    def test_together(self) -> None:
        """Both nodes of an instance may move at once."""
        self.mirrored()
        ended = self.well("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node1", "node2"])
        self.assertEqual(ended.log, [])
