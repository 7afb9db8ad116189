"""What goes wrong on the wire is answered in RAPI's form, in time, and never as a 500."""

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Answer, Browser, parse
from twisted_rapi.errors import BadRequest
from twisted_rapi.web.channel import ARRIVAL, IDLE, MAX_BODY
from twisted_rapi.web.reply import parse as parse_json

AUTH = b"Authorization: Basic YWRtaW46c2VjcmV0\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /2/instances HTTP/1.1\r\nHost: x\r\n" + AUTH + JSON
GET = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


class Connection:
    """A connection to the API, of a client that sends bytes as it likes."""

    def __init__(self, browser: Browser) -> None:
        self.transport: Any = StringTransport()
        self.protocol: Any = browser.site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, *parts: bytes) -> bytes:
        """What is answered after these arrived, each by itself."""
        for part in parts:
            self.protocol.dataReceived(part)
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent

    @property
    def closing(self) -> bool:
        """Whether the server closes it."""
        return bool(self.transport.disconnecting or self.transport.disconnected)


class WireCase(SynchronousTestCase):
    """Has an API and a connection to it."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)
        self.connection = Connection(self.browser)

    def refused(self, status: int, message: str, sent: bytes) -> None:
        """It is this error, whole and in the API's form, and nothing comes after it."""
        answer = parse(sent)
        check_form(self, answer)
        self.assertEqual((answer.status, answer.json()["message"]), (status, message))
        self.assertEqual(int(answer.headers["content-length"]), len(answer.body))


def check_form(case: SynchronousTestCase, answer: Answer) -> None:
    """An error has the three keys, the media type and, with 401, the realm."""
    found = answer.json()
    case.assertEqual((sorted(found), found["code"]), (["code", "explain", "message"], answer.status))
    case.assertEqual(answer.headers["content-type"], "application/json")
    case.assertEqual(answer.headers["server"], "Ganeti 3.0.2")
    realm = answer.headers.get("www-authenticate")
    case.assertEqual(realm, 'Basic realm="Ganeti Remote API"' if answer.status == 401 else None)


