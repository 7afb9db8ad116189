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
