"""Tests of `twisted_rapi.web.join`: whatever a new node or an operator sends."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser
from tests.unit.web.test_wire import JSON_VALUES
from twisted_rapi.config import Config
from twisted_rapi.rpc.authority import Role, new_authority, new_key, new_request, role_of
from twisted_rapi.testing.cluster import NOW, FakeCluster
from twisted_rapi.web.call import Route
from twisted_rapi.web.candidacy import joining_routes

AUTHORITY = new_authority("cluster.example.com", NOW)
REQUEST = new_request(new_key(), "whoever").decode()


class JoinTests(SynchronousTestCase):
    """Tokens are for writers, joining is for who has a token, and nonsense is a 400."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        certificate, key = self.folder / "ca.pem", self.folder / "ca.key"
        certificate.write_bytes(AUTHORITY[0])
        key.write_bytes(AUTHORITY[1])
        settings = {"node": "n", "rpc": {"authority": str(certificate)}, "authority": {"key": str(key)}}
        self.config = msgspec.convert(settings, Config)
        self.term: int | None = 1
        self.browser = Browser(self.folder, more=self.routes)
        self.addCleanup(self.browser.cluster.stop)

    def routes(self, cluster: FakeCluster) -> Sequence[Route]:
        return joining_routes(self.config, cluster.store, lambda: self.term, maybeDeferred)

    def token(self) -> str:
        token: str = self.browser.ask("POST", "/2/join-tokens", {"seconds": 60}).json()["token"]
        return token

    def body(self, **values: Any) -> dict[str, Any]:
        given = {"token": self.token(), "name": "new.example.com", "address": "192.0.2.9"}
        return {**given, "request": REQUEST, **values}

    def test_join(self) -> None:
        """A new node gets a certificate for itself and is listed; its token is good no more."""
        body = self.body()
        answer = self.browser.ask("POST", "/2/join", body, user=None)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertIs(role_of(answer.json()["certificate"].encode()), Role.NODE)
        names = [node["id"] for node in self.browser.ask("GET", "/2/nodes").json()]
        self.assertIn("new.example.com", names)
        self.assertEqual(self.browser.ask("POST", "/2/join", body, user=None).status, 403)

    def test_rights(self) -> None:
        """Tokens are made for who may write."""
        for user, status in ((None, 401), ("viewer", 403), ("admin", 200)):
            self.assertEqual(self.browser.ask("POST", "/2/join-tokens", {}, user=user).status, status)

    def test_seconds(self) -> None:
        """A time that is no number or none that a token can be good for is refused."""
        times: tuple[Any, ...] = ("60", True, None, [], 0, -1, 0.5, 1e300, 10**400, -(10**400))
        for seconds in times:
            answer = self.browser.ask("POST", "/2/join-tokens", {"seconds": seconds})
            self.assertEqual(answer.status, 400, seconds)

    def test_values(self) -> None:
        """Each value is looked at, and the token is still good after it was refused."""
        good = self.body()
        bad = [("name", "a b"), ("name", ""), ("name", 1), ("address", "new"), ("address", "300.1.1.1")]
        bad += [("port", 0), ("port", 65536), ("port", True), ("port", "1811"), ("port", 10**400)]
        bad += [
            ("group", 1),
            ("group", "nosuch"),
            ("request", "x"),
            ("request", "\x00"),
            ("request", "x" * 30_000),
        ]
        bad += [
            ("request", "x" * 30_000),
            ("name", "node1.example.com"),
            ("address", "192.0.2.1"),
            ("name", "cluster.example.com"),
        ]
        for key, value in bad:
            answer = self.browser.ask("POST", "/2/join", {**good, key: value}, user=None)
            self.assertEqual(answer.status, 400, (key, value))
        for key in ("token", "name", "address", "request"):
            missing = {k: v for k, v in good.items() if k != key}
            self.assertEqual(self.browser.ask("POST", "/2/join", missing, user=None).status, 400, key)
        self.assertEqual(self.browser.ask("POST", "/2/join", good, user=None).status, 200)

    def test_no_authority(self) -> None:
        """A master without its authority's key, or a process that is not master, says that it cannot."""
        body = self.body()
        self.term = None
        self.assertEqual(self.browser.ask("POST", "/2/join", body).status, 503)
        self.term = 1
        (self.folder / "ca.key").unlink()
        answer = self.browser.ask("POST", "/2/join", body)
        self.assertEqual(answer.status, 503)
        self.assertIn("authority", answer.json()["message"])

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(["/2/join", "/2/join-tokens"]),
        JSON_VALUES
        | st.fixed_dictionaries(
            {},
            optional={
                **dict.fromkeys(("name", "group", "request", "seconds", "port"), JSON_VALUES),
                "token": st.text(max_size=9) | JSON_VALUES,
                "address": st.ip_addresses().map(str) | st.just("fe80::1%eth0") | JSON_VALUES,
            },
        ),
    )
    def test_generated(self, path: str, body: Any) -> None:
        """Whatever is sent, nobody joins without a token, and it is never a 500."""
        before = dict(self.browser.cluster.snapshot.nodes)
        answer = self.browser.ask("POST", path, body)
        self.assertIn(answer.status, (200, 400, 403), answer.body)
        self.assertEqual(self.browser.cluster.snapshot.nodes, before)

    def test_odd_address(self) -> None:
        """An address with a zone, which no certificate can have, is refused."""
        answer = self.browser.ask("POST", "/2/join", self.body(address="fe80::1%eth0"), user=None)
        self.assertEqual(answer.status, 400, answer.body)
