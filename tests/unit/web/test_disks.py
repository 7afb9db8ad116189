"""Resources of the disks of instances, over the whole cluster in memory (answers as observed)."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Answer, Browser
from twisted_rapi.plan.disks import TEMPLATES
from twisted_rapi.state.writer import commit_of

WEB1 = "/2/instances/web1.example.com"


class DiskTestCase(SynchronousTestCase):
    """A cluster with every disk template."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        fake = self.browser.cluster
        self.addCleanup(fake.stop)
        cluster = fake.snapshot.cluster
        policy = {**cluster.ipolicy, "disk-templates": list(TEMPLATES)}
        changed = replace(
            cluster, enabled_disk_templates=TEMPLATES, volume_group_name="xenvg", ipolicy=policy
        )
        commit = commit_of([changed], revision_of=fake.snapshot.revision_of)
        self.successResultOf(Deferred.fromCoroutine(fake.store.commit(commit)))

    def create(self, template: str, **more: Any) -> None:
        """Make the instance."""
        body = {
            "__version__": 1,
            "mode": "create",
            "instance_name": "web1.example.com",
            "disk_template": template,
            "disks": [{"size": 64}, {"size": 32}],
            "nics": [{}],
            "os_type": "noop+default",
            "pnode": "node1.example.com",
            **more,
        }
        self.done("POST", "/2/instances", body)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The opcode's result, once the job has ended well."""
        job = self.browser.done(method, path, body)
        self.assertEqual(job["status"], "success", job["opresult"])
        return job["opresult"][0]

    def error(self, method: str, path: str, body: Any = None) -> Any:
        """The opcode's error."""
        job = self.browser.done(method, path, body)
        self.assertEqual(job["status"], "error")
        return job["opresult"][0]

    def refused(self, path: str, body: Any = None) -> str:
        """The text of the refusal of a request."""
        answer: Answer = self.browser.ask("POST", path, body)
        self.assertEqual(answer.status, 400)
        return str(answer.json()["message"])

    def invalid(self, opcode: str, parameter: str) -> str:
        """The text about a wrong parameter."""
        text = f"Parameter &#x27;OP_INSTANCE_{opcode}.{parameter}&#x27; fails validation"
        return f"Invalid body parameters: (&quot;{text}&quot;, &#x27;wrong_input&#x27;)"


class DiskResourceTests(DiskTestCase):
    """Each URI and method."""

    def test_grow(self) -> None:
        """A disk grows by an amount or to a size; what is wrong is told."""
        self.create("drbd", snode="node2.example.com")
        self.assertIsNone(self.done("POST", f"{WEB1}/disk/1/grow", {"amount": 16, "wait_for_sync": True}))
        self.assertIsNone(self.done("POST", f"{WEB1}/disk/0/grow", {"amount": 100, "absolute": True}))
        self.assertEqual(self.browser.ask("GET", WEB1).json()["disk.sizes"], [100, 48])
        self.assertEqual(self.refused(f"{WEB1}/disk/0/grow"), self.invalid("GROW_DISK", "amount"))
        self.assertEqual(
            self.refused(f"{WEB1}/disk/0/grow", {"amount": -1}), self.invalid("GROW_DISK", "amount")
        )
        self.assertEqual(
            self.refused(f"{WEB1}/disk/77/grow", {"amount": 1}), self.invalid("GROW_DISK", "disk")
        )
        self.assertEqual(self.error("POST", f"{WEB1}/disk/7/grow", {"amount": 1})[1][1], "wrong_input")
        unknown = self.error("POST", "/2/instances/nosuch/disk/0/grow", {"amount": 1})
        self.assertEqual(unknown, ["OpPrereqError", ["Instance 'nosuch' not known", "unknown_entity"]])
        self.assertEqual(self.browser.ask("POST", f"{WEB1}/disk/x/grow", {"amount": 1}).status, 404)
        self.assertEqual(self.browser.ask("GET", f"{WEB1}/disk/0/grow").status, 501)

    def test_recreate(self) -> None:
        """Disks that are lost are made anew; others, and bad requests, are refused."""
        self.create("drbd", snode="node2.example.com", start=False)
        self.assertEqual(self.error("POST", f"{WEB1}/recreate-disks", {})[0], "OpExecError")
        self.assertEqual(
            self.error("POST", f"{WEB1}/recreate-disks", {"disks": [[9, {}]]}),
            ["OpPrereqError", ["Invalid disk index '9'", "wrong_input"]],
        )
        bad_ones: tuple[Any, ...] = ("x", [-1], [[0, {"size": []}]], [[0]], [{}])
        for bad in bad_ones:
            text = self.refused(f"{WEB1}/recreate-disks", {"disks": bad})
            self.assertEqual(text, self.invalid("RECREATE_DISKS", "disks"))
        nodes = self.browser.cluster.nodes
        for node in nodes.nodes.values():
            node.shelf.values.clear()
        nodes.shared.mirrored.values.clear()
        self.assertIsNone(self.done("POST", f"{WEB1}/recreate-disks", {"disks": [0]}))
        body = {"disks": [[1, {"size": 40}]]}
        self.assertIsNone(self.done("POST", f"{WEB1}/recreate-disks", body))
        self.assertEqual(self.browser.ask("GET", WEB1).json()["disk.sizes"], [64, 40])

    def test_replace(self) -> None:
        """Both forms; disks also as text."""
        self.create("drbd", snode="node2.example.com")
        path = f"{WEB1}/replace-disks"
        self.assertIsNone(self.done("POST", path, {"mode": "replace_on_primary", "disks": [0]}))
        self.assertIsNone(self.done("POST", path, {"mode": "replace_on_secondary", "disks": "0,1"}))
        self.assertIsNone(self.done("POST", f"{path}?mode=replace_on_primary&disks=0,1"))
        self.assertIsNone(self.done("POST", f"{path}?mode=replace_auto"))
        self.done("POST", f"{path}?mode=replace_new_secondary&remote_node=node3&early_release=1")
        shown = self.browser.ask("GET", WEB1).json()
        self.assertEqual((shown["snodes"], shown["disk_usage"]), (["node3.example.com"], 96 + 256))
        node = self.browser.ask("GET", "/2/nodes/node3.example.com").json()
        self.assertEqual((node["sinst_cnt"], node["sinst_list"]), (1, ["web1.example.com"]))
        self.assertEqual(node["dtotal"] - node["dfree"], 96 + 256)
        self.assertEqual(
            self.refused(f"{path}?mode=replace_on_primary&disks=a"),
            "Invalid disk index passed: invalid literal for int() with base 10: &#x27;a&#x27;",
        )
        self.assertEqual(self.refused(path), self.invalid("REPLACE_DISKS", "mode"))
        self.assertEqual(self.browser.ask("PUT", path, {}).status, 501)

    def test_replace_others(self) -> None:
        """Instances that are not mirrored are refused."""
        self.create("sharedfile")
        text = "The instance has a strange layout, expected one secondary but found 0"
        self.assertEqual(
            self.error("POST", f"{WEB1}/replace-disks", {"mode": "replace_auto", "disks": [0]}),
            ["OpPrereqError", [text, "internal_error"]],
        )
