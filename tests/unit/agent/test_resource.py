"""The agent's site: who is heard, and what of a request is."""

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twisted_rapi.agent.resource import make_site
from twisted_rapi.errors import StaleTerm, StepFailed
from twisted_rapi.model.seen import FullReport, Heartbeat, NodeReport
from twisted_rapi.model.steps import Outcome, Step, VerifyOs
from twisted_rapi.rpc import protocol
from twisted_rapi.rpc.authority import Role
from twisted_rapi.rpc.interface import INodeAgent

STEP = protocol.encode(VerifyOs(instance="i1", os="good"))


@implementer(INodeAgent)
class Scripted:
    """An agent that answers what it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Step | None, int]] = []
        self.answer: Outcome | Exception = Outcome(text="done")
        self.seen: Any = None
        self.watching: Deferred[None] = Deferred()

    async def perform(self, step: Step, term: int) -> Outcome:
        """See `INodeAgent.perform`."""
        self.asked.append((step, term))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def watch(self, term: int, seen: Any) -> None:
        """See `INodeAgent.watch`."""
        self.asked.append((None, term))
        self.seen = seen
        await self.watching


class Transport(StringTransport):
    """One that can be cut off."""

    def abortConnection(self) -> None:
        """Note that it is."""
        self.loseConnection()


class SiteTests(SynchronousTestCase):
    """Requests as bytes, answers as bytes."""

    def setUp(self) -> None:
        self.agent = Scripted()
        self.role: Role | None = Role.MASTER

    def send(self, path: str, body: bytes = STEP, terms: tuple[str, ...] = ("1",), way: str = "POST") -> Any:
        """The transport after such a request."""
        site = make_site(self.agent, Clock(), lambda _: self.role)
        site.timeOut = None
        self.transport: Any = Transport()
        self.channel: Any = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        lines = [f"{way} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{protocol.TERM}: {term}" for term in terms]
        self.channel.dataReceived("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return self.transport

    def test_idle(self) -> None:
        """A connection that says nothing is closed in time, by the clock that is given."""
        clock = Clock()
        site = make_site(self.agent, clock)
        transport, channel = Transport(), site.buildProtocol(None)
        assert channel is not None
        channel.makeConnection(transport)
        clock.advance(59)
        self.assertFalse(transport.disconnecting)
        clock.advance(2)
        self.assertTrue(transport.disconnecting)

    def refused(self, *args: Any, **more: Any) -> tuple[int, protocol.Refusal]:
        """Status and refusal of such a request, which was not carried out."""
        head, _, body = self.send(*args, **more).value().partition(b"\r\n\r\n")
        self.assertEqual(self.agent.asked, [])
        if b"chunked" in head:
            body = body.split(b"\r\n")[1]
        return int(head.split()[1]), msgspec.json.decode(body, type=protocol.Refusal)

    def test_perform(self) -> None:
        """A step is carried out with its term, and its outcome answered."""
        sent = self.send(protocol.PERFORM, terms=("7",)).value()
        self.assertIn(b"200 OK", sent)
        self.assertIn(b'{"text":"done"}', sent)
        self.assertEqual(self.agent.asked, [(VerifyOs(instance="i1", os="good"), 7)])

    def test_terms(self) -> None:
        """There has to be one term, and a number."""
        for terms in ((), ("1", "2"), ("1", "1"), ("-1",), ("x",), ("",), ("1" * 19,), ("1, 2",)):
            status, refusal = self.refused(protocol.PERFORM, terms=terms)
            self.assertEqual((status, refusal.error), (400, "malformed"), terms)
            self.assertIn(protocol.TERM, refusal.text)

    def test_roles(self) -> None:
        """Only masters are heard."""
        for role in (None, Role.NODE, Role.API):
            self.role = role
            for path in (protocol.PERFORM, protocol.WATCH):
                status, refusal = self.refused(path)
                self.assertEqual((status, refusal.error), (403, "forbidden"))

    def test_too_large(self) -> None:
        """A body at the limit is read; what is beyond it is neither kept nor carried out."""
        self.patch(protocol, "MOST_BYTES", len(STEP))
        self.assertIn(b"200 OK", self.send(protocol.PERFORM).value())
        self.agent.asked.clear()
        self.patch(protocol, "MOST_BYTES", len(STEP) - 1)
        status, refusal = self.refused(protocol.PERFORM)
        self.assertEqual((status, refusal.error, "too large" in refusal.text), (400, "malformed", True))
        status, refusal = self.refused(protocol.PERFORM, body=b" " * 100_000)
        self.assertIn("too large", refusal.text)

    def test_no_step(self) -> None:
        """What is no step is refused, however deep or broken it is."""
        for body in (
            b"",
            b"{",
            b"[]",
            b'{"step":"nosuch","instance":"i"}',
            b"[" * 100_000,
            b'{"step":"\xff"}',
        ):
            status, refusal = self.refused(protocol.PERFORM, body=body)
            self.assertEqual((status, refusal.error), (400, "malformed"), body[:20])

    def test_other_version(self) -> None:
        """A path of another version is answered with the version that is spoken."""
        for path in ("/rpc/2/perform", "/rpc/2/watch", "/rpc/1/other", "/", "/rpc"):
            status, refusal = self.refused(path)
            self.assertEqual((status, refusal.error), (404, "mismatch"))
            self.assertIn(f"version 1 of the node protocol, which has no {path}", refusal.text)

    def test_errors(self) -> None:
        """Errors of a step travel as what they are; a bug is logged and says nothing of itself."""
        for error, status in ((StaleTerm(1, 2), 409), (StepFailed("no", "os"), 422), (ValueError("b"), 500)):
            self.agent.answer = error
            sent = self.send(protocol.PERFORM).value()
            self.assertEqual(int(sent.split()[1]), status)
        self.assertNotIn(b'"b"', sent)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_watch_ends_with_reason(self) -> None:
        """Sightings are lines; the last one of a watch that ends is the reason."""
        self.send(protocol.WATCH)
        self.agent.seen(Heartbeat(memory_free=5))
        self.agent.watching.errback(StaleTerm(1, 2))
        lines = [line for line in self.transport.value().split(b"\r\n") if line.startswith(b"{")]
        self.assertEqual(protocol.decode_sighting(lines[0].strip()), Heartbeat(memory_free=5))
        self.assertRaises(StaleTerm, protocol.decode_sighting, lines[1].strip())

    def test_caller_gone(self) -> None:
        """A watch whose master goes away ends."""
        self.send(protocol.WATCH)
        self.agent.seen(Heartbeat())
        ended: list[Any] = []
        self.agent.watching.addBoth(ended.append)
        self.transport.loseConnection()
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(ended), 1)

    def test_slow_master(self) -> None:
        """A master that does not read is cut off when more waits than may; one that reads on is not."""
        sighting = FullReport(report=NodeReport(acceleration="x" * 300))
        self.patch(protocol, "MOST_BYTES", 3 * len(protocol.encode(sighting)))
        self.send(protocol.WATCH)
        self.agent.seen(sighting)
        for _ in range(3):
            self.transport.producer.pauseProducing()
            self.agent.seen(sighting)
            self.agent.seen(sighting)
            self.transport.producer.resumeProducing()
        self.assertFalse(self.transport.disconnecting)
        self.transport.producer.pauseProducing()
        for _ in range(4):
            self.agent.seen(sighting)
        self.assertTrue(self.transport.disconnecting)