class RefusedTests(WireCase):
    """Requests that are none."""

    def test_request_lines(self) -> None:
        """A request line that cannot be read is quoted, and the connection ends."""
        for line, status, message in (
            (b"GET", 400, "Bad request syntax (&#x27;GET&#x27;)"),
            (b"GET /ver sion HTTP/1.1", 400, "Bad request syntax (&#x27;GET /ver sion HTTP/1.1&#x27;)"),
            (b"G(T / HTTP/1.1", 400, "Bad request syntax (&#x27;G(T / HTTP/1.1&#x27;)"),
            (b"GET / HTTP/x.y", 400, "Bad request version (&#x27;HTTP/x.y&#x27;)"),
            (b"GET / HTTP/2.0", 505, "Invalid HTTP Version (2.0)"),
            (b"PRI * HTTP/2.0", 505, "Invalid HTTP Version (2.0)"),
            (b"\xff\x00<b>", 400, "Bad request syntax (&#x27;\xff\\x00&lt;b&gt;&#x27;)"),
        ):
            connection = Connection(self.browser)
            self.refused(status, message, connection.send(line + b"\r\nHost: x\r\n\r\n"))
            self.assertTrue(connection.closing)

    def test_heads(self) -> None:
        """Bad headers, doubled lengths, odd encodings and bad chunks end the connection."""
        for rest, message in (
            (b"NoColon\r\n\r\n", "Bad header"),
            (b"A B: c\r\n\r\n", "Bad header"),
            (b"X: a\x00b\r\n\r\n", "Bad header"),
            (b"Content-Length: -1\r\n\r\n", "Bad header"),
            (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "Bad header"),
            (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "Bad header"),
            (b"Transfer-Encoding: gzip\r\n\r\n", "Bad header"),
            (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "Bad chunked body"),
            (b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc", "Bad chunked body"),
        ):
            connection = Connection(self.browser)
            self.refused(400, message, connection.send(POST + rest))
            self.assertTrue(connection.closing)
            self.assertEqual(connection.send(GET), b"")

    def test_sizes(self) -> None:
        """Lines and heads that are too long are refused, by what they are."""
        line = b"GET /" + b"x" * 17_000
        for sent, status, message in (
            (line, 414, "Request-URI Too Long"),
            (line + b" HTTP/1.1\r\n", 414, "Request-URI Too Long"),
            (GET[:-2] + b"X: " + b"x" * 17_000, 431, "Request Header Fields Too Large"),
            (GET[:-2] + b"X: xxxxxxxx\r\n" * 2_000, 431, "Request Header Fields Too Large"),
        ):
            self.refused(status, message, Connection(self.browser).send(sent))
        usual = b"GET /version?" + b"x" * 8000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        self.assertEqual(parse(self.connection.send(usual)).status, 200)

    def test_host(self) -> None:
        """Version 1.1 names its host, version 1.0 need not; also where an answer is kept."""
        for _ in range(2):
            self.refused(400, "Missing Host header", self.connection.send(b"GET /version HTTP/1.1\r\n\r\n"))
            old = Connection(self.browser)
            self.assertEqual(parse(old.send(b"GET /version HTTP/1.0\r\n\r\n")).body, b"2\n")
            self.assertTrue(old.closing)
            self.assertEqual(parse(self.connection.send(GET)).body, b"2\n")

    def test_methods(self) -> None:
        """Other methods are not implemented; HEAD is told so without a body; none has an Allow header."""
        for method in (b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"BREW"):
            sent = self.connection.send(GET.replace(b"GET", method))
            self.refused(501, f"Method {method.decode()} is unsupported for path /version", sent)
            self.assertNotIn(b"Allow", sent)
        head, _, body = self.connection.send(GET.replace(b"GET", b"HEAD")).partition(b"\r\n\r\n")
        self.assertIn(b"501", head)
        self.assertEqual(body, b"")
        self.assertEqual(parse(self.connection.send(GET.replace(b"GET", b"get"))).status, 200)

    def test_credentials(self) -> None:
        """A header of bytes that are no text is no credentials."""
        for header in (b"Basic \xff\xfe", b"\xff", b"Basic /////w==", b"Basic YWRtaW4="):
            sent = self.connection.send(GET[:-2] + b"Authorization: " + header + b"\r\n\r\n")
            self.refused(401, "Unauthorized", sent)


class ConnectionTests(WireCase):
    """Connections that are kept, and how long."""

    def test_kept(self) -> None:
        """A connection serves one request after the other until the client wants it closed."""
        for _ in range(3):
            self.assertEqual(parse(self.connection.send(GET)).body, b"2\n")
        self.assertFalse(self.connection.closing)
        sent = self.connection.send(GET.replace(b"Host", b"Connection: close\r\nHost"))
        self.assertEqual(parse(sent).headers["connection"], "close")
        self.assertTrue(self.connection.closing)

    def test_pipelined(self) -> None:
        """Requests sent at once are answered in order, a bad one among them last."""
        bad = b"PUT /2/instances HTTP/1.1\r\nHost: x\r\n\r\n"
        sent = self.connection.send(GET + bad + GET + b"nonsense\r\n\r\n" + GET)
        statuses = [int(status) for status in re.findall(rb"HTTP/1.1 ([0-9]{3})", sent)]
        self.assertEqual(statuses, [200, 501, 200, 400])
        self.assertTrue(self.connection.closing)

    def test_byte_by_byte(self) -> None:
        """How a request is cut into pieces does not matter; chunks and names in UTF-8 are understood."""
        body = b'4\r\n["\xc3\xa9\r\n2;x=y\r\n"]\r\n0\r\n\r\n'
        whole = POST + b"Transfer-Encoding: chunked\r\n\r\n" + body
        sent = self.connection.send(*(whole[n : n + 1] for n in range(len(whole))))
        self.refused(400, "Body contents: Type is &#x27;list&#x27;, but &#x27;dict&#x27; is expected", sent)

    def test_continue(self) -> None:
        """Who asks first is told to send, or at once that the body is too large."""
        asks = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        self.assertEqual(self.connection.send(asks % 2), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(parse(self.connection.send(b"[]")).status, 400)
        self.refused(413, "Request Entity Too Large", self.connection.send(asks % (MAX_BODY + 1)))
        self.assertTrue(self.connection.closing)

    def test_slow(self) -> None:
        """A request that trickles in is refused in the end; one that is answered has no limit any more."""
        clock = self.browser.cluster.clock
        for start in (POST[:-3], b"GE", POST + b"Content-Length: 9\r\n\r\n[1,"):
            connection = Connection(self.browser)
            self.assertEqual(connection.send(start), b"")
            clock.advance(ARRIVAL - 1)
            self.assertEqual(connection.send(b"1"), b"")
            clock.advance(2)
            self.refused(408, "Request Timeout", connection.send())
            self.assertTrue(connection.closing)
        slow = Connection(self.browser)
        slow.send(GET[:10])
        clock.advance(ARRIVAL - 1)
        self.assertEqual(parse(slow.send(GET[10:])).status, 200)
        clock.advance(2)
        self.assertFalse(slow.closing)
        clock.advance(IDLE)
        self.assertTrue(slow.closing)

    def test_gone(self) -> None:
        """A client that goes away in the middle leaves no timer that would answer it."""
        self.connection.send(POST)
        self.connection.protocol.connectionLost(Failure(ConnectionLost()))
        self.browser.cluster.clock.advance(ARRIVAL + 1)
        self.assertEqual(self.connection.send(), b"")


BAD_JSON = st.sampled_from(
    [
        *(
            b"NaN",
            b"-Infinity",
            b'{"a": NaN}',
            b"1e999",
            b'{"a": 1e400}',
            b"0x10",
            b"01",
            b".5",
            b"1.",
            b"+1",
        ),
        *(b'"\\ud800"', b'"\\udfff\\ud800"', b'{"\\ud800": 1}', b'"\\x"', b'"\x01"', b'"', b"\\"),
        *(
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\x00}\x00",
            b"\x00\x00\x00{",
            b"{\x00}\x00",
            b"\x80",
            b'"\xed\xa0\x80"',
        ),
        *(b'{"a": 1, "a": 2}', b'[{"a": {"b": 1, "b": 1}}]', b'{"a": 1, "\\u0061": 2}', b'{"": 1, "": 1}'),
        *(
            b"{} {}",
            b"[1,]",
            b"{,}",
            b"{1: 2}",
            b"// x\n{}",
            b"'a'",
            b"[" * 5000,
            b'{"a":' * 5000,
            b" ",
            b"\xa0",
        ),
        *(b"9" * 5000, b"-" + b"9" * 5000, b"1" + b"0" * 309 + b".5"),
    ]
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=4)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


class JsonTests(SynchronousTestCase):
    """What is JSON and what is none."""

    @given(JSON_VALUES, st.booleans(), st.sampled_from([None, 0, 2]))
    @example({'":': ':"', "\\": {"\\\\": '\\"'}}, True, None)
    def test_good(self, value: Any, ascii_only: bool, indent: int | None) -> None:
        """Whatever Python writes is read back, however it is written."""
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
        self.assertEqual(parse_json(text.encode()), value)

    @given(BAD_JSON)
    def test_bad(self, body: bytes) -> None:
        """What nobody could hold or tell apart is refused."""
        with self.assertRaises(BadRequest) as caught:
            parse_json(body)
        self.assertIn("Unable to parse JSON data", str(caught.exception))

    @given(st.lists(st.tuples(KEYS, JSON_VALUES), min_size=1, max_size=5))
    def test_doubled(self, pairs: list[tuple[str, Any]]) -> None:
        """An object is refused if and only if a key is given twice."""
        text = ",".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in pairs)
        body = f"[{{{text}}}]".encode()
        if len(dict(pairs)) == len(pairs):
            self.assertEqual(parse_json(body), [dict(pairs)])
        else:
            with self.assertRaises(BadRequest):
                parse_json(body)

    def test_deep(self) -> None:
        """As deep as a value may be nested, it is handled."""
        self.assertEqual(len(parse_json(b"[" * 99 + b"]" * 99)), 1)


