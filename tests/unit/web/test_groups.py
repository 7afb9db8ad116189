"""The resources of node groups."""

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser

FIELDS = (
    "alloc_policy name node_cnt node_list ipolicy custom_ipolicy diskparams custom_diskparams ndparams "
    "custom_ndparams ctime mtime uuid serial_no tags"
)


class ObjectCase(SynchronousTestCase):
    """Has a browser, and looks at jobs by their requests."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)

    def get(self, path: str) -> Any:
        """What reading answers to anybody."""
        answer = self.browser.ask("GET", path, user=None)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def well(self, method: str, path: str, body: Any = None) -> Any:
        """The result of the job, which succeeds."""
        job = self.browser.done(method, path, body)
        self.assertEqual(job["status"], "success", job["opresult"])
        return job["opresult"][-1]

    def fails(self, error: list[Any], method: str, path: str, body: Any = None) -> None:
        """The job ends with this error."""
        job = self.browser.done(method, path, body)
        self.assertEqual((job["status"], job["opresult"][-1]), ("error", error))

    def refused(self, message: str, method: str, path: str, body: Any = None) -> None:
        """There is no job: 400 with this message, which is shown without escapes here."""
        answer = self.browser.ask(method, path, body)
        shown = answer.json()["message"].replace("&#x27;", "'").replace("&quot;", '"')
        self.assertEqual((answer.status, shown), (400, message))

    def wrong(self, parameter: str, method: str, path: str, body: Any = None) -> None:
        """There is no job: the parameter is missing or wrong."""
        message = f"Invalid body parameters: (\"Parameter '{parameter}' fails validation\", 'wrong_input')"
        self.refused(message, method, path, body)

    def forbidden(self, *requests: tuple[str, str]) -> None:
        """Users without the right to write cannot ask for these."""
        for method, path in requests:
            self.assertEqual(self.browser.ask(method, path, user=None).status, 401, path)
            self.assertEqual(self.browser.ask(method, path, user="viewer").status, 403, path)


class GroupTests(ObjectCase):
    """``/2/groups`` and what is below."""

    def test_read(self) -> None:
        """A group has its fields in order, alone and in bulk."""
        self.well("POST", "/2/groups", {"group_name": "g2", "ndparams": {"spindle_count": 4}})
        listed = [{"name": n, "uri": f"/2/groups/{n}"} for n in ("default", "g2")]
        self.assertEqual(self.get("/2/groups"), listed)
        one = self.get("/2/groups/g2")
        self.assertEqual(list(one), FIELDS.split())
        self.assertEqual(
            (one["custom_ndparams"], one["ndparams"]["spindle_count"]), ({"spindle_count": 4}, 4)
        )
        self.assertEqual(self.get("/2/groups?bulk=1")[1], one)
        self.assertEqual(self.get(f"/2/groups/{one['uuid']}"), one)
        self.assertEqual(self.browser.ask("GET", "/2/groups/nosuch").status, 404)
        self.refused("Invalid value for the 'bulk' parameter", "GET", "/2/groups?bulk=x")

    def test_add(self) -> None:
        """By its newer and its older key, but not by both."""
        self.well("POST", "/2/groups", {"name": "g3", "alloc_policy": "last_resort"})
        self.assertEqual(self.get("/2/groups/g3")["alloc_policy"], "last_resort")
        for body in ({}, None, {"group_name": ""}):
            self.wrong("OP_GROUP_ADD.group_name", "POST", "/2/groups", body)
        self.wrong("OP_GROUP_ADD.alloc_policy", "POST", "/2/groups", {"group_name": "g", "alloc_policy": "x"})
        both = "Parameter 'name' was renamed to 'group_name', but both are specified"
        self.refused(both, "POST", "/2/groups", {"group_name": "a", "name": "b"})
        unknown = "Invalid body parameters: Object OpGroupAdd doesn't support the parameter 'foo'"
        self.refused(unknown, "POST", "/2/groups", {"group_name": "g5", "foo": 1})
        self.well("POST", "/2/groups?dry-run=1", {"group_name": "gdry"})
        self.assertEqual(len(self.get("/2/groups")), 2)

    def test_modify(self) -> None:
        """Parameters under both their names."""
        result = self.well("PUT", "/2/groups/default/modify", {"custom_ndparams": {"spindle_count": 3}})
        self.assertEqual(result, [["ndparams", "{'spindle_count': 3}"]])
        both = "Parameter 'custom_ndparams' was renamed to 'ndparams', but both are specified"
        self.refused(both, "PUT", "/2/groups/default/modify", {"custom_ndparams": {}, "ndparams": {}})
        nothing = ["OpPrereqError", ["Please pass at least one modification", "wrong_input"]]
        self.fails(nothing, "PUT", "/2/groups/default/modify")
        self.assertEqual(self.get("/2/nodes/node1")["ndparams"]["spindle_count"], 3, "inherited")

    def test_rename(self) -> None:
        """The result is the new name."""
        self.assertEqual(self.well("PUT", "/2/groups/default/rename", {"new_name": "g2"}), "g2")
        self.assertEqual(self.browser.ask("GET", "/2/groups/default").status, 404)
        self.wrong("OP_GROUP_RENAME.new_name", "PUT", "/2/groups/g2/rename", {})
        self.fails(MISSING, "PUT", "/2/groups/nosuch/rename", {"new_name": "x"})
        self.assertIsNone(self.well("PUT", "/2/groups/g2/rename?dry-run=1", {"new_name": "zz"}))

    def test_assign(self) -> None:
        """Nodes move; force is an argument."""
        self.well("POST", "/2/groups", {"group_name": "g2"})
        body = {"nodes": ["node3.example.com"]}
        self.assertIsNone(self.well("PUT", "/2/groups/g2/assign-nodes?force=1", body))
        self.assertEqual(self.get("/2/groups/g2")["node_list"], ["node3.example.com"])
        self.wrong("OP_GROUP_ASSIGN_NODES.nodes", "PUT", "/2/groups/g2/assign-nodes", {"nodes": "x"})
        unknown = ["OpPrereqError", ["Node 'nosuch' not known", "unknown_entity"]]
        self.fails(unknown, "PUT", "/2/groups/g2/assign-nodes", {"nodes": ["nosuch"]})

    def test_tags(self) -> None:
        """Tags of groups."""
        self.well("PUT", "/2/groups/default/tags?tag=a&tag=b")
        self.well("DELETE", "/2/groups/default/tags?tag=a")
        self.assertEqual(self.get("/2/groups/default/tags"), ["b"])
        self.assertEqual(self.browser.ask("GET", "/2/groups/nosuch/tags").status, 404)
        self.fails(MISSING, "PUT", "/2/groups/nosuch/tags?tag=a")
        self.assertEqual(self.browser.done("DELETE", "/2/groups/default/tags?tag=x")["status"], "error")

    def test_remove(self) -> None:
        """A body means nothing."""
        self.well("POST", "/2/groups", {"group_name": "g2"})
        self.well("DELETE", "/2/groups/g2", {"foo": 1})
        self.fails(MISSING, "DELETE", "/2/groups/nosuch")

    def test_rights(self) -> None:
        """Changes need the right to write."""
        group = "/2/groups/default"
        self.forbidden(
            ("POST", "/2/groups"),
            ("DELETE", group),
            *(("PUT", f"{group}/{what}") for what in ("modify", "rename", "assign-nodes", "tags")),
        )


MISSING = ["OpPrereqError", ["Node group 'nosuch' not found", "unknown_entity"]]
