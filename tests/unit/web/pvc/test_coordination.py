"""Tests of `twisted_rapi.web.pvc.coordination`."""

from pathlib import Path

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.pvc.http import PvcBrowser
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES

FIRST, SECOND, THIRD = (f"node{n}.example.com" for n in (1, 2, 3))


class CoordinatorTests(SynchronousTestCase):
    """The mastership, as PVC hands it on."""

    def setUp(self) -> None:
        """A master and a second candidate."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)
        self.cluster.add_candidate(NODES[1])

    def ask(self, node: str, state: str, agent: str = "") -> tuple[int, object]:
        """Status and message of a change."""
        name = "state" if agent else "coordinator-state"
        found = self.browser.ask(
            "POST", f"/node/{node}/coordinator-state", form={name: state}, User_Agent=agent
        )
        return found.status, found.json()["message"]

    def wished(self) -> str | None:
        """Whom the store says that is to follow."""
        wish = self.cluster.snapshot.switch
        return None if wish is None else wish.target

    def test_primary(self) -> None:
        """Another candidate is made master by a planned switch."""
        self.assertEqual(self.ask(SECOND, "primary"), (200, f"Setting node {SECOND} in primary router mode."))
        self.assertEqual(self.wished(), NODES[1])
        self.cluster.clock.advance(1)
        self.assertEqual(self.cluster.deposed, [True])

    def test_secondary(self) -> None:
        """The master hands it on to whoever can follow."""
        text = f"Setting node {FIRST} in secondary coordinator state."
        self.assertEqual(self.ask(FIRST, "secondary", "pvc/1.0"), (200, text))
        self.assertEqual(self.wished(), NODES[1])

    def test_already(self) -> None:
        """What is so already changes nothing; older forms call it a failure."""
        for node, state in ((FIRST, "primary"), (SECOND, "secondary")):
            self.assertEqual(
                self.ask(node, state), (400, f"Node '{node}' is already in {state} router mode.")
            )
            text = f"Node {node} is already in {state} coordinator state."
            self.assertEqual(self.ask(node, state, "pvc/1.0"), (200, text))
        self.assertIsNone(self.wished())

    def test_refused(self) -> None:
        """Unknown nodes, those that are no candidates, and those that are not there."""
        self.assertEqual(
            self.ask("nope", "primary"), (400, "ERROR: No node named 'nope' is present in the cluster.")
        )
        text = f"ERROR: Cannot change router mode on non-coordinator node '{THIRD}'"
        self.assertEqual(self.ask(THIRD, "primary", "pvc/0.6"), (400, text))
        node = replace(self.cluster.snapshot.nodes[NODES[1]], offline=True)
        self.successResultOf(Deferred.fromCoroutine(self.cluster.store.commit(commit_of([node]))))
        text = f"ERROR: Node {SECOND} is not active"
        self.assertEqual(self.ask(SECOND, "primary", "pvc/1.0"), (400, text))
        self.assertIsNone(self.wished())

    def test_nobody_follows(self) -> None:
        """A candidate whose daemon is not there cannot be master, and is told so."""
        node = replace(self.cluster.snapshot.nodes[NODES[2]], master_candidate=True)
        self.successResultOf(Deferred.fromCoroutine(self.cluster.store.commit(commit_of([node]))))
        status, text = self.ask(THIRD, "primary")
        self.assertEqual(status, 400)
        self.assertIn("is not there to take over", str(text))

    def test_values(self) -> None:
        """A state is needed, under each form's name."""
        path = f"/node/{SECOND}/coordinator-state"
        found = self.browser.ask("POST", path)
        self.assertEqual(
            (found.status, found.json()),
            (400, {"message": "coordinator-state: A valid state must be specified"}),
        )
        for form in ({"state": "leader"}, {"state": ""}):
            found = self.browser.ask("POST", path, form=form)
            self.assertEqual(found.json(), {"message": {"state": "A valid state must be specified"}})
        self.assertEqual(self.browser.ask("GET", "/provisioner/status").json(), [])
