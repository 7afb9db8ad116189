"""Tests of `twisted_rapi.web.pvc.logs` and `tags`."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.pvc.http import PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import ReadLog
from twisted_rapi.testing.cluster import NODES

NAME = "web1.example.com"


class MachineCase(SynchronousTestCase):
    """Has a cluster with a machine, asked in the newest form."""

    def setUp(self) -> None:
        """One that was made through RAPI."""
        self.browser = PvcBrowser(Path(self.mktemp()), dialect="1.0")
        self.addCleanup(self.browser.cluster.stop)
        self.browser.rapi.done("POST", "/2/instances", CREATION)
        self.node = self.browser.cluster.nodes.nodes[NODES[0]]


class LogTests(MachineCase):
    """The ends of logs."""

    def test_shown(self) -> None:
        """So many lines of a console, and of what a node has logged; ten without a number."""
        text = "".join(f"line {n}\n" for n in range(30))
        self.node.logs = {NAME: text, "": text}
        for path, name in (
            (f"/vm/{NAME}/console", NAME),
            ("/node/node1.example.com/log", "node1.example.com"),
        ):
            found = self.browser.ask("GET", path, {"lines": "3"}).json()
            self.assertEqual(found, {"name": name, "data": "line 28\nline 29\n"})
            self.assertEqual(len(self.browser.ask("GET", path).json()["data"].split("\n")), 10)
        found = self.browser.ask("GET", f"/vm/{NAME}/console", {"lines": "1"}, User_Agent="pvc/0.6")
        self.assertEqual(found.status, 200)

    def test_wrong(self) -> None:
        """What is no number, is not there, or does not answer, is told."""
        for lines in ("0", "-1", "x", "10001", "9" * 50, "1.5", "\u0661"):
            found = self.browser.ask("GET", f"/vm/{NAME}/console", {"lines": lines})
            self.assertEqual((found.status, list(found.json()["message"])), (400, ["lines"]), lines)
        found = self.browser.ask("GET", "/vm/nope/console")
        self.assertEqual(found.json(), {"message": 'ERROR: Could not find VM "nope" in the cluster!'})
        self.assertEqual(self.browser.ask("GET", "/node/nope/log").status, 400)
        self.node.faults[ReadLog] = [StepFailed("there is none", "log")]
        found = self.browser.ask("GET", f"/vm/{NAME}/console")
        self.assertEqual((found.status, found.json()), (400, {"message": "ERROR: there is none"}))
        self.node.down = True
        found = self.browser.ask("GET", f"/vm/{NAME}/console")
        self.assertEqual(
            (found.status, found.json()["message"]), (503, "ERROR: Node node1.example.com does not answer")
        )


class TagTests(MachineCase):
    """Tags are added and removed."""

    def change(self, action: str, tag: str, **more: str) -> tuple[int, str]:
        """What is told of a change."""
        found = self.browser.ask("POST", f"/vm/{NAME}/tags", form={"action": action, "tag": tag, **more})
        return found.status, found.json()["message"]

    def tags(self) -> list[tuple[str, bool]]:
        """Those there are, and whether they are protected."""
        found = self.browser.ask("GET", f"/vm/{NAME}/tags").json()["tags"]
        return [(tag["name"], tag["protected"]) for tag in found]

    def test_changed(self) -> None:
        """They are those of RAPI; a protected one stays until it is set anew."""
        self.assertEqual(
            self.change("add", "a", protected="false"), (200, f"Successfully added tag 'a' to VM '{NAME}'.")
        )
        self.change("add", "b", protected="true")
        self.assertEqual(self.tags(), [("a", False), ("b", True)])
        self.assertEqual(self.browser.rapi.ask("GET", f"/2/instances/{NAME}/tags").json(), ["a", "b"])
        self.assertEqual(self.change("remove", "a"), (200, f"Successfully removed tag 'a' from VM '{NAME}'."))
        self.assertEqual(self.change("remove", "b"), (400, f"ERROR: Tag 'b' of VM '{NAME}' is protected!"))
        self.change("add", "b")
        self.change("remove", "b")
        self.assertEqual(self.tags(), [])

    def test_wrong(self) -> None:
        """What cannot be a tag, or is not there, is told."""
        for tag in ("a;b", "$(x)", "a\nb", "x" * 200, "-rf /", "ä"):
            status, text = self.change("add", tag)
            self.assertEqual(status, 400, (tag, text))
        self.assertEqual(self.change("remove", "x")[0], 400)
        self.assertEqual(self.tags(), [])
        found = self.browser.ask("POST", "/vm/nope/tags", form={"action": "add", "tag": "a"})
        self.assertEqual(found.json(), {"message": "ERROR: Could not find VM 'nope' in the cluster!"})
