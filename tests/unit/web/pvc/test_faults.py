"""Tests of `twisted_rapi.web.pvc.faults` and of how the state of the cluster shows faults."""

from pathlib import Path

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Answer
from tests.unit.web.pvc.http import PvcBrowser
from twisted_rapi.model.fault import Fault, FaultsRecord
from twisted_rapi.state.writer import commit_of

DAY = 86_400.0
FAULTS = (
    Fault(id="a1", text="Node n9 was fenced", delta=50, first=1.0, last=DAY, over=True),
    Fault(id="b2", text="VM web1 should run and does not", delta=10, first=2.0, last=2.0),
    Fault(id="c3", text="VM x", delta=10, first=3.0, last=3.0, acknowledged=4.0),
    Fault(id="d4", text="hidden", delta=10, first=3.0, last=3.0, hidden=True),
)


class FaultsTests(SynchronousTestCase):
    """What was wrong is listed, acknowledged and deleted."""

    def setUp(self) -> None:
        """A cluster with faults of each kind."""
        self.browser = PvcBrowser(Path(self.mktemp()), dialect="1.0")
        self.addCleanup(self.browser.cluster.stop)
        self.have(FAULTS)

    def have(self, faults: tuple[Fault, ...]) -> None:
        """These are remembered."""
        change = commit_of([FaultsRecord(faults=faults)])
        self.successResultOf(Deferred.fromCoroutine(self.browser.cluster.store.commit(change)))

    def ids(self, answer: Answer) -> list[str]:
        """The faults of an answer."""
        return [one["id"] for one in answer.json()]

    def test_listed(self) -> None:
        """Those that last come first, as reported just now; or by another value."""
        found = self.browser.ask("GET", "/faults")
        self.assertEqual(self.ids(found), ["c3", "b2", "a1"])
        self.assertEqual(
            found.json()[2],
            {
                "id": "a1",
                "last_reported": "1970-01-02 00:00:00",
                "first_reported": "1970-01-01 00:00:01",
                "acknowledged_at": "",
                "status": "new",
                "health_delta": 50,
                "message": "Node n9 was fenced",
            },
        )
        self.assertEqual(self.ids(self.browser.ask("GET", "/faults", {"sort_key": "status"}))[0], "c3")
        found = self.browser.ask("GET", "/faults", {"sort_key": "colour"})
        self.assertEqual((found.status, found.json()), (400, {"message": "Invalid sort key colour provided"}))
        self.assertEqual(self.ids(self.browser.ask("GET", "/faults/b2")), ["b2"])
        self.assertEqual(self.browser.ask("GET", "/faults/d4").json(), [])

    def test_changed(self) -> None:
        """One or all are acknowledged and deleted; what is not there is told."""
        found = self.browser.ask("PUT", "/faults/b2")
        self.assertEqual(found.json(), {"message": "Successfully acknowledged fault(s) b2"})
        self.assertEqual(self.browser.ask("GET", "/faults/b2").json()[0]["status"], "ack")
        for method in ("PUT", "DELETE"):
            found = self.browser.ask(method, "/faults/nope")
            self.assertEqual((found.status, found.json()), (400, {"message": "No fault with ID nope found"}))
        self.browser.ask("DELETE", "/faults/a1")
        self.assertEqual(self.ids(self.browser.ask("GET", "/faults")), ["c3", "b2"])
        found = self.browser.ask("DELETE", "/faults")
        self.assertEqual(found.json(), {"message": "Successfully deleted fault(s) b2, c3"})
        self.assertEqual(self.browser.ask("GET", "/faults").json(), [])
        self.have(FAULTS)
        self.browser.ask("PUT", "/faults")
        self.assertEqual({one["status"] for one in self.browser.ask("GET", "/faults").json()}, {"ack"})

    def test_status(self) -> None:
        """What lasts and nobody has acknowledged is taken from the cluster's health."""
        found = self.browser.ask("GET", "/status").json()
        self.assertEqual(found["cluster_health"]["health"], 90)
        [message] = found["cluster_health"]["messages"]
        self.assertEqual(message, {"id": "b2", "health_delta": 10, "text": "VM web1 should run and does not"})
        self.assertEqual([one["id"] for one in found["detail"]["faults"]], ["c3", "b2", "a1"])
        older = self.browser.ask("GET", "/status", User_Agent="pvc/0.6").json()
        self.assertEqual(older["health"], "Degraded")
        self.have((replace(FAULTS[1], acknowledged=5.0),))
        self.assertEqual(self.browser.ask("GET", "/status", User_Agent="pvc/0.6").json()["health"], "Optimal")
