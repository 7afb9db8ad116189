"""Tests of `twisted_rapi.cluster.joining`."""

from typing import Any

from cryptography import x509
from msgspec.structs import replace
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.joining import LONGEST, Joining
from twisted_rapi.errors import BadRequest, Forbidden, OpPrereqError
from twisted_rapi.rpc.authority import Role, fingerprint, issued, new_authority, new_key, new_request, role_of
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NOW, make_cluster


class JoiningTests(SynchronousTestCase):
    """A token is good once, for one node, whose certificate is good for nothing of anybody else's."""

    def setUp(self) -> None:
        self.cluster = make_cluster()
        self.addCleanup(self.cluster.stop)
        self.authority, key = new_authority("cluster.example.com", NOW)
        self.joining = Joining(
            store=self.cluster.store,
            snapshot=self.cluster.snapshot,
            term=2,
            now=self.cluster.now,
            in_thread=maybeDeferred,
            authority=self.authority,
            authority_key=key,
            fingerprint=fingerprint(self.authority),
        )
        self.request = new_request(new_key(), "whoever")

    def token(self, seconds: float = 60.0) -> str:
        token: str = self.successResultOf(Deferred.fromCoroutine(self.joining.new_token(seconds)))
        return token

    def begin(self, token: str, name: str = "new.example.com", **values: Any) -> Deferred[dict[str, str]]:
        given = {"address": "192.0.2.9", "port": 1811, "request": self.request, "group": None, **values}
        return Deferred.fromCoroutine(self.joining.join(token, name, **given))

    def refused(
        self, kind: type[Exception], token: str, name: str = "new.example.com", **values: Any
    ) -> None:
        """Nothing is changed, and the token is still good."""
        before = dict(self.cluster.snapshot.nodes), dict(self.cluster.snapshot.join_tokens)
        self.failureResultOf(self.begin(token, name, **values), kind)
        self.assertEqual((self.cluster.snapshot.nodes, self.cluster.snapshot.join_tokens), before)

    def test_token(self) -> None:
        """It has the authority's fingerprint; the store does not know its secret."""
        secret, _, shown = self.token().partition(".")
        self.assertEqual(shown, fingerprint(self.authority))
        self.assertNotIn(secret, repr(self.cluster.snapshot.join_tokens))

    def test_issued(self) -> None:
        """The certificate is as old as the node's record: an older one is not this node's."""
        answer = self.successResultOf(self.begin(self.token()))
        node = self.cluster.snapshot.nodes[answer["uuid"]]
        self.assertEqual(issued(answer["certificate"].encode()), int(node.ctime))

    def test_times(self) -> None:
        """A token that is good for no time, or for longer than a week, is not made."""
        for seconds in (0.0, -5.0, float("nan"), float("inf"), LONGEST + 1):
            self.failureResultOf(Deferred.fromCoroutine(self.joining.new_token(seconds)), BadRequest)
        self.token(LONGEST)

    def test_full_pool(self) -> None:
        """A node that joins is no master candidate when there are as many as the cluster wants."""
        cluster = replace(self.cluster.snapshot.cluster, candidate_pool_size=1)
        self.successResultOf(Deferred.fromCoroutine(self.cluster.store.commit(commit_of([cluster]))))
        answer = self.successResultOf(self.begin(self.token(), "new.example.com"))
        self.assertFalse(self.cluster.snapshot.nodes[answer["uuid"]].master_candidate)

    def test_join(self) -> None:
        """The node is there with its name, and its certificate is for exactly its name and address."""
        answer = self.successResultOf(self.begin(self.token(), "New.Example.com."))
        node = self.cluster.snapshot.nodes[answer["uuid"]]
        self.assertEqual(
            (node.name, node.agent_host, node.agent_port), ("new.example.com", "192.0.2.9", 1811)
        )
        self.assertTrue(node.master_candidate)
        self.assertEqual(self.cluster.snapshot.names["node"]["new.example.com"], node.uuid)
        pem = answer["certificate"].encode()
        self.assertIs(role_of(pem), Role.NODE)
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        self.assertEqual([str(n.value) for n in names.value], ["new.example.com", "192.0.2.9"])
        self.assertEqual(answer["authority"].encode(), self.authority)

    def test_once(self) -> None:
        """A used token is refused."""
        token = self.token()
        self.successResultOf(self.begin(token))
        self.refused(Forbidden, token, "other.example.com", address="192.0.2.10")

    def test_at_once(self) -> None:
        """Of two that use a token at the same time one becomes a node."""
        token = self.token()
        waiting: list[Deferred[None]] = []

        def in_thread(work: Any, *args: Any) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1].addCallback(lambda _: work(*args))

        object.__setattr__(self.joining, "in_thread", in_thread)
        first = self.begin(token, "a.example.com", address="192.0.2.21")
        second = self.begin(token, "b.example.com", address="192.0.2.22")
        for d in waiting:
            d.callback(None)
        self.successResultOf(first)
        self.failureResultOf(second, Forbidden)
        self.assertNotIn("b.example.com", self.cluster.snapshot.names["node"])

    def test_late(self) -> None:
        """A token is refused when its time is up, and forgotten when the next one is made."""
        token = self.token(60)
        self.cluster.clock.advance(60)
        self.refused(Forbidden, token)
        self.cluster.clock.advance(1)
        self.token()
        self.assertEqual(len(self.cluster.snapshot.join_tokens), 1)

    def test_unknown(self) -> None:
        """A token that was never made is refused."""
        self.token()
        for token in ("", ".", "x" * 32, f"{'x' * 32}.{fingerprint(self.authority)}"):
            self.refused(Forbidden, token)

    def test_names_of_others(self) -> None:
        """No certificate for the name of another node, the cluster, or for an address as a name."""
        token = self.token()
        for name in ("node1.example.com", "NODE1.example.com", "cluster.example.com", "192.0.2.77"):
            self.refused(BadRequest, token, name)
        self.refused(OpPrereqError, token, "no name")
        self.successResultOf(self.begin(token))

    def test_addresses_of_others(self) -> None:
        """No certificate for the address of another node, whatever the port."""
        token = self.token()
        for port in (1811, 1812):
            self.refused(BadRequest, token, address="192.0.2.1", port=port)
        self.refused(BadRequest, token, address="node1.example.com")
        self.successResultOf(self.begin(token))

    def test_loopback(self) -> None:
        """Agents on one machine, for trials, differ by their ports."""
        self.successResultOf(self.begin(self.token(), address="127.0.0.1", port=1))
        token = self.token()
        self.refused(BadRequest, token, "b.example.com", address="127.0.0.1", port=1)
        self.successResultOf(self.begin(token, "b.example.com", address="127.0.0.1", port=2))

    def test_malformed(self) -> None:
        """A request that is none, and a group that is unknown, leave the token good."""
        token = self.token()
        self.refused(BadRequest, token, request=b"nonsense")
        self.refused(BadRequest, token, group="nowhere")
        self.successResultOf(self.begin(token, group="default"))
