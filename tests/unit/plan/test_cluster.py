"""Changing the cluster's settings: every parameter, what is refused, and what goes together."""

from typing import Any

import attrs
from msgspec import structs
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import BadRequest
from twisted_rapi.model import params
from twisted_rapi.model.mastership import DistributionRecord
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.model.opcodes.base import Opcode
from twisted_rapi.model.opcodes.cluster import ClusterRedistConf, ClusterSetParams
from twisted_rapi.model.records import ClusterRecord, InstanceRecord, NodeRecord
from twisted_rapi.plan.cluster import plan_redistribute
from twisted_rapi.plan.stage import Finish, Progress
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import Ended, World

RANGES = ("memory-size", "disk-size", "disk-count", "cpu-count", "nic-count", "spindle-use")
LOW, STD, HIGH = (dict.fromkeys(RANGES, n) for n in (1, 2, 9))

# Parameter, value, the record's field, what it has then.
PLAIN: tuple[tuple[str, Any, str, Any], ...] = (
    ("hv_state", {"fake": {"mem_node": 5}}, "hv_state", {"fake": {"mem_node": 5}}),
    ("disk_state", {"plain": {"vg": {"disk_total": 5}}}, "disk_state", {"plain": {"vg": {"disk_total": 5}}}),
    ("vg_name", "vg1", "volume_group_name", "vg1"),
    ("enabled_hypervisors", ["kvm", "fake", "kvm"], "enabled_hypervisors", ("kvm", "fake")),
    ("candidate_pool_size", 1, "candidate_pool_size", 1),
    ("maintain_node_health", True, "maintain_node_health", True),
    ("prealloc_wipe_disks", True, "prealloc_wipe_disks", True),
    ("nicparams", {"link": "br1", "mode": "routed"}, "nicparams", {"link": "br1", "mode": "routed"}),
    ("ndparams", {"spindle_count": 4}, "ndparams", {"spindle_count": 4}),
    ("beparams", {"vcpus": "2", "memory": "1g"}, "beparams", {"vcpus": 2, "minmem": 1024, "maxmem": 1024}),
    ("hvparams", {"kvm": {"kernel_path": "/k"}}, "hvparams", {"kvm": {"kernel_path": "/k"}}),
    ("max_running_jobs", 3, "max_running_jobs", 3),
    ("max_tracked_jobs", 4, "max_tracked_jobs", 4),
    ("default_iallocator_params", {"a": 1}, "default_iallocator_params", {"a": 1}),
    ("osparams", {"other": {"dhcp": "yes"}}, "osparams", {"other": {"dhcp": "yes"}}),
    ("osparams_private_cluster", {"noop": {"pw": "x"}}, "osparams_private", {"noop": {"pw": "x"}}),
    ("diskparams", {"plain": {"stripes": 2}}, "diskparams", {"plain": {"stripes": 2}}),
    ("os_hvp", {"noop": {"kvm": {"acpi": False}}}, "os_hvp", {"noop": {"kvm": {"acpi": False}}}),
    ("drbd_helper", "/bin/true", "drbd_usermode_helper", "/bin/true"),
    ("default_iallocator", "builtin", "default_iallocator", "builtin"),
    ("master_netdev", "eth1", "master_netdev", "eth1"),
    ("hidden_os", [["add", "a"], ["add", "b"]], "hidden_os", ("a", "b")),
    ("blacklisted_os", [["add", "a"]], "blacklisted_os", ("a",)),
    ("use_external_mip_script", True, "use_external_mip_script", True),
    ("master_netmask", 24, "master_netmask", 24),
    ("reserved_lvs", ["^x$", "^x$"], "reserved_lvs", ("^x$",)),
    ("mac_prefix", "AA:01:02", "mac_prefix", "aa:01:02"),
    ("enabled_disk_templates", ["plain", "file"], "enabled_disk_templates", ("plain", "file")),
    ("modify_etc_hosts", False, "modify_etc_hosts", False),
    ("file_storage_dir", "/a/", "file_storage_dir", "/a"),
    ("shared_file_storage_dir", "/b", "shared_file_storage_dir", "/b"),
    ("gluster_storage_dir", "/c", "gluster_storage_dir", "/c"),
    ("install_image", "/i", "install_image", "/i"),
    ("zeroing_image", "/z", "zeroing_image", "/z"),
    ("instance_communication_network", "net", "instance_communication_network", "net"),
    ("compression_tools", ["gzip", "lzop"], "compression_tools", ("gzip", "lzop")),
    ("enabled_user_shutdown", True, "enabled_user_shutdown", True),
    ("enabled_data_collectors", {"lv": False}, "enabled_data_collectors", {"lv": False}),
    ("data_collector_interval", {"lv": 7}, "data_collector_interval", {"lv": 7}),
    ("uid_pool", [[7, 9], [1, 5]], "uid_pool", ((1, 5), (7, 9))),
    ("add_uids", [[1, 5]], "uid_pool", ((1, 5),)),
)
# Tested on their own.
OTHERS = {"force", "remove_uids", "ipolicy"}

