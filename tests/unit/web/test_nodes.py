"""The resources of nodes; moving their instances is told elsewhere."""

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from tests.unit.web.test_groups import ObjectCase
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES

NODE = "/2/nodes/node3.example.com"
UNKNOWN = ["OpPrereqError", ["Node 'nosuch' not known", "unknown_entity"]]


class NodeTests(ObjectCase):
    """``/2/nodes/N`` and what is below."""

    def test_role(self) -> None:
        """The role is a text of JSON, in both directions."""
        self.assertEqual(self.get("/2/nodes/node1/role"), "master")
        drained = self.well("PUT", f"{NODE}/role", "drained")
        self.assertEqual(drained, [["drained", "True"]])
        self.assertEqual(self.get(f"{NODE}/role"), "drained")
        self.well("PUT", f"{NODE}/role", "offline")
        one = self.get(NODE)
        self.assertEqual((one["role"], one["dtotal"], one["mfree"]), ("O", None, None))
        back = self.well("PUT", f"{NODE}/role", "regular")
        self.assertEqual(back, [["master_candidate", "True"], ["offline", "False"]])
        self.well("PUT", f"{NODE}/role?force=1&auto-promote=1", "regular")
        self.well("PUT", f"{NODE}/role", "master-candidate")
        self.assertEqual(self.get(f"{NODE}/role"), "master-candidate")

    def test_role_refused(self) -> None:
        """What is no role that can be set."""
        for role in ("master", "foo"):
            self.refused(f"Can't set '{role}' role", "PUT", f"{NODE}/role", role)
        for body, kind in (({"role": "offline"}, "dict"), (1, "int"), (["offline"], "list")):
            text = f"Body contents: Type is '{kind}', but 'str' is expected"
            self.refused(text, "PUT", f"{NODE}/role", body)
        self.refused("Body contents: Type is 'NoneType', but 'str' is expected", "PUT", f"{NODE}/role")
        invalid = "Invalid value for the 'force' parameter"
        self.refused(invalid, "PUT", f"{NODE}/role?force=yes", "regular")
        self.fails(UNKNOWN, "PUT", "/2/nodes/nosuch/role", "offline")
        self.assertEqual(self.browser.ask("GET", "/2/nodes/nosuch/role").status, 404)

    def test_modify(self) -> None:
        """Parameters of a node."""
        self.assertEqual(self.well("POST", f"{NODE}/modify", {"ndparams": {"spindle_count": 2}}), [])
        self.assertEqual(self.get(NODE)["ndparams"]["spindle_count"], 2)
        self.assertEqual(
            self.well("POST", f"{NODE}/modify", {"vm_capable": False}), [["vm_capable", "False"]]
        )
        nothing = ["OpPrereqError", ["Please pass at least one modification", "wrong_input"]]
        self.fails(nothing, "POST", f"{NODE}/modify")
        static = "Can't overwrite static parameters {'node_name'}"
        self.refused(static, "POST", f"{NODE}/modify", {"node_name": "x"})
        self.wrong("OP_NODE_SET_PARAMS.drained", "POST", f"{NODE}/modify", {"drained": "x"})

    def test_powercycle(self) -> None:
        """The result is when; the master needs force."""
        scheduled = "Reboot scheduled in 5 seconds"
        self.assertEqual(self.well("POST", f"{NODE}/powercycle"), scheduled)
        self.assertEqual(self.well("POST", "/2/nodes/node1/powercycle?force=1"), scheduled)
        text = "The node is the master and the force parameter was not set"
        self.fails(["OpPrereqError", [text, "wrong_input"]], "POST", "/2/nodes/node1/powercycle")
        self.assertIsNone(self.well("POST", f"{NODE}/powercycle", {"dry_run": True}))

    def test_storage(self) -> None:
        """Listing is a job too, which only writers may ask for."""
        query = "output_fields=name,size,used,free,allocatable"
        rows = self.well("GET", f"{NODE}/storage?storage_type=file&{query}")
        self.assertEqual(rows, [["/files", 1048576, 0, 1048576, True]])
        self.assertEqual(self.well("GET", f"{NODE}/storage?output_fields=name"), [["/files"]])
        missing = "Missing the required 'output_fields' parameter"
        self.refused(missing, "GET", f"{NODE}/storage?storage_type=file")
        self.wrong(
            "OP_NODE_QUERY_STORAGE.storage_type", "GET", f"{NODE}/storage?storage_type=foo&output_fields=name"
        )
        self.forbidden(("GET", f"{NODE}/storage?output_fields=name"))
        self.fails(UNKNOWN, "GET", "/2/nodes/nosuch/storage?output_fields=name")

    def test_storage_changes(self) -> None:
        """A unit has a name and a type; a physical volume gives space or not, a group is repaired."""
        modify, repair = f"{NODE}/storage/modify", f"{NODE}/storage/repair"
        for path in (modify, repair):
            self.refused("Missing the required 'name' parameter", "PUT", f"{path}?storage_type=file")
        self.wrong("OP_NODE_MODIFY_STORAGE.storage_type", "PUT", f"{modify}?name=x")
        self.wrong("OP_REPAIR_NODE_STORAGE.storage_type", "PUT", f"{repair}?name=x")
        invalid = "Invalid value for the 'allocatable' parameter"
        self.refused(invalid, "PUT", f"{modify}?storage_type=lvm-pv&name=x&allocatable=z")
        cannot = ["OpPrereqError", ["Storage units of type 'file' can not be modified", "wrong_input"]]
        self.fails(cannot, "PUT", f"{modify}?storage_type=file&name=x&allocatable=1")
        self.enable_lvm()
        pvs = f"{NODE}/storage?storage_type=lvm-pv&output_fields=name,allocatable"
        device = self.well("GET", pvs)[0][0]
        self.assertIsNone(self.well("PUT", f"{modify}?storage_type=lvm-pv&name={device}&allocatable=0"))
        self.assertEqual(self.well("GET", pvs)[0], [device, False])
        self.assertIsNone(self.well("PUT", f"{repair}?storage_type=lvm-vg&name=xenvg"))
        self.assertEqual(
            self.browser.done("PUT", f"{repair}?storage_type=lvm-vg&name=nosuch")["status"], "error"
        )

    def enable_lvm(self) -> None:
        """Disks may be logical volumes."""
        cluster = self.browser.cluster
        templates = (*cluster.snapshot.cluster.enabled_disk_templates, "plain")
        record = replace(cluster.snapshot.cluster, enabled_disk_templates=templates)
        self.successResultOf(Deferred.fromCoroutine(cluster.store.commit(commit_of([record]))))

    def test_tags(self) -> None:
        """Tags of nodes."""
        self.well("PUT", f"{NODE}/tags?tag=a&tag=b")
        self.well("DELETE", f"{NODE}/tags?tag=a")
        self.assertEqual(self.get(f"{NODE}/tags"), ["b"])
        self.assertEqual(self.browser.ask("GET", "/2/nodes/nosuch/tags").status, 404)
        self.fails(UNKNOWN, "PUT", "/2/nodes/nosuch/tags?tag=a")
        self.fails(UNKNOWN, "DELETE", "/2/nodes/nosuch/tags?tag=a")

    def test_rights(self) -> None:
        """Changes need the right to write."""
        self.forbidden(
            ("PUT", f"{NODE}/role"),
            ("POST", f"{NODE}/modify"),
            ("POST", f"{NODE}/powercycle"),
            *(("PUT", f"{NODE}/{what}") for what in ("storage/modify", "storage/repair", "tags")),
        )

    def test_gone(self) -> None:
        """A node that does not answer cannot be listed or restarted; the job tells."""
        self.browser.cluster.nodes.nodes[NODES[2]].down = True
        job = self.browser.ask("POST", f"{NODE}/powercycle").json()
        self.browser.cluster.clock.advance(60)
        self.assertEqual(self.browser.ask("GET", f"/2/jobs/{job}").json()["status"], "error")
