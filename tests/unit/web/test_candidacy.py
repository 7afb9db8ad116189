"""Tests of `twisted_rapi.web.candidacy` and `twisted_rapi.cluster.candidacy`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser
from twisted_rapi.cluster.joining import new_secret
from twisted_rapi.config import Config
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.rpc.authority import Role, issued, new_authority, new_key, new_request, role_of
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NOW, FakeCluster
from twisted_rapi.web.call import Route
from twisted_rapi.web.candidacy import URI, joining_routes

AUTHORITY = new_authority("cluster.example.com", NOW)
REQUEST = new_request(new_key(), "whoever").decode()
FILES = {"etcd-ca.pem": "A", "etcd-client.pem": "C", "etcd-client.key": "K", "users": "admin secret write\n"}


class CandidacyTests(SynchronousTestCase):
    """Who has a candidate's token is told all that a master has to know, once; nobody else is."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.browser = Browser(self.folder, more=self.routes)
        self.addCleanup(self.browser.cluster.stop)
        (self.folder / "ca.pem").write_bytes(AUTHORITY[0])
        (self.folder / "ca.key").write_bytes(AUTHORITY[1])
        for name, content in FILES.items():
            (self.folder / name).write_text(content)

    def config(self, kind: str = "etcd") -> Config:
        at = str(self.folder)
        store = {"kind": kind, "endpoints": ["https://127.0.0.1:2379"], "authority": f"{at}/etcd-ca.pem"}
        store |= {"certificate": f"{at}/etcd-client.pem", "key": f"{at}/etcd-client.key"}
        sections = {"rpc": {"authority": f"{at}/ca.pem"}, "authority": {"key": f"{at}/ca.key"}}
        settings = {"node": "node1.example.com", "store": store, "api": {"users": f"{at}/users"}, **sections}
        return msgspec.convert(settings, Config)

    def routes(self, cluster: FakeCluster) -> Sequence[Route]:
        return joining_routes(self.config(), cluster.store, lambda: 1, maybeDeferred)

    def commit(self, *records: Any) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.browser.cluster.store.commit(commit_of(records))))

    def token(self, candidate: bool = True, seconds: float = 60) -> str:
        record, token = new_secret(self.browser.cluster.now(), seconds, "0" * 64, candidate)
        self.commit(record)
        return token

    def body(self, **values: Any) -> dict[str, Any]:
        given = {"name": "new.example.com", "address": "192.0.2.9", "port": 1811}
        return {**given, "request": REQUEST, "master_request": REQUEST, **values}

    def ask(self, **values: Any) -> Any:
        """What a machine is told."""
        return self.browser.ask("POST", URI, self.body(**values), user=None)

    def node(self, name: str) -> NodeRecord:
        snapshot = self.browser.cluster.snapshot
        return snapshot.nodes[snapshot.names["node"][name]]

    def told(self, **values: Any) -> dict[str, Any]:
        answer = self.ask(**values)
        self.assertEqual(answer.status, 200, answer.body)
        told: dict[str, Any] = answer.json()
        return told

    def refused(self, why: str, status: int = 400, **values: Any) -> None:
        """Nothing is changed or told, and the token is still good."""
        snapshot = self.browser.cluster.snapshot
        before = dict(snapshot.nodes), dict(snapshot.join_tokens)
        answer = self.ask(**values)
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(why, answer.json()["message"])
        self.assertEqual((snapshot.nodes, snapshot.join_tokens), before)

    def test_new(self) -> None:
        """A new machine is a candidate, with certificates as new as its record; then the token is spent."""
        token = self.token()
        told = self.told(token=token)
        node = self.node("new.example.com")
        self.assertEqual((node.uuid, node.master_candidate, node.master_capable), (told["uuid"], True, True))
        roles = {"certificate": Role.NODE, "master_certificate": Role.MASTER}
        for name, role in roles.items():
            pem = told[name].encode()
            self.assertEqual((role_of(pem), issued(pem)), (role, int(node.ctime)))
        wanted = {name: content for name, content in FILES.items() if name != "etcd-ca.pem"}
        self.assertEqual(told["files"], {**wanted, "ca.key": AUTHORITY[1].decode()})
        self.assertEqual(told["etcd_authority"], "A")
        endpoints = [f"https://{self.node('node1.example.com').primary_ip}:2379"]
        self.assertEqual(told["settings"]["store"]["endpoints"], endpoints)
        self.refused("was used", 403, token=token, name="another.example.com", address="192.0.2.10")

    def test_looked(self) -> None:
        """Who looks first is told nothing secret, and the token stays good; a bad one tells nothing."""
        token = self.token()
        nodes = set(self.browser.cluster.snapshot.nodes)
        self.assertEqual(set(self.told(token=token, look=True)), {"settings", "etcd_authority"})
        self.assertEqual(set(self.browser.cluster.snapshot.nodes), nodes)
        self.refused("not known", 403, token="x", look=True)
        self.refused("already", token=token, look=True, name="node1.example.com")
        self.told(token=token)

    def test_kinds(self) -> None:
        """A token for nodes makes no candidate, and one for candidates no node."""
        self.refused("is for a node", 403, token=self.token(candidate=False))
        token = self.token()
        answer = self.browser.ask("POST", "/2/join", {**self.body(), "token": token}, user=None)
        self.assertEqual(answer.status, 403)
        self.assertIn("join --candidate", answer.json()["message"])
        self.told(token=token)

    def test_too_old(self) -> None:
        """A token ends."""
        token = self.token(seconds=5)
        self.browser.cluster.clock.advance(6)
        self.refused("too old", 403, token=token)

    def test_node(self) -> None:
        """A node with a certificate becomes a candidate and keeps that; at another address it is none."""
        before = self.node("node3.example.com")
        self.commit(replace(before, master_candidate=False))
        place: dict[str, Any] = {"name": before.name, "address": before.agent_host, "port": before.agent_port}
        token = self.token()
        self.refused("at", token=token, **{**place, "port": 7}, request=None)
        told = self.told(token=token, **place, request=None)
        self.assertNotIn("certificate", told)
        after = self.node(before.name)
        self.assertEqual((after.master_candidate, after.ctime), (True, before.ctime))
        self.refused("no node", token=self.token(), request=None)

    def test_again(self) -> None:
        """What did not end is repeated with a new token; the certificate before is good for nothing then."""
        self.told(token=self.token())
        first = self.node("new.example.com")
        self.browser.cluster.clock.advance(30)
        told = self.told(token=self.token())
        again = self.node("new.example.com")
        self.assertEqual(again.uuid, first.uuid)
        self.assertGreater(again.ctime, first.ctime + 1)
        self.assertEqual(issued(told["certificate"].encode()), int(again.ctime))

    def test_states(self) -> None:
        """A node that is offline or drained is none, nor one whose daemon runs."""
        node = self.node("node3.example.com")
        place: dict[str, Any] = {"name": node.name, "address": node.agent_host, "port": node.agent_port}
        token = self.token()
        for flag in ("offline", "drained"):
            self.commit(replace(node, **{flag: True}))
            self.refused("offline or drained", token=token, **place)
        self.commit(node, CandidateRecord(uuid=node.uuid, since=1.0, version="1"))
        self.refused("rapi runs on", token=token, **place)

    def test_files_missing(self) -> None:
        """A master without one of the files says so, and the token is still good."""
        token = self.token()
        (self.folder / "etcd-client.key").unlink()
        self.refused("etcd-client.key", 503, token=token)
        (self.folder / "etcd-client.key").write_text("K")
        self.told(token=token)

    def test_nonsense(self) -> None:
        """Each value is looked at, and the token is still good after it was refused."""
        token = self.token()
        for name, value in (
            *(("name", "a b"), ("name", "192.0.2.77"), ("name", "cluster.example.com"), ("address", "x")),
            *(("address", "192.0.2.1"), ("port", 0), ("group", "nosuch"), ("request", "x")),
            *(("master_request", "x"), ("master_request", None), ("name", "node1.example.com")),
        ):
            given: dict[str, Any] = {"token": token, name: value}
            self.refused("", **given)
        self.told(token=token)

    def test_sqlite(self) -> None:
        """A cluster in SQLite has one candidate."""

        def routes(cluster: FakeCluster) -> Sequence[Route]:
            return joining_routes(self.config("sqlite"), cluster.store, lambda: 1, maybeDeferred)

        self.browser = Browser(self.folder / "sqlite", more=routes)
        self.addCleanup(self.browser.cluster.stop)
        self.refused("SQLite", token=self.token())