# Refused in the job: the parameters, the error's class and code, a part of its text.
REFUSED: tuple[tuple[dict[str, Any], str, str | None, str], ...] = (
    ({"beparams": {"vcpus": "many"}}, "TypeEnforcementError", None, "valid integer"),
    ({"beparams": {"foo": 1}}, "TypeEnforcementError", None, "Unknown parameter 'foo'"),
    ({"beparams": {"minmem": 512, "maxmem": 256}}, "OpPrereqError", "wrong_input", "larger"),
    ({"beparams": {"minmem": 512}}, "OpPrereqError", "wrong_input", "larger"),
    ({"beparams": {"vcpus": 0}}, "OpPrereqError", "wrong_input", "at least 1"),
    ({"nicparams": {"mode": "odd"}}, "OpPrereqError", "wrong_input", "mode"),
    ({"nicparams": {"ip": "192.0.2.1"}}, "OpPrereqError", "wrong_input", "'ip'"),
    ({"nicparams": {"link": ""}}, "OpPrereqError", "wrong_input", "empty"),
    ({"ndparams": {"foo": 1}}, "TypeEnforcementError", None, "foo"),
    ({"ndparams": {"spindle_count": -1}}, "OpPrereqError", "wrong_input", "range"),
    ({"hvparams": {"odd": {}}}, "OpPrereqError", "wrong_input", "odd"),
    ({"hvparams": {"fake": {"foo": 1}}}, "TypeEnforcementError", None, "foo"),
    ({"hvparams": {"kvm": {"boot_order": "x"}}}, "HypervisorError", None, "boot_order"),
    ({"os_hvp": {"noop": {"odd": {}}}}, "OpPrereqError", "wrong_input", "odd"),
    ({"diskparams": {"plain": {"foo": 1}}}, "TypeEnforcementError", None, "foo"),
    ({"diskparams": {"rbd": {"access": "x"}}}, "OpPrereqError", "wrong_input", "access"),
    ({"ipolicy": {"foo": 1}}, "OpPrereqError", "wrong_input", "foo"),
    ({"ipolicy": {"minmax": []}}, "OpPrereqError", "wrong_input", "minmax"),
    ({"ipolicy": {"vcpu-ratio": 0}}, "OpPrereqError", "wrong_input", "vcpu-ratio"),
    ({"ipolicy": {"vcpu-ratio": "default"}}, "OpPrereqError", "wrong_input", "vcpu-ratio"),
    ({"ipolicy": {"std": HIGH, "minmax": [{"min": LOW, "max": STD}]}}, "OpPrereqError", "wrong_input", "std"),
    ({"ipolicy": {"disk-templates": ["plain"]}}, "OpPrereqError", "wrong_input", "plain"),
    ({"master_netmask": 33}, "OpPrereqError", "wrong_input", "CIDR netmask (33) not valid"),
    ({"mac_prefix": "aa:00"}, "OpPrereqError", "wrong_input", "aa:00"),
    ({"file_storage_dir": "a"}, "OpPrereqError", "wrong_input", "absolute"),
    ({"shared_file_storage_dir": "/a/../b"}, "OpPrereqError", "wrong_input", "absolute"),
    ({"enabled_hypervisors": []}, "OpPrereqError", "wrong_input", "At least one"),
    ({"enabled_disk_templates": []}, "OpPrereqError", "wrong_input", "At least one"),
    ({"enabled_hypervisors": ["kvm"]}, "OpPrereqError", "wrong_state", "default hypervisor"),
    ({"uid_pool": [[1, 5], [4, 9]]}, "OpPrereqError", "wrong_input", "overlap"),
    ({"add_uids": [[5, 1]]}, "OpPrereqError", "wrong_input", "not a range"),
    ({"remove_uids": [[1, 5]]}, "OpPrereqError", "wrong_input", "not in the pool"),
    ({"enabled_data_collectors": {"odd": True}}, "OpPrereqError", "wrong_input", "odd"),
    ({"data_collector_interval": {"lv": 0}}, "OpPrereqError", "wrong_input", "above zero"),
    ({"osparams": {"noop": {"dhcp": "yes"}}}, "OpExecError", None, "must include a variant"),
    ({"hv_state": {"kvm": {}}}, "OpPrereqError", "wrong_input", "kvm"),
    ({"disk_state": {"odd": {}}}, "OpPrereqError", "wrong_input", "odd"),
)

