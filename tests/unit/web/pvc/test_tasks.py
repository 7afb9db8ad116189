"""Tests of `twisted_rapi.web.pvc.tasks`."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_jobs import create
from tests.unit.web.pvc.http import PvcBrowser
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.opcodes.cluster import TestDelay


class TasksTests(SynchronousTestCase):
    """Jobs are tasks."""

    def setUp(self) -> None:
        """A cluster without jobs."""
        self.browser = PvcBrowser(Path(self.mktemp()), dialect="1.0")
        self.addCleanup(self.browser.cluster.stop)

    def submit(self, *ops: Any) -> int:
        """The id of a job."""
        submitting = Deferred.fromCoroutine(self.browser.cluster.cluster.submit(ops))
        return int(self.successResultOf(submitting))

    def task(self, number: int) -> Any:
        """How far a job has come."""
        return self.browser.ask("GET", f"/tasks/{number}").json()

    def test_at_work(self) -> None:
        """One that runs is active, and a success once it has ended."""
        nothing = {"scheduled": None, "active": None, "reserved": None}
        self.assertEqual(self.browser.ask("GET", "/tasks").json(), nothing)
        nodes = self.browser.cluster.nodes
        nodes.hold()
        number = self.submit(create(), TestDelay(duration=1.0))
        found = self.browser.ask("GET", "/tasks").json()
        [entry] = found["active"]["node1.example.com"]
        self.assertEqual((entry["id"], found["reserved"]), (str(number), None))
        found = self.task(number)
        self.assertEqual((found["state"], found["current"], found["total"]), ("RUNNING", 0, 2))
        nodes.release()
        self.assertEqual((self.task(number)["state"], self.task(number)["current"]), ("SUCCESS", 2))
        self.assertEqual(self.browser.ask("GET", "/tasks").json(), nothing)

    def test_failed(self) -> None:
        """One that fails says why."""
        node = self.browser.cluster.nodes.nodes[next(iter(self.browser.cluster.nodes.nodes))]
        node.faults[steps.StartDomain] = [StepFailed("no memory", "hypervisor")]
        found = self.task(self.submit(create()))
        self.assertEqual(found["state"], "FAILURE")
        self.assertIn("no memory", found["status"])

    def test_unknown(self) -> None:
        """What is no task is told so."""
        for name in ("abcdef", "99", "0", "9" * 30, "-1", "1%201", "%D9%A1"):
            found = self.browser.ask("GET", f"/tasks/{name}")
            self.assertEqual((found.status, found.json()), (404, {"message": "Task not found."}), name)