TARGETS = st.sampled_from(
    [
        *(b"/version", b"/2/instances", b"/2/instances/a%2Fb", b"/2/instances/%2e%2e", b"/2/instances/a%00"),
        *(
            b"/2/jobs/" + b"9" * 30,
            b"/2/jobs/" + b"9" * 60,
            b"/2/jobs/\xb2",
            b"*",
            b"http://x/version",
            b"//version",
        ),
        *(
            b"/version#x",
            b"/version?",
            b"/2/nodes?bulk=1;bulk=x",
            b"/2/tags?tag=%ff%fe&tag=%00&tag=%0d%0a",
            b"x",
        ),
        *(
            b"/2/instances/x/tags?tag=a&tag=&tag=a",
            b"/2/nodes?bulk=" + b"9" * 5000,
            b"/2/nodes?bulk=%EF%BC%91",
        ),
        *(
            b"/2/jobs/1/wait?x=%zz",
            b"/2/info?" + b"&" * 3000,
            b"/2/info?" + b"a=1&" * 3000,
            b"/2/instances/..%0d%0a",
        ),
        *(
            b"/2/instances/x/reboot?type=%00",
            b"/2/tags?tag=%f0%9f%92%a9",
            b"/instances/%3Cb%3E?bulk",
            b"/2/info?lock=1",
        ),
    ]
)
METHODS_SENT = st.sampled_from([b"GET", b"PUT", b"POST", b"DELETE", b"HEAD", b"OPTIONS", b"put", b"X"])
HEADERS_SENT = st.lists(
    st.sampled_from(
        [
            *(
                AUTH,
                JSON,
                b"Content-Type: text/plain\r\n",
                b"Content-Type: application/json; charset=utf-16\r\n",
            ),
            *(b"Authorization: Basic \xff\r\n", b"Authorization: Digest x\r\n", b"Connection: close\r\n"),
            *(
                b"X: \x00\r\n",
                b"Cookie: a=b; =;\xff\r\n",
                b"Accept-Encoding: gzip\r\n",
                b"Content-Encoding: gzip\r\n",
            ),
            *(
                b"Expect: 100-continue\r\n",
                b"Upgrade: websocket\r\n",
                b" folded\r\n",
                b"Range: bytes=0-1\r\n",
            ),
            *(
                b"If-Match: *\r\n",
                b"X-HTTP-Method-Override: DELETE\r\n",
                b"Host: y\r\n",
                b"Content-Length: 7\r\n",
            ),
        ]
    ),
    max_size=4,
).map(b"".join)
BODIES = BAD_JSON | st.binary(max_size=20) | JSON_VALUES.map(lambda v: json.dumps(v).encode())