# Refused before there is a job: values of the wrong type.
MALFORMED: tuple[dict[str, Any], ...] = (
    {"candidate_pool_size": 0},
    {"candidate_pool_size": True},
    {"max_running_jobs": 0},
    {"max_tracked_jobs": "3"},
    {"master_netmask": -1},
    {"mac_prefix": ""},
    {"vg_name": 1},
    {"beparams": []},
    {"hvparams": {"fake": 1}},
    {"uid_pool": [[1]]},
    {"hidden_os": [["x", "os"]]},
    {"hidden_os": [["modify", "os"]]},
    {"enabled_hypervisors": ["nope"]},
    {"enabled_disk_templates": ["nope"]},
    {"diskparams": {"nope": {}}},
    {"reserved_lvs": [""]},
    {"enabled_data_collectors": {"lv": 1}},
    {"data_collector_interval": {"lv": "x"}},
)


class ClusterCase(SynchronousTestCase):
    """Has a world."""

    def setUp(self) -> None:
        self.world = World()

    def op(self, **values: Any) -> Opcode:
        """The opcode with these parameters."""
        return from_wire({"OP_ID": "OP_CLUSTER_SET_PARAMS", **values})

    def change(self, **values: Any) -> Ended:
        """How the change of these ended, which is well."""
        ended = self.world.run(self.op(**values))
        self.assertIsNone(ended.error, str(values))
        return ended

    def refused(self, **values: Any) -> tuple[str, str | None, str]:
        """Class, code and text of the refusal; nothing was changed."""
        before = dict(self.world.records)
        error = self.world.run(self.op(**values)).error
        assert error is not None, values
        self.assertEqual(self.world.records, before)
        return type(error).__name__, error.code, error.text


