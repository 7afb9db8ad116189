"""The resources that move instances and their data."""

from tests.unit.web.test_api import CREATION
from tests.unit.web.test_groups import ObjectCase

NAME = CREATION["instance_name"]
MISSING = ["OpPrereqError", ["Instance 'nosuch' not known", "unknown_entity"]]


class RelocationTests(ObjectCase):
    """``/migrate`` and ``/failover``."""

    def setUp(self) -> None:
        super().setUp()
        self.well("POST", "/2/instances", {**CREATION, "disk_template": "sharedfile", "pnode": "node1"})
        self.names = [node["id"] for node in self.get("/2/nodes")]

    def _node(self) -> str:
        found = self.get(f"/2/instances/{NAME}")
        self.assertEqual(found["status"], "running")
        node: str = found["pnode"]
        return node

    def test_migrate(self) -> None:
        """With a body, or without; the job names target and mode in full."""
        job = self.browser.done("PUT", f"/2/instances/{NAME}/migrate", {"target_node": "node2"})
        self.assertEqual((job["status"], job["opresult"]), ("success", [None]))
        self.assertEqual((job["ops"][0]["mode"], job["ops"][0]["target_node"]), ("live", self.names[1]))
        self.assertEqual(self._node(), self.names[1])
        self.assertIsNone(self.well("PUT", f"/2/instances/{NAME}/migrate"))
        self.assertNotEqual(self._node(), self.names[1])
        self.assertIsNone(self.well("PUT", f"/2/instances/{NAME}/migrate", {"cleanup": True, "mode": "live"}))

    def test_failover(self) -> None:
        """To a node that is named or chosen."""
        self.assertIsNone(
            self.well("PUT", f"/2/instances/{NAME}/failover?reason=x", {"target_node": "node3"})
        )
        self.assertEqual(self._node(), self.names[2])
        self.assertIsNone(self.well("PUT", f"/2/instances/{NAME}/failover"))
        self.assertNotEqual(self._node(), self.names[2])

    def test_refused(self) -> None:
        """Unknown instances are a job's error, wrong parameters a request's."""
        self.fails(MISSING, "PUT", "/2/instances/nosuch/migrate", {})
        self.fails(MISSING, "PUT", "/2/instances/nosuch/failover", {})
        self.wrong("OP_INSTANCE_MIGRATE.mode", "PUT", f"/2/instances/{NAME}/migrate", {"mode": "x"})
        path = f"/2/instances/{NAME}/failover"
        self.wrong("OP_INSTANCE_FAILOVER.shutdown_timeout", "PUT", path, {"shutdown_timeout": -1})
        self.forbidden(("PUT", f"/2/instances/{NAME}/migrate"), ("PUT", path))


class BackupTests(ObjectCase):
    """``/prepare-export``, ``/export`` and making instances of exports."""

    def setUp(self) -> None:
        super().setUp()
        self.well("POST", "/2/instances", {**CREATION, "pnode": "node1"})
        self.path = f"/2/instances/{NAME}"

    def _exports(self) -> list[list[str]]:
        body = {"fields": ["node", "export"]}
        data = self.browser.ask("PUT", "/2/query/export", body).json()["data"]
        return [[value for _, value in row] for row in data if row[1][1] is not None]

    def test_export(self) -> None:
        """To a node by its newer and its older key; it is listed, imported, and removed again."""
        self.assertIsNone(self.well("PUT", f"{self.path}/prepare-export?mode=local"))
        result = [True, [True] * len(CREATION["disks"])]
        self.assertEqual(self.well("PUT", f"{self.path}/export", {"destination": "node2"}), result)
        body = {"target_node": "node3", "mode": "local", "shutdown": True, "remove_instance": False}
        self.assertEqual(self.well("PUT", f"{self.path}/export", body), result)
        node3 = self.get("/2/nodes")[2]["id"]
        self.assertEqual(self._exports(), [[node3, NAME]])
        creation = {
            "__version__": 1,
            "mode": "import",
            "instance_name": "copy.example.com",
            "src_path": NAME,
            "disks": [],
            "nics": [],
            "pnode": "node2",
        }
        self.well("POST", "/2/instances", creation)
        made, old = (self.get(f"/2/instances/{name}") for name in ("copy.example.com", NAME))
        for field in ("os", "disk_template", "disk.sizes", "beparams", "status"):
            self.assertEqual(made[field], old[field], field)
        self.assertIsNone(self.well("DELETE", f"{self.path}/export"))
        self.assertEqual(self._exports(), [])

    def test_refused(self) -> None:
        """Wrong parameters are a request's error, unknown instances a job's."""
        self.wrong("OP_BACKUP_PREPARE.mode", "PUT", f"{self.path}/prepare-export?mode=x")
        self.wrong("OP_BACKUP_PREPARE.mode", "PUT", f"{self.path}/prepare-export")
        self.wrong("OP_BACKUP_EXPORT.target_node", "PUT", f"{self.path}/export", {"mode": "local"})
        self.wrong("OP_BACKUP_EXPORT.target_node", "PUT", f"{self.path}/export")
        self.wrong("OP_BACKUP_EXPORT.target_node", "PUT", f"{self.path}/export", {"target_node": 5})
        self.fails(MISSING, "PUT", "/2/instances/nosuch/export", {"target_node": "node2"})
        self.fails(MISSING, "PUT", "/2/instances/nosuch/prepare-export?mode=local")
        self.forbidden(("PUT", f"{self.path}/export"), ("PUT", f"{self.path}/prepare-export"))
        self.forbidden(("DELETE", f"{self.path}/export"))
