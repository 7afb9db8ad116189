"""What a daemon that is not master does with what it is asked."""

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent
from zope.interface import implementer

from tests.unit.web.http import Answer, Browser, parse
from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.past import Past, Silent
from twisted_rapi.web.call import Api
from twisted_rapi.web.proxy import GRACE, HOLD, MOST_LOST, SILENCE, STALE, Forwarder
from twisted_rapi.web.site import make_site

GET = (
    b"GET /2/info HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.66\r\nConnection: x-own\r\nX-Own: 1\r\n\r\n"
)
WAIT = GET.replace(b"info", b"jobs/1/wait")
PUT = (
    b"PUT /2/tags?tag=a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)


@implementer(IAgent)
class Asked:
    """A client whose answers the test gives."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes, Headers, Any]] = []
        self.answers: list[Deferred[Any]] = []
        self.cancelled = 0

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        """See `IAgent`."""
        assert headers is not None
        self.requests.append((method, uri, headers, bodyProducer))
        answer: Deferred[Any] = Deferred(lambda _: self._cancel())
        self.answers.append(answer)
        return answer

    def _cancel(self) -> None:
        self.cancelled += 1


class Response:
    """An answer of the master, whose body the test sends."""

    def __init__(self, code: int, length: Any, **headers: str) -> None:
        self.code, self.length = code, length
        self.headers = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        self.transport = Flow()
        self.body: Any = None

    def deliverBody(self, protocol: Any) -> None:
        """See `IResponse`."""
        self.body = protocol
        protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """All of the body."""
        self.body.dataReceived(data)
        self.body.connectionLost(Failure(ResponseDone()))


class Flow:
    """Where a body comes from; knows what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """No more for now."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """Go on."""
        self.told.append("resume")

    def loseConnection(self) -> None:
        """Nobody wants it."""
        self.told.append("lose")


class ProxyTests(SynchronousTestCase):
    """A daemon whose master is, or is not, at ``m:1``."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.clock = self.browser.cluster.clock
        self.agent = Asked()
        self.where: str | None = "m:1"
        self.age, self.seated = 0.0, False
        resource = self.resource = self.browser.resource
        self.api, resource.api = resource.api, None
        self.forwarder = resource.elsewhere = Forwarder(
            lambda: self.where, self.agent, self.agent, self.clock, lambda: self.age, lambda: self.seated
        )
        snapshot = self.browser.cluster.snapshot
        past: Any = Past(snapshot)
        nothing: Any = Silent()
        now = self.browser.cluster.now
        resource.past = Api(past, Answers(snapshot, past.nodes, now, Random(3)), nothing, now)

    def begin(self, data: bytes) -> tuple[Any, Any]:
        """Send a request; its connection and what is sent back on."""
        transport: Any = StringTransport()
        protocol: Any = self.browser.site.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(data)
        return protocol, transport

    def answer(self, transport: Any) -> Answer:
        """What was answered."""
        return parse(transport.value())

    def test_forwarded(self) -> None:
        """URI and headers but those of the connection go on; the answer comes back as it is."""
        _, transport = self.begin(GET)
        method, uri, headers, body = self.agent.requests[0]
        self.assertEqual((method, uri, body), (b"GET", b"https://m:1/2/info", None))
        self.assertFalse(headers.hasHeader("connection") or headers.hasHeader("x-own"))
        self.assertEqual(headers.getRawHeaders("x-forwarded-for"), ["192.168.1.1"])
        response = Response(404, 3, content_type="text/x", x_more="1", keep_alive="5")
        self.agent.answers[0].callback(response)
        response.send(b"abc")
        answer = self.answer(transport)
        self.assertEqual((answer.status, answer.body), (404, b"abc"))
        self.assertEqual((answer.headers["content-type"], answer.headers["x-more"]), ("text/x", "1"))
        self.assertEqual(answer.headers["content-length"], "3")
        self.assertNotIn("keep-alive", answer.headers)

    def test_body(self) -> None:
        """A body is sent as fast as the master takes it, again when the first master was not there."""
        self.begin(PUT)
        for _ in range(2):
            sent: Any = StringTransport()
            body = self.agent.requests[-1][3]
            self.assertEqual(body.length, 2)
            self.successResultOf(body.startProducing(sent))
            self.assertEqual(sent.value(), b"{}")
            self.agent.answers[-1].errback(ConnectError())
            self.forwarder.changed()
        self.assertEqual(len(self.agent.requests), 3)

    def test_pressure(self) -> None:
        """A client that is slow stops the master; one that goes away ends what was asked."""
        protocol, _ = self.begin(GET)
        response = Response(200, 10)
        self.agent.answers[0].callback(response)
        protocol.pauseProducing()
        protocol.resumeProducing()
        protocol.connectionLost(Failure(ConnectError()))
        self.assertEqual(response.transport.told[-3:], ["pause", "resume", "lose"])
        protocol, _ = self.begin(GET)
        protocol.connectionLost(Failure(ConnectError()))
        self.assertEqual((self.agent.cancelled, len(self.agent.requests)), (1, 2))
        self.clock.advance(HOLD)
        self.assertEqual(len(self.agent.requests), 2)

    def test_held(self) -> None:
        """Without a master requests wait for one, and are told to come again when none came."""
        self.where = None
        waiting = [self.begin(data)[1] for data in (GET, PUT)]
        self.clock.pump([0.2] * 5)
        self.assertEqual([t.value() for t in waiting], [b"", b""])
        self.where = "m:2"
        self.forwarder.changed()
        self.assertEqual([r[1][:12] for r in self.agent.requests], [b"https://m:2/"] * 2)
        self.where = None
        _, late = self.begin(GET)
        self.clock.pump([0.2] * 30)
        answer = self.answer(late)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertNotIn("x-no-master", answer.headers)
        self.assertEqual(answer.json()["code"], 503)

    def test_lost(self) -> None:
        """A connection that breaks: a GET is asked again, others may have been done and are not."""
        _, got = self.begin(GET)
        _, put = self.begin(PUT)
        for n in (0, 1):
            self.agent.answers[n].errback(ResponseNeverReceived([]))
        self.assertEqual(self.answer(put).status, 503)
        self.clock.advance(0.3)
        self.assertEqual([r[0] for r in self.agent.requests], [b"GET", b"PUT", b"GET"])
        self.assertEqual(got.value(), b"")

    def test_no_longer_master(self) -> None:
        """Who says it is no master has done nothing: whatever was asked is asked again."""
        self.begin(PUT)
        self.agent.answers[0].callback(Response(503, 0, x_no_master="1"))
        self.clock.advance(0.3)
        self.assertEqual(len(self.agent.requests), 2)

    def test_another(self) -> None:
        """When another one is master a GET leaves the old one, and is answered here when that is us."""
        _, got = self.begin(GET)
        self.where = "m:2"
        self.forwarder.changed()
        self.clock.advance(0.3)
        self.assertEqual((self.agent.cancelled, self.agent.requests[-1][1]), (1, b"https://m:2/2/info"))
        self.where = None
        self.agent.answers[-1].errback(ConnectError())
        self.resource.api = self.api
        self.forwarder.changed()
        self.assertEqual(self.answer(got).json()["name"], self.browser.cluster.snapshot.cluster.name)

    def test_never_twice(self) -> None:
        """What another candidate hands on is not handed on; who is none may not ask there."""
        for trusted, status in ((True, 503), (False, 403)):
            self.browser.site = make_site(self.resource, self.clock, lambda _, t=trusted: t)  # type: ignore[misc]
            _, transport = self.begin(GET)
            answer = self.answer(transport)
            self.assertEqual((answer.status, "x-no-master" in answer.headers), (status, trusted))
        self.assertEqual(self.agent.requests, [])

    def test_no_quorum(self) -> None:
        """Reads are answered from what is known and say how old it is; the rest is refused."""
        self.where, self.age = None, STALE + 2.5
        answer = self.answer(self.begin(GET)[1])
        self.assertEqual((answer.status, answer.headers["age"]), (200, "7"))
        self.assertEqual(answer.headers["warning"][:3], "110")
        nodes = self.answer(self.begin(GET.replace(b"info", b"nodes?bulk=1"))[1]).json()
        self.assertEqual({node["mfree"] for node in nodes}, {None})
        jobs = self.answer(self.begin(GET.replace(b"info", b"jobs/1"))[1])
        put = self.answer(self.begin(PUT)[1])
        self.assertEqual((jobs.status, put.status, put.headers["retry-after"]), (503, 503, "1"))

    def test_silent(self) -> None:
        """A master that does not answer is asked again, and in the end left; what waits by nature waits."""
        _, got = self.begin(GET)
        _, waiting = self.begin(WAIT)
        _, put = self.begin(PUT)
        for _ in range(MOST_LOST):
            self.assertEqual(got.value(), b"")
            self.clock.pump([SILENCE / 2] * 2 + [0.3])
        asked = [(method, uri) for method, uri, _, _ in self.agent.requests]
        self.assertEqual([m for m, uri in asked if uri.endswith(b"/info")], [b"GET"] * MOST_LOST)
        self.assertEqual((self.answer(got).status, len(asked)), (503, MOST_LOST + 2))
        self.assertEqual((waiting.value(), put.value(), self.agent.cancelled), (b"", b"", MOST_LOST))

    def test_seat_lost(self) -> None:
        """When the seat is lost what may be asked again leaves the old master at once, the rest soon."""
        _, got = self.begin(GET)
        _, waiting = self.begin(WAIT)
        _, put = self.begin(PUT)
        _, quick = self.begin(PUT)
        self.where = None
        for _ in range(2):
            self.forwarder.changed()
        self.assertEqual(self.agent.cancelled, 2)
        response = Response(200, 2)
        self.agent.answers[3].callback(response)
        response.send(b"5\n")
        self.clock.advance(GRACE)
        self.assertEqual([self.answer(t).status for t in (put, quick)], [503, 200])
        self.where = "m:2"
        self.forwarder.changed()
        uris = [uri for _, uri, _, _ in self.agent.requests[4:]]
        self.assertEqual(uris, [b"https://m:2/2/info", b"https://m:2/2/jobs/1/wait"])
        self.assertEqual(got.value() + waiting.value(), b"")

    def test_streams(self) -> None:
        """A stream ends with the seat; an answer with an end goes on, unless nothing of it comes."""
        begun = [self.begin(data)[1] for data in (GET.replace(b"info", b"events"), GET, GET)]
        responses = [Response(200, n) for n in (UNKNOWN_LENGTH, 9, 9)]
        for answer, response in zip(self.agent.answers, responses, strict=True):
            answer.callback(response)
            response.body.dataReceived(b"abc")
        slow = responses[1]
        self.clock.advance(SILENCE)
        self.clock.advance(SILENCE / 2)
        slow.body.dataReceived(b"def")
        self.assertEqual([t.disconnecting for t in begun], [False] * 3)
        self.clock.advance(SILENCE / 2)
        self.assertEqual([t.disconnecting for t in begun], [False, False, True])
        self.where = "m:2"
        self.forwarder.changed()
        self.assertEqual([t.disconnecting for t in begun], [True, False, True])
        self.assertEqual([r.transport.told[-1:] for r in responses], [["lose"], [], ["lose"]])
        self.assertNotIn(b"0\r\n\r\n", begun[0].value())
        slow.send(b"ghi")
        self.assertEqual(self.answer(begun[1]).body, b"abcdefghi")

    def test_slow_client(self) -> None:
        """A client that takes its time is no reason to leave the master."""
        protocol, transport = self.begin(GET)
        response = Response(200, 3)
        self.agent.answers[0].callback(response)
        protocol.pauseProducing()
        self.clock.pump([SILENCE] * 9)
        protocol.resumeProducing()
        self.clock.advance(SILENCE)
        response.send(b"abc")
        self.assertEqual(self.answer(transport).body, b"abc")

    def test_large_body(self) -> None:
        """A large body waits whenever the master does."""
        size = 300_000
        head = b"POST /2/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
        self.begin(head + b" " * size)
        body = self.agent.requests[0][3]
        master = Reluctant(body)
        ended = body.startProducing(master)
        while not ended.called:
            before = len(master.taken)
            body.resumeProducing()
            self.assertLessEqual(len(master.taken), before + 1)
        self.assertEqual((body.length, sum(master.taken)), (size, size))

    def test_framing(self) -> None:
        """What has two ends, or none that is known, is refused; what has one is sent on with its length."""
        head = b"PUT /2/tags?tag=a HTTP/1.1\r\nHost: x\r\n"
        smuggled = b"GET /2/secret HTTP/1.1\r\nHost: x\r\n\r\n"
        for fields in (
            b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
            b"Content-Length: +5\r\n\r\n",
            b"Content-Length: 0, 0\r\n\r\n",
            b"Content-Length : 5\r\n\r\n",
            b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            b"X: a\x00b\r\n\r\n",
        ):
            _, transport = self.begin(head + fields + smuggled)
            self.assertEqual(self.answer(transport).status, 400, fields)
        self.assertEqual(self.agent.requests, [])
        self.begin(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        _, _, headers, body = self.agent.requests[0]
        self.assertEqual((body.length, headers.hasHeader("transfer-encoding")), (2, False))

    def test_uris(self) -> None:
        """The master is asked for the very URI, and nobody else than the master is."""
        self.begin(PUT.replace(b"tag=a", b"tag=a#b;c%23?d"))
        self.assertEqual(self.agent.requests[0][1], b"https://m:1/2/tags?tag=a%23b;c%23?d")
        for uri in (b"http://evil/2/info", b"@evil/2/info", b"//evil/2/info", b":1@evil/2/info"):
            _, transport = self.begin(GET.replace(b"/2/info", uri))
            self.assertEqual(self.answer(transport).status, 404, uri)
        self.assertEqual(len(self.agent.requests), 1)

    def test_about_to_serve(self) -> None:
        """Who has the seat and does not serve yet lets other candidates wait for it, not for long."""
        self.browser.site = make_site(self.resource, self.clock, lambda _: True)
        self.seated = True
        _, late = self.begin(GET)
        self.clock.advance(GRACE)
        _, lost = self.begin(GET)
        self.seated = False
        self.forwarder.changed()
        self.seated = True
        _, served = self.begin(GET)
        self.resource.api = self.api
        self.forwarder.changed()
        self.assertEqual([self.answer(t).status for t in (late, lost, served)], [503, 503, 200])
        self.assertEqual(self.agent.requests, [])


class Reluctant:
    """Takes one piece at a time."""

    def __init__(self, producer: Any) -> None:
        self.taken: list[int] = []
        self._producer = producer

    def write(self, data: bytes) -> None:
        """Take it, and no more."""
        self.taken.append(len(data))
        self._producer.pauseProducing()
