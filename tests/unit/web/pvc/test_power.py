"""Tests of `twisted_rapi.web.pvc.power` and `jobs`, and of `twisted_rapi.plan.pvc.power`."""

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import parse
from tests.unit.web.pvc.http import FORM, PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.model.steps import StartDomain, StopDomain
from twisted_rapi.testing.cluster import NODES

NAME = CREATION["instance_name"]
PATH = f"/api/v1/vm/{NAME}/state"


class PowerTests(SynchronousTestCase):
    """A machine is started and stopped."""

    def setUp(self) -> None:
        """A machine that runs."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)
        self.browser.rapi.done("POST", "/2/instances", CREATION)

    def wish(self, values: str, agent: str = "", name: str = NAME) -> tuple[int, Any]:
        """Status and message of a change; what it asks for is done."""
        path = f"/api/v1/vm/{name}/state"
        sent = self.browser.waited("POST", path, values.encode(), FORM, 20, User_Agent=agent)
        self.cluster.clock.pump([1] * 5)
        found = parse(sent)
        return found.status, found.json()["message"]

    def state(self, agent: str = "pvc/0.6") -> str:
        """What it is shown as."""
        found: str = self.browser.ask("GET", f"/vm/{NAME}/state", User_Agent=agent).json()["state"]
        return found

    def stops(self) -> list[int]:
        """How long the guest was given each time it was stopped."""
        return [s.timeout for s in self.cluster.nodes.nodes[NODES[0]].done if isinstance(s, StopDomain)]

    def test_around(self) -> None:
        """Shut down, started, restarted, stopped; each has its words, and does what it says."""
        self.assertEqual(self.wish("state=shutdown"), (200, f"Shutting down VM '{NAME}'."))
        self.assertEqual((self.state(), self.stops()), ("stop", [90]))
        self.assertEqual(self.wish("state=start"), (200, f"Starting VM '{NAME}'."))
        self.assertEqual(self.wish("state=restart"), (200, f"Restarting VM '{NAME}'."))
        self.assertEqual((self.state(), self.stops()), ("start", [90, 90]))
        self.assertEqual(self.wish("state=stop"), (200, f"Forcibly stopping VM '{NAME}'."))
        self.assertEqual((self.state(), self.stops()), ("stop", [90, 90, 0]))
        starts = [s for s in self.cluster.nodes.nodes[NODES[0]].done if isinstance(s, StartDomain)]
        self.assertEqual(len(starts), 3)

    def test_refused(self) -> None:
        """What does not run cannot be shut down; what is not there, nothing; a word that is none is told."""
        self.assertEqual(self.wish("state=disable", "pvc/0.6")[0], 400)
        self.wish("state=stop")
        for state in ("shutdown", "restart"):
            text = f"ERROR: VM '{NAME}' is not in 'start' state!"
            self.assertEqual(self.wish(f"state={state}", "pvc/1.0"), (400, text))
        self.assertEqual(
            self.wish("state=start", name="nope"), (400, "ERROR: Could not find VM 'nope' in the cluster!")
        )
        text = "A valid state must be specified"
        self.assertEqual(self.wish("state=pause"), (400, f"state: {text}"))
        self.assertEqual(self.wish("state=pause", "pvc/1.0"), (400, {"state": text}))
        self.assertEqual(self.wish("state=disable"), (200, f"Marked VM '{NAME}' as disable."))

    def test_disabled(self) -> None:
        """One is disabled once it is down, and can be started all the same, or stopped again."""
        self.assertEqual(self.wish("state=disable", "pvc/1.0"), (200, f"Disabled VM '{NAME}'."))
        self.assertEqual((self.state(), self.stops()), ("disable", [90]))
        self.wish("state=start")
        self.assertEqual(self.state(), "start")
        self.wish("state=disable&force=yes", "pvc/1.0")
        self.assertEqual((self.state(), self.stops()[-1]), ("disable", 0))
        self.wish("state=stop")
        self.assertEqual(self.state(), "stop")
        self.assertEqual(self.wish("state=disable", "pvc/0.6"), (200, f"Marked VM '{NAME}' as disable."))

    def test_waiting(self) -> None:
        """Who waits is answered when it is done, with what went wrong, or after a while."""
        self.assertEqual(self.wish("state=stop&wait=true"), (200, f"Forcibly stopped VM '{NAME}'."))
        node = self.cluster.nodes.nodes[NODES[0]]
        node.hypervisors = {}
        node.bridges = ()
        self.cluster.nodes.changed(NODES[0])
        status, text = self.wish("state=start&wait=true")
        self.assertEqual((status, text[:7]), (400, "ERROR: "), text)
        self.cluster.nodes.hold()
        sent = self.browser.waited("POST", PATH, b"state=stop&wait=true", FORM, 10)
        self.assertEqual(sent, b"")
        self.assertEqual(self.state(), "shutdown")
        sent = self.browser.waited("POST", PATH, b"state=stop&wait=true", FORM, 400)
        self.assertEqual(parse(sent).json(), {"message": f"Forcibly stopping VM '{NAME}'."})
        self.cluster.nodes.release()

    def test_wished(self) -> None:
        """What was asked for last is shown, also while it waits for what is under way."""
        self.wish("state=stop")
        self.cluster.nodes.hold()
        self.wish("state=start")
        self.wish("state=shutdown")
        self.assertEqual(self.state(), "start")
        self.cluster.nodes.release()
        self.cluster.clock.pump([1] * 5)
        self.assertEqual(self.state(), "stop")
