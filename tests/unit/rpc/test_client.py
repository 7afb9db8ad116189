"""The master's client with answers that are held: deadlines, silence, and what is lost."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived

from twisted_rapi.errors import NodeUnreachable, ProtocolMismatch, StaleTerm, StepFailed
from twisted_rapi.model.seen import FullReport, Heartbeat, NodeReport, Sighting
from twisted_rapi.model.steps import Outcome, StopDomain, deadline
from twisted_rapi.rpc import protocol
from twisted_rapi.rpc.client import RemoteAgent

STEP = StopDomain(instance="i1", hypervisor="fake", instance_uuid="u1", timeout=30)


class Answer:
    """A response whose body the test sends."""

    def __init__(self, code: int = 200) -> None:
        self.code = code
        self.original = self
        self.transport: Any = StringTransport()
        self.body: Any = None

    def deliverBody(self, body: Any) -> None:
        """Send the body there."""
        self.body = body
        body.makeConnection(self.transport)

    def end(self, reason: Exception | None = None) -> None:
        """No more will come."""
        self.body.connectionLost(Failure(reason or ResponseDone()))


class Http:
    """Requests that are held."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes, Deferred[Any]]] = []
        self.cancelled = 0

    def post(self, url: str, data: bytes, **more: Any) -> Deferred[Any]:
        """Hold it."""

        def cancel(d: Deferred[Any]) -> None:
            self.cancelled += 1
            d.errback(ResponseNeverReceived([Failure(CancelledError())]))

        d: Deferred[Any] = Deferred(cancel)
        self.requests.append((url, data, d))
        return d


