"""Tests of `twisted_rapi.web.pvc.side`, `values`, `endpoints` and `general`."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import parse
from tests.unit.web.pvc.http import PvcBrowser
from twisted_rapi.errors import BadRequest, RequestError
from twisted_rapi.plan.pvc.dialect import ALL, LATER, SEED, Dialect
from twisted_rapi.web.pvc.endpoints import Endpoint, Endpoints, PvcCall, Value
from twisted_rapi.web.pvc.replies import BadValue, answer
from twisted_rapi.web.pvc.values import Given, checked, signs
from twisted_rapi.web.pvc.values import given as read
from twisted_rapi.web.reply import Reply


def _echo(call: PvcCall) -> Reply:
    return answer(call.dialect, dict(call.values))


VALUES = (
    Value(name="state", doc="", required=True, dialects=LATER, choices=("a", "b"), text="say a or b"),
    Value(name="old-state", doc="", required=True, dialects=SEED),
    Value(name="word", doc="", dialects=SEED, choices=("old", "both")),
    Value(name="word", doc="", dialects=LATER, choices=("new", "both")),
    Value(name="wait", doc="", kind="flag"),
    Value(name="really", doc="", kind="presence"),
)
ROW = Endpoint(path="/thing/<name>", method="POST", handler=_echo, doc="", values=VALUES)


class RootTests(SynchronousTestCase):
    """What is there without any object."""

    def setUp(self) -> None:
        """The API, open to all."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)

    def test_root(self) -> None:
        """The oldest form answers 209 without a slash, later ones 200 with one, and lead there."""
        found = self.browser.ask("GET", "")
        self.assertEqual((found.status, found.body), (209, b'{"message":"PVC API version 1"}\n'))
        found = self.browser.ask("GET", "/")
        self.assertEqual((found.status, found.body), (200, b'{"message": "PVC API version 1.0"}\n'))
        for agent, status in (("pvc/0.6", 301), ("pvc-client-cli/1.0.3", 308)):
            found = self.browser.ask("GET", "", User_Agent=agent)
            self.assertEqual((found.status, found.headers["location"]), (status, "/api/v1/"))

    def test_unknown(self) -> None:
        """An unknown URI is a page in all forms, and RAPI's stay RAPI's."""
        for path in ("/nosuch", "/node/", "/auth", "x"):
            found = self.browser.ask("GET", path)
            self.assertEqual(found.status, 404)
        self.assertTrue(self.browser.ask("GET", "/nosuch").headers["content-type"].startswith("text/html"))
        self.assertEqual(self.browser.ask("GET", "x").json()["code"], 404)
        self.assertEqual(parse(self.browser.raw("GET", "/2/info")).json()["name"], "cluster.example.com")

    def test_methods(self) -> None:
        """Another method is refused with those there are; what they are can be asked, and heads be had."""
        found = self.browser.ask("PUT", "/login")
        self.assertEqual((found.status, found.headers["allow"]), (405, "OPTIONS, POST"))
        self.assertEqual(found.json(), {"message": "The method is not allowed for the requested URL."})
        self.assertEqual(self.browser.ask("DELETE", "").status, 405)
        found = self.browser.ask("OPTIONS", "/auth/login")
        self.assertEqual((found.status, found.headers["allow"]), (200, "GET, OPTIONS, POST"))
        found = self.browser.ask("HEAD", "/")
        self.assertEqual((found.status, found.body), (200, b""))

    def test_no_master(self) -> None:
        """Without a master it is told, in the API's form, when to ask again."""
        self.browser.rapi.resource.api = None
        found = self.browser.ask("GET", "/")
        self.assertEqual((found.status, found.headers["retry-after"]), (503, "1"))
        self.assertEqual(found.json(), {"message": "There is no master at present"})

    def test_too_large(self) -> None:
        """A body over the limit is refused."""
        found = parse(self.browser.raw("POST", "/api/v1/login", b"x" * (10 * 1024 * 1024 + 1)))
        self.assertEqual(found.status, 413)