class ParameterTests(ClusterCase):
    """Every parameter."""

    def test_complete(self) -> None:
        """Every parameter of the opcode is tested here."""
        own = {f.name for f in structs.fields(ClusterSetParams)} - {f.name for f in structs.fields(Opcode)}
        self.assertEqual(own, {row[0] for row in PLAIN} | OTHERS)
        self.assertEqual(len(own), 44)

    def test_each(self) -> None:
        """Each is kept in its field alone; given again it changes nothing."""
        for name, value, field, wanted in PLAIN:
            self.world = World()
            before = self.world.cluster
            self.change(**{name: value})
            after = self.world.cluster
            self.assertEqual(getattr(after, field), wanted, name)
            stamps = {"serial_no": before.serial_no + 1, "mtime": after.mtime}
            self.assertEqual(after, replace(before, **stamps, **{field: getattr(after, field)}), name)
            if name not in ("add_uids", "hidden_os", "blacklisted_os"):
                self.change(**{name: value})
                self.assertEqual(self.world.cluster, after, name)

    def test_nothing(self) -> None:
        """Without a parameter, or with none but nulls, nothing is changed."""
        before = self.world.cluster
        self.change()
        self.change(maintain_node_health=None, force=True)
        self.assertEqual(self.world.cluster, before)

    def test_refused(self) -> None:
        """What cannot be meant is refused, with class, code and reason, and changes nothing."""
        for values, error, code, text in REFUSED:
            self.world = World()
            found = self.refused(**values)
            self.assertEqual(found[:2], (error, code), values)
            self.assertIn(text, found[2], values)

    def test_whole(self) -> None:
        """One bad parameter keeps the good ones from being changed."""
        self.refused(max_running_jobs=7, mac_prefix="x")

    def test_malformed(self) -> None:
        """Values of other types are no opcode."""
        for values in MALFORMED:
            with self.assertRaises(BadRequest, msg=str(values)):
                self.op(**values)


class MergingTests(ClusterCase):
    """New values beside those that are kept."""

    def test_default(self) -> None:
        """``default`` takes a value back; others stay."""
        self.change(beparams={"vcpus": 4, "maxmem": 512, "minmem": 256})
        self.change(beparams={"vcpus": "default"})
        self.assertEqual(self.world.cluster.beparams, {"maxmem": 512, "minmem": 256})
        self.change(ndparams={"spindle_count": 3, "ssh_port": 23})
        self.change(ndparams={"ssh_port": "default"})
        self.assertEqual(self.world.cluster.ndparams, {"spindle_count": 3})
        self.change(hvparams={"kvm": {"kernel_path": "/k", "root_path": "/r"}})
        self.change(hvparams={"kvm": {"kernel_path": "default"}})
        self.assertEqual(self.world.cluster.hvparams["kvm"], {"root_path": "/r"})
        self.change(diskparams={"plain": {"stripes": 2}, "rbd": {"pool": "p"}})
        self.change(diskparams={"plain": {"stripes": "default"}})
        self.assertEqual(self.world.cluster.diskparams, {"plain": {}, "rbd": {"pool": "p"}})

    def test_by_os(self) -> None:
        """Parameters of one OS leave those of another alone; ``default`` takes one back."""
        self.change(osparams_private_cluster={"a": {"x": "1", "y": "2"}, "b": {"x": "3"}})
        self.change(osparams_private_cluster={"a": {"x": "default"}})
        self.assertEqual(self.world.cluster.osparams_private, {"a": {"y": "2"}, "b": {"x": "3"}})
        self.change(os_hvp={"a": {"kvm": {"acpi": False}}})
        self.change(os_hvp={"a": {"fake": {}}, "b": {"kvm": {"acpi": True}}})
        self.assertEqual(self.world.cluster.os_hvp["a"], {"kvm": {"acpi": False}, "fake": {}})

    def test_ipolicy(self) -> None:
        """Parts of the policy that are not given stay; its whole is judged."""
        self.change(ipolicy={"std": STD, "minmax": [{"min": LOW, "max": HIGH}], "vcpu-ratio": 3})
        self.change(ipolicy={"vcpu-ratio": 4.0, "disk-templates": ["file"]})
        policy = self.world.cluster.ipolicy
        self.assertEqual((policy["vcpu-ratio"], policy["std"]), (4, STD))
        self.assertEqual(policy["disk-templates"], ["file"])
        self.assertIn("std", self.refused(ipolicy={"minmax": [{"min": HIGH, "max": HIGH}]})[2])

    def test_os_lists(self) -> None:
        """Names are added and removed one by one; what has no effect is told of."""
        self.change(hidden_os=[["add", "a"], ["add", "b"]])
        ended = self.change(hidden_os=[["remove", "a"], ["remove", "c"], ["add", "b"]])
        self.assertEqual(self.world.cluster.hidden_os, ("b",))
        self.assertEqual(len(ended.log), 2)
        self.assertTrue(all("WARNING" in line for line in ended.log))

    def test_uids(self) -> None:
        """Ranges are replaced, then added, then removed; they are kept in order."""
        self.change(uid_pool=[[10, 20], [1, 5]])
        self.change(add_uids=[[7, 8]], remove_uids=[[1, 5]])
        self.assertEqual(self.world.cluster.uid_pool, ((7, 8), (10, 20)))
        self.assertIn("overlap", self.refused(add_uids=[[20, 21]])[2])
        self.change(uid_pool=[])
        self.assertEqual(self.world.cluster.uid_pool, ())

    def test_collectors(self) -> None:
        """Each collector has its own switch and interval."""
        self.change(enabled_data_collectors={"lv": False}, data_collector_interval={"lv": 5})
        self.change(enabled_data_collectors={"drbd": False})
        self.assertEqual(self.world.cluster.enabled_data_collectors, {"lv": False, "drbd": False})
        self.assertEqual(self.world.cluster.data_collector_interval, {"lv": 5})