class ClientTests(SynchronousTestCase):
    """One agent."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.http = Http()
        http: Any = self.http
        self.agent = RemoteAgent(http, "https://node1:1811", self.clock)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def perform(self) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(self.agent.perform(STEP, 1))

    def watch(self) -> tuple[list[Sighting], Deferred[None]]:
        seen: list[Sighting] = []
        return seen, Deferred.fromCoroutine(self.agent.watch(1, seen.append))

    def answer(self, code: int = 200) -> Answer:
        answer = Answer(code)
        self.http.requests[-1][2].callback(answer)
        return answer

    def test_performed(self) -> None:
        """The outcome is what the body says, in however many parts it comes."""
        d = self.perform()
        answer = self.answer()
        for part in (b'{"te', b'xt":"do', b'ne"}'):
            answer.body.dataReceived(part)
        self.assertNoResult(d)
        answer.end()
        self.assertEqual(self.successResultOf(d).text, "done")
        self.assertEqual(
            self.http.requests[0][:2], ("https://node1:1811/rpc/1/perform", protocol.encode(STEP))
        )

    def test_lost(self) -> None:
        """However a connection fails, before or while it is there, the node is unreachable, with a reason."""
        for error in (
            ConnectError(),
            ConnectingCancelledError(None),
            ConnectionLost(),
            ResponseNeverReceived([Failure(ConnectionLost())]),
            ResponseFailed([Failure(ConnectionLost())]),
            OSError("no route"),
        ):
            for ask in (self.perform, lambda: self.watch()[1]):
                d: Deferred[Any] = ask()
                self.http.requests[-1][2].errback(error)
                self.assertTrue(str(self.failureResultOf(d, NodeUnreachable).value))

    def test_lost_in_body(self) -> None:
        """A connection that is lost before an answer is whole gives no outcome."""
        d = self.perform()
        answer = self.answer()
        answer.body.dataReceived(b"{}")
        answer.end(ResponseFailed([Failure(ConnectionLost())]))
        self.failureResultOf(d, NodeUnreachable)

    def test_deadline(self) -> None:
        """A step that takes longer than it may is given up, and what was asked for is cancelled."""
        d = self.perform()
        self.clock.advance(deadline(STEP) - 1)
        self.assertNoResult(d)
        self.clock.advance(1)
        self.assertIn("no answer within 90 s", str(self.failureResultOf(d, NodeUnreachable).value))
        self.assertEqual(self.http.cancelled, 1)

    def test_deadline_in_body(self) -> None:
        """The deadline holds for the body too; the connection is ended."""
        d = self.perform()
        answer = self.answer()
        self.clock.advance(deadline(STEP))
        self.failureResultOf(d, NodeUnreachable)
        self.assertTrue(answer.transport.disconnecting)
        answer.end(ConnectionLost())

    def test_cancelled(self) -> None:
        """A caller that goes away is told so at once, however the connection fails of it."""
        for d in (self.perform(), self.watch()[1]):
            d.cancel()
            self.failureResultOf(d, CancelledError)
        self.assertEqual(self.http.cancelled, 2)

    def test_late_failure(self) -> None:
        """What fails after the deadline, or does not heed being cancelled, changes nothing."""
        d = self.perform()
        kept: Deferred[Any] = self.http.requests[0][2]
        kept._canceller = lambda _: None  # it does not end when it is told to
        self.clock.advance(deadline(STEP))
        self.failureResultOf(d, NodeUnreachable)

    def test_bug(self) -> None:
        """What is no failure of a connection is not taken for one."""
        d = self.perform()
        self.http.requests[0][2].errback(ValueError("a bug"))
        self.failureResultOf(d, ValueError)

    def test_endless_answer(self) -> None:
        """An answer without end is not kept, and its connection ended."""
        self.patch(protocol, "MOST_BYTES", 100)
        d = self.perform()
        answer = self.answer()
        for _ in range(3):
            answer.body.dataReceived(b"x" * 50)
        self.failureResultOf(d, ProtocolMismatch)
        self.assertTrue(answer.transport.disconnecting)
        answer.body.dataReceived(b"x" * 50)
        answer.end()

    def test_refused_watch(self) -> None:
        """A watch that is refused ends with the reason."""
        for refusal, kind in (
            (protocol.refusal_of(StaleTerm(1, 2)), StaleTerm),
            (protocol.refusal_of(StepFailed("starting", "busy")), StepFailed),
        ):
            _, d = self.watch()
            answer = self.answer(protocol.STATUS[refusal.error])
            answer.body.dataReceived(protocol.encode(refusal))
            answer.end()
            self.failureResultOf(d, kind)

    def test_watched(self) -> None:
        """Lines are sightings, wherever they are cut; the last line may say why the watch ends."""
        seen, d = self.watch()
        answer = self.answer()
        report = FullReport(report=NodeReport(acceleration="x" * 50))
        lines = b"".join(protocol.encode(s) + b"\n" for s in (report, Heartbeat(memory_free=1), report))
        for n in range(0, len(lines), 7):
            answer.body.dataReceived(lines[n : n + 7])
        self.assertEqual(seen, [report, Heartbeat(memory_free=1), report])
        answer.body.dataReceived(protocol.encode(protocol.refusal_of(StaleTerm(1, 2))) + b"\n")
        self.failureResultOf(d, StaleTerm)

    def test_silence(self) -> None:
        """A watch lives as long as something is heard every three seconds."""
        _, d = self.watch()
        answer = self.answer()
        for _ in range(3):
            self.clock.advance(2.9)
            answer.body.dataReceived(protocol.encode(Heartbeat()) + b"\n")
        self.clock.advance(2.9)
        self.assertNoResult(d)
        self.clock.advance(0.1)
        self.assertIn("nothing was heard", str(self.failureResultOf(d, NodeUnreachable).value))
        self.assertTrue(answer.transport.disconnecting)

    def test_no_sighting(self) -> None:
        """A line that is none, or has no end, ends the watch; what comes after it is not told."""
        for data, kind in (
            (b'{"type":"odd"}\n{"type":"alive"}\n', ProtocolMismatch),
            (b"x" * 101, NodeUnreachable),
        ):
            self.patch(protocol, "MOST_BYTES", 100)
            seen, d = self.watch()
            answer = self.answer()
            answer.body.dataReceived(data)
            self.failureResultOf(d, kind)
            self.assertEqual(seen, [])
            answer.end(ConnectionLost())

    def test_bug_of_who_sees(self) -> None:
        """A bug of who is told ends the watch with it."""

        def cannot(sighting: Sighting) -> None:
            raise ValueError("a bug")

        d = Deferred.fromCoroutine(self.agent.watch(1, cannot))
        self.answer().body.dataReceived(protocol.encode(Heartbeat()) + b"\n")
        self.failureResultOf(d, ValueError)