class ValueTests(SynchronousTestCase):
    """From what is sent to what is meant."""

    def found(self, dialect: Dialect, query: str = "", body: bytes = b"", kind: str = "") -> object:
        """What the endpoint gets, or what a client is told."""
        try:
            return checked(ROW, read(query, kind or "application/x-www-form-urlencoded", body), dialect)
        except BadValue as e:
            return e.name, e.text

    def test_sources(self) -> None:
        """Query or form; both at once: the first wins in the oldest form, later ones refuse it."""
        for dialect, name in ((Dialect.SEED, "old-state"), (Dialect.V1_0, "state")):
            self.assertEqual(self.found(dialect, f"{name}=a"), {name: "a"})
            self.assertEqual(self.found(dialect, "", f"{name}=a".encode()), {name: "a"})
        self.assertEqual(self.found(Dialect.SEED, "old-state=x", b"old-state=y"), {"old-state": "x"})
        self.assertEqual(self.found(Dialect.V0_6, "state=a", b"state=b"), ("state", "say a or b"))
        part = b'--x\r\nContent-Disposition: form-data; name="state"\r\n\r\nb\r\n--x--\r\n'
        self.assertEqual(
            self.found(Dialect.V1_0, "", part, "multipart/form-data; boundary=x"), {"state": "b"}
        )

    def test_json(self) -> None:
        """An object in JSON counts in one form only."""
        body = b'{"state": "b", "wait": true, "x": null}'
        self.assertEqual(self.found(Dialect.V0_6, "", body, "application/json"), {"state": "b", "wait": True})
        self.assertEqual(self.found(Dialect.V1_0, "", body, "application/json"), ("state", "say a or b"))
        for bad in (b"[]", b"{", b"[" * 10_000, b'{"a": {}}', b"\xff"):
            self.assertRaises(RequestError, read, "", "application/json", bad)

    def test_flags(self) -> None:
        """Presence, any text in the oldest form, words in later ones; none is a no."""
        for query, wanted in (("wait=False", True), ("wait=1&really", True), ("wait=", False)):
            values = self.found(Dialect.SEED, f"old-state=x&{query}")
            assert isinstance(values, dict)
            self.assertEqual(values["wait"], wanted, query)
        for word, wanted in (("False", False), ("ON", True), ("0", False), ("y", True)):
            values = self.found(Dialect.V1_0, f"state=a&wait={word}&really=")
            self.assertEqual(values, {"state": "a", "wait": wanted, "really": True})
        self.assertEqual(
            self.found(Dialect.V1_0, "state=a&wait=maybe"), ("wait", "maybe is not a valid choice")
        )

    def test_bad(self) -> None:
        """What is missing or no choice is told by name."""
        self.assertEqual(self.found(Dialect.V1_0, "state=c"), ("state", "say a or b"))
        found = self.found(Dialect.SEED)
        assert isinstance(found, tuple)
        self.assertEqual(found[0], "old-state")
        many = "&".join(f"a{n}=" for n in range(1001))
        self.assertRaises(BadRequest, read, many, "", b"")
        self.assertRaises(BadRequest, read, "a=%ff", "", b"")

    def test_signs(self) -> None:
        """Names that only some forms have, a key, a token and JSON tell which it is."""
        found = Endpoints([ROW]).find("/thing/x")
        assert found is not None

        def seen(said: Given, key: bool = False) -> frozenset[Dialect]:
            return ALL.intersection(*signs(found, said, key))

        self.assertEqual(seen(Given({"state": ["a"]}, {})), LATER)
        for text, wanted in (("old", SEED), ("new", LATER), ("both", ALL), ("none", ALL)):
            self.assertEqual(seen(Given({"word": [text]}, {})), wanted)
        self.assertEqual(seen(Given({}, {"old-state": ["a"]})), SEED)
        self.assertEqual(seen(Given({"token": ["a"]}, {})), SEED)
        self.assertEqual(seen(Given({"wait": [""], "other": [""]}, {})), ALL)
        self.assertEqual(seen(Given({}, {}), key=True), LATER)
        self.assertEqual(seen(Given({}, {}, json=True)), {Dialect.V0_6})

    @settings(max_examples=60, deadline=None)
    @given(
        st.text(max_size=20),
        st.sampled_from(
            ["", "application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
        ),
        st.binary(max_size=60) | st.just(b"--x\r\nContent-Disposition: a\r\n\r\n\r\n--x--"),
    )
    def test_anything(self, query: str, kind: str, body: bytes) -> None:
        """Whatever is sent is read or refused."""
        try:
            said = read(query, kind, body)
            for dialect in Dialect:
                checked(ROW, said, dialect)
        except RequestError:
            return


class PathTests(SynchronousTestCase):
    """From a path to its endpoints."""

    def test_find(self) -> None:
        """Names are decoded, the row with fewer names wins, odd names are none."""
        other = Endpoint(path="/thing/all", method="GET", handler=_echo, doc="")
        endpoints = Endpoints([ROW, other])
        found = endpoints.find("/thing/a%20b")
        assert found is not None
        self.assertEqual(found.names, {"name": "a b"})
        found = endpoints.find("/thing/all")
        assert found is not None
        self.assertEqual(found.endpoints, (other,))
        for path in ("/thing", "/thing/", "/thing/a/b", "/thing/%2f", "/thing/%ff", "/thing/%00"):
            self.assertIsNone(endpoints.find(path), path)
