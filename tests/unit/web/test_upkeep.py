"""Opcodes that no resource has, as ``POST /2/jobs`` takes them: of disks, volumes, providers, the cluster."""

from typing import Any

from tests.unit.web.test_groups import ObjectCase
from twisted_rapi.model.seen import ProviderSeen
from twisted_rapi.testing.cluster import NODES

INSTANCE = {
    "__version__": 1,
    "mode": "create",
    "instance_name": "web1.example.com",
    "disk_template": "file",
    "disks": [{"size": 64}],
    "nics": [],
    "os_type": "noop+default",
    "pnode": "node1.example.com",
}


class UpkeepTests(ObjectCase):
    """Submitted like any other."""

    def job(self, op_id: str, **parameters: Any) -> Any:
        """The result of a job of one opcode."""
        return self.well("POST", "/2/jobs", [{"OP_ID": f"OP_{op_id}", **parameters}])

    def failing(self, error: list[Any], op_id: str, **parameters: Any) -> None:
        """The job of one opcode ends with this error."""
        self.fails(error, "POST", "/2/jobs", [{"OP_ID": f"OP_{op_id}", **parameters}])

    def test_disks(self) -> None:
        """A file that is gone is found by the job of its group; nothing is wrong with sizes."""
        self.well("POST", "/2/instances", INSTANCE)
        self.assertEqual(self.job("CLUSTER_REPAIR_DISK_SIZES"), [])
        node = self.browser.cluster.nodes.nodes[NODES[0]]
        [path] = node.volumes
        node.volumes.clear()
        [[well, job]] = self.job("CLUSTER_VERIFY_DISKS")["jobs"]
        self.assertIs(well, True)
        shown = self.get(f"/2/jobs/{job}")
        self.assertEqual(shown["summary"], ["GROUP_VERIFY_DISKS(default)"])
        missing = {"web1.example.com": [["node1.example.com", path]]}
        self.assertEqual(shown["opresult"], [[{}, [], missing]])
        gone = ["OpPrereqError", ["Node group 'nosuch' not found", "unknown_entity"]]
        self.failing(gone, "GROUP_VERIFY_DISKS", group_name="nosuch")

    def test_volumes(self) -> None:
        """Volumes of nodes; of columns that are none there is an error."""
        self.browser.cluster.nodes.nodes[NODES[1]].shelf.write("xenvg/stray", {"size": 8})
        fields = ["node", "name", "size"]
        rows = self.job("NODE_QUERYVOLS", output_fields=fields)
        self.assertEqual(rows, [["node2.example.com", "stray", "8"]])
        unknown = ["OpPrereqError", ["Unknown output fields selected: x", "wrong_input"]]
        self.failing(unknown, "NODE_QUERYVOLS", output_fields=["x"])

    def test_providers(self) -> None:
        """What nodes have found is told by the opcode and by the query."""
        provider = ProviderSeen(name="fast", path="/es/fast")
        self.browser.cluster.nodes.nodes[NODES[0]].providers = (provider,)
        self.assertEqual(self.job("EXT_STORAGE_DIAGNOSE", output_fields=["name"]), [["fast"]])
        found = self.browser.ask("GET", "/2/query/extstorage?fields=name,node_status").json()
        [[_, [status, by_node]]] = found["data"]
        self.assertEqual((status, by_node["node1.example.com"]), (0, [["/es/fast", True, "", []]]))

    def test_rename(self) -> None:
        """The cluster shows the name it has got; a name that nobody has is refused."""
        self.browser.cluster.nodes.nodes[NODES[0]].hosts["new.example.com"] = "192.0.2.90"
        self.assertEqual(self.job("CLUSTER_RENAME", name="new"), "new.example.com")
        self.assertEqual(self.get("/2/info")["name"], "new.example.com")
        text = "The given name (nosuch) does not resolve: Temporary failure in name resolution"
        self.failing(["OpPrereqError", [text, "resolver_error"]], "CLUSTER_RENAME", name="nosuch")


class OpportunityTests(ObjectCase):
    """Creations beside a job that has a node locked."""

    def setUp(self) -> None:
        super().setUp()
        self.browser.cluster.nodes.hold()
        self.long = self.delay("node1")

    def delay(self, *nodes: str) -> int:
        """A job that has these nodes locked until nodes carry out what they are asked for."""
        delay = {"OP_ID": "OP_TEST_DELAY", "duration": 1, "on_nodes": nodes, "no_locks": False}
        job: int = self.browser.ask("POST", "/2/jobs", [delay]).json()
        self.assertEqual(self.shown(job)["status"], "running")
        return job

    def shown(self, job: int) -> Any:
        """The job as it is."""
        return self.get(f"/2/jobs/{job}")

    def create(self, **more: Any) -> int:
        """A job that creates an instance."""
        body = {**INSTANCE, "pnode": None, "iallocator": "builtin", **more}
        job: int = self.browser.ask("POST", "/2/instances", body).json()
        return job

    def test_waits(self) -> None:
        """Others wait for the node."""
        job = self.create()
        self.assertEqual(self.shown(job)["status"], "waiting")
        self.browser.cluster.nodes.release()
        self.assertEqual(self.shown(job)["status"], "success")

    def test_opportunity(self) -> None:
        """It begins at once, and takes another node."""
        job = self.create(opportunistic_locking=True)
        statuses = [self.shown(each)["status"] for each in (job, self.long)]
        self.assertEqual(statuses, ["running", "running"])
        self.browser.cluster.nodes.release()
        found = self.shown(job)
        self.assertEqual(found["status"], "success", found["opresult"])
        self.assertIn(found["opresult"], [[["node2.example.com"]], [["node3.example.com"]]])

    def test_none(self) -> None:
        """Where all are locked it ends, to be asked for again later."""
        self.delay("node2", "node3")
        text = "All nodes are locked by other jobs just now"
        error = ["OpPrereqError", [text, "temp_insufficient_resources"]]
        self.assertEqual(self.shown(self.create(opportunistic_locking=True))["opresult"], [error])
