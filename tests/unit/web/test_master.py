"""The resource of who is master."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from tests.unit.web.test_groups import ObjectCase
from twisted_rapi.model.records import key_of
from twisted_rapi.state.codec import encode
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.cluster import NODES


class MasterTests(ObjectCase):
    """``/2/master``."""

    def setUp(self) -> None:
        super().setUp()
        self.browser.cluster.add_candidate(NODES[1])

    def test_shown(self) -> None:
        """Master, term, and who could follow."""
        found = self.get("/2/master")
        self.assertEqual((found["term"], found["name"], found["switch"]), (1, "node1.example.com", None))
        self.assertEqual([c["present"] for c in found["candidates"]], [True, True])
        self.assertEqual([c["since"] for c in found["candidates"]], [None, self.browser.cluster.now()])

    def test_hindered(self) -> None:
        """A candidate whose host could not have the address says so, and is not asked to follow."""
        cluster = self.browser.cluster
        there = replace(cluster.snapshot.candidates[NODES[1]], hindered="192.0.2.9 is not on this host")
        self.successResultOf(
            Deferred.fromCoroutine(cluster.store.commit(Commit(puts={key_of(there): encode(there)})))
        )
        shown = [c["hindered"] for c in self.get("/2/master")["candidates"]]
        self.assertEqual(shown, [None, "192.0.2.9 is not on this host"])
        for body in ({}, {"node": "node2.example.com"}):
            answer = self.browser.ask("PUT", "/2/master", body)
            self.assertEqual(answer.status, 400)
            self.assertIn("is not on this host", answer.json()["message"])

    def test_switched(self) -> None:
        """A switch is asked for by name or for any; the wish shows."""
        answer = self.browser.ask("PUT", "/2/master", {"node": "node2.example.com"})
        self.assertEqual(answer.json(), {"term": 1, "target": "node2.example.com"})
        self.assertEqual(self.get("/2/master")["switch"]["target"], "node2.example.com")

    def test_any(self) -> None:
        """Without a name the master chooses."""
        self.assertEqual(self.browser.ask("PUT", "/2/master").json(), {"term": 1, "target": None})

    def test_refused(self) -> None:
        """What cannot be meant or be is refused; who may not write cannot ask."""
        wrong: tuple[Any, ...] = (
            {"node": "nosuch"},
            {"node": "node1.example.com"},
            {"node": 5},
            {"x": 1},
            [],
        )
        for body in wrong:
            self.assertEqual(self.browser.ask("PUT", "/2/master", body).status, 400, body)
        self.assertIsNone(self.get("/2/master")["switch"])
        self.forbidden(("PUT", "/2/master"))