class UseTests(ClusterCase):
    """What instances use stays enabled."""

    def have(self, **values: Any) -> None:
        """There is an instance."""
        given = {"hypervisor": "fake", "disk_template": "file", "primary_node": NODES[0], **values}
        self.world.put(InstanceRecord(uuid="i", name="web", **given))

    def test_disabled(self) -> None:
        """Hypervisors and disk templates in use cannot be disabled; others can."""
        self.have(hypervisor="kvm")
        self.world.put(replace(self.world.cluster, enabled_hypervisors=("fake", "kvm")))
        self.assertEqual(self.refused(enabled_hypervisors=["fake"])[1], "wrong_state")
        found = self.refused(enabled_disk_templates=["sharedfile"])
        self.assertIn("'web'", found[2])
        self.change(enabled_disk_templates=["file"])

    def test_lvm(self) -> None:
        """The volume group and the DRBD helper stay while disks need them."""
        self.world.put(replace(self.world.cluster, volume_group_name="xenvg", drbd_usermode_helper="/x"))
        self.have(disk_template="drbd")
        self.assertEqual(self.refused(vg_name="")[1], "wrong_state")
        self.assertEqual(self.refused(drbd_helper="")[1], "wrong_state")
        self.have(disk_template="plain")
        self.change(drbd_helper="")
        self.assertEqual(self.refused(vg_name="")[1], "wrong_state")
        self.have(disk_template="file")
        self.change(vg_name="")