class GeneratedWireTests(WireCase):
    """Whatever is sent, the answer is one of the API's."""

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        METHODS_SENT,
        TARGETS,
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
        HEADERS_SENT,
        BODIES,
        st.booleans(),
    )
    def test_never_500(
        self, method: bytes, target: bytes, version: bytes, headers: bytes, body: bytes, chunked: bool
    ) -> None:
        """It is a success or a refusal in the API's form, and a refused request leaves no job."""
        length = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
        content = (
            (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n") if chunked else body
        )
        head = method + b" " + target + b" " + version + b"\r\nHost: x\r\n" + headers + length + b"\r\n"
        before = len(list(self.browser.cluster.table))
        connection = Connection(self.browser)
        sent = connection.send(head, content).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not sent:
            # Wrong credentials are answered later.
            self.browser.cluster.clock.advance(10)
            sent = connection.send()
        status = int(sent.split()[1])
        self.assertIn(status, (200, 400, 401, 403, 404, 413, 414, 415, 431, 501, 503), sent)
        if status != 200:
            self.assertEqual(len(list(self.browser.cluster.table)), before)
            first = parse(sent[: _end(sent)])
            if method != b"HEAD" and "json" in first.headers["content-type"]:
                check_form(self, first)


def _end(sent: bytes) -> int:
    """Where the first of several answers ends."""
    head = sent.index(b"\r\n\r\n") + 4
    length = int(sent[:head].lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + length