class PoolTests(ClusterCase):
    """The pool of candidates grows with its size."""

    def candidates(self) -> list[str]:
        """Their names, sorted."""
        nodes = self.world.of(NodeRecord).values()
        return sorted(node.name.partition(".")[0] for node in nodes if node.master_candidate)

    def test_grows(self) -> None:
        """As many nodes as are wanted become candidates, by name; it is told of."""
        self.assertEqual(self.candidates(), ["node1"])
        ended = self.change(candidate_pool_size=2)
        self.assertEqual(self.candidates(), ["node1", "node2"])
        self.assertEqual(ended.log, [" - INFO: Promoted nodes to master candidate role: node2.example.com"])
        self.assertEqual(ended.unlocked - {"cluster"}, set())
        self.change(candidate_pool_size=10)
        self.assertEqual(self.candidates(), ["node1", "node2", "node3"])

    def test_not_able(self) -> None:
        """Nodes that may not be candidates stay what they are."""
        two, three = (self.world.of(NodeRecord)[uuid] for uuid in NODES[1:])
        self.world.put(replace(two, drained=True), replace(three, master_capable=False))
        self.assertEqual(self.change(candidate_pool_size=10).log, [])
        self.assertEqual(self.candidates(), ["node1"])

    def test_shrinks(self) -> None:
        """Nobody is demoted; that there are more than wanted is told."""
        self.change(candidate_pool_size=3)
        ended = self.change(candidate_pool_size=1)
        self.assertEqual(self.candidates(), ["node1", "node2", "node3"])
        self.assertEqual(ended.log, [" - INFO: Note: more nodes are candidates (3) than desired (1)"])


class EffectTests(ClusterCase):
    """Settings that other parts heed."""

    def test_filled(self) -> None:
        """New cluster values are what instances without own ones have."""
        web = InstanceRecord(
            uuid="i",
            name="web",
            hypervisor="kvm",
            disk_template="file",
            primary_node=NODES[0],
            os="noop+alt",
            beparams={"vcpus": 7},
        )
        self.change(
            beparams={"vcpus": 3, "maxmem": 300},
            hvparams={"kvm": {"kernel_path": "/k", "root_path": "/r"}},
            os_hvp={"noop": {"kvm": {"root_path": "/o"}}},
            osparams={"other": {"dhcp": "no"}},
        )
        cluster: ClusterRecord = self.world.cluster
        filled = params.beparams(cluster, web)
        self.assertEqual((filled["vcpus"], filled["maxmem"]), (7, 300))
        hv = params.hvparams(cluster, web)
        self.assertEqual((hv["kernel_path"], hv["root_path"]), ("/k", "/o"))

    def test_os_judged(self) -> None:
        """The definition's own script judges parameters on the master's node, also in a dry run."""
        ended = self.change(osparams={"noop+alt": {"dhcp": "yes"}}, dry_run=True)
        self.assertEqual(ended.steps, ["os.verify"])
        self.assertEqual(self.world.cluster.osparams, {})
        self.world.faults = {1: "fails"}
        self.assertEqual(self.refused(osparams={"noop+alt": {"dhcp": "maybe"}})[0], "OpExecError")

    def test_address(self) -> None:
        """It is to be had, or not, until the other is said; each activation is one to announce."""
        rows = (("ACTIVATE", True, 1), ("DEACTIVATE", False, 1), ("DEACTIVATE", False, 1))
        for what, active, announced in (*rows, ("ACTIVATE", True, 2), ("ACTIVATE", True, 3)):
            ended = self.world.run(from_wire({"OP_ID": f"OP_CLUSTER_{what}_MASTER_IP"}))
            self.assertEqual((ended.error, ended.steps, ended.result), (None, [], None))
            cluster: ClusterRecord = self.world.cluster
            self.assertEqual((cluster.master_ip_active, cluster.master_ip_announced), (active, announced))

    def test_redistribute(self) -> None:
        """The master's files are asked for, nodes for nothing; it is later than any time before."""
        op, view = from_wire({"OP_ID": "OP_CLUSTER_REDIST_CONF"}), self.world.view()
        ended = self.world.run(op)
        self.assertEqual((ended.error, ended.steps, ended.result), (None, [], None))
        wanted = DistributionRecord(at=self.world.now, source=self.world.cluster.master_node)
        self.assertEqual(self.world.records["distribution"], wanted)
        assert isinstance(op, ClusterRedistConf)
        stage = plan_redistribute(op, Progress(), attrs.evolve(view, distributed=self.world.now + 100))
        assert isinstance(stage, Finish)
        [record] = stage.puts
        assert isinstance(record, DistributionRecord)
        self.assertGreater(record.at, self.world.now + 100)
