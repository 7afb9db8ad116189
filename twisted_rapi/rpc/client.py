"""The master's end of the node protocol: an agent that is reached over HTTPS."""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from twisted_rapi.deadline import within
from twisted_rapi.errors import NodeUnreachable, ProtocolMismatch, RapiError
from twisted_rapi.model.seen import Sighting
from twisted_rapi.model.steps import Outcome, Step, deadline
from twisted_rapi.rpc import protocol
from twisted_rapi.rpc.interface import INodeAgent

_LOST = (
    *(ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError, OSError),
    *(ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed),
    *(SSL.Error, VerificationError),
)


def _reason(error: BaseException) -> str:
    """What was wrong with a connection, in words; those of TLS are inside of others."""
    inner = [f.getErrorMessage() for f in getattr(error, "reasons", [])]
    return "; ".join(inner) or str(error) or type(error).__name__


@implementer(INodeAgent)
class RemoteAgent:
    """
    `INodeAgent` over HTTPS.

    :param http: a treq client that knows the cluster's authority and shows the master's certificate.
    :param url: of the agent, without a path: ``https://node1.example.com:1811``.
    """

    def __init__(self, http: HTTPClient, url: str, clock: IReactorTime) -> None:
        self._http, self._url, self._clock = http, url, clock

    async def perform(self, step: Step, term: int) -> Outcome:
        """See `INodeAgent.perform`."""
        status, body = await self._in_time(self._ask(protocol.encode(step), term), deadline(step))
        return protocol.decode_answer(status, body)

    async def _ask(self, body: bytes, term: int) -> tuple[int, bytes]:
        response = await self._post(protocol.PERFORM, body, term)
        return response.code, await _content(response)

    async def _post(self, path: str, body: bytes, term: int) -> IResponse:
        headers = Headers({"Content-Type": [protocol.MEDIA_TYPE], protocol.TERM: [str(term)]})
        url = self._url + path
        response = await self._http.post(url, data=body, headers=headers, unbuffered=True)
        original: IResponse = response.original
        return original

    async def _in_time(self, work: Any, seconds: float) -> Any:
        try:
            late = NodeUnreachable(f"no answer within {seconds:g} s")
            return await within(Deferred.fromCoroutine(work), seconds, self._clock, lambda: late)
        except RapiError:
            raise
        except _LOST as e:
            raise NodeUnreachable(_reason(e)) from e

    async def watch(self, term: int, seen: Callable[[Sighting], None]) -> None:
        """See `INodeAgent.watch`."""
        response = await self._in_time(self._post(protocol.WATCH, b"", term), protocol.SILENCE)
        if response.code != 200:
            body = await self._in_time(_content(response), protocol.SILENCE)
            protocol.decode_answer(response.code, body)
            raise ProtocolMismatch(f"the agent answered a watch with {response.code}")
        lines = _Lines(seen, self._clock)
        response.deliverBody(lines)
        try:
            await lines.ended
        except CancelledError:
            lines.abandon()
            raise


def _drop(transport: Any) -> None:
    """End the connection a body comes from, if it has begun to come."""
    if transport is not None:
        transport.loseConnection()


async def _content(response: IResponse) -> bytes:
    """
    The body of an answer; cancelling ends its connection.

    :raises ProtocolMismatch: it is larger than a message can be.
    """
    body = _Body()
    response.deliverBody(body)
    return await body.ended


class _Body(Protocol):
    """A body of at most `protocol.MOST_BYTES`; `ended` fires with it."""

    def __init__(self) -> None:
        self.ended: Deferred[bytes] = Deferred(lambda _: _drop(self.transport))
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep a part."""
        self._size += len(data)
        if self._size <= protocol.MOST_BYTES:
            self._parts.append(data)
        elif not self.ended.called:
            self._parts.clear()
            self.ended.errback(ProtocolMismatch("the agent sent an answer without end"))
            _drop(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it is there, or no more will come."""
        if self.ended.called:
            return
        if reason.check(ResponseDone):
            self.ended.callback(b"".join(self._parts))
        else:
            self.ended.errback(reason)


class _Lines(Protocol):
    """A body of lines, each a sighting; ended by silence, the connection or a line that is none."""

    def __init__(self, seen: Callable[[Sighting], None], clock: IReactorTime) -> None:
        self.ended: Deferred[None] = Deferred()
        self._seen = seen
        self._rest: list[bytes] = []  # of a line whose end has not come
        self._kept = 0
        self._silence = clock.callLater(protocol.SILENCE, self._silent)

    def dataReceived(self, data: bytes) -> None:
        """Take the lines that are whole."""
        if self._silence.active():
            self._silence.reset(protocol.SILENCE)
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest, self._kept = [], 0
        self._rest.append(rest)
        self._kept += len(rest)
        for line in lines:
            self._take(line)
        if self._kept > protocol.MOST_BYTES:
            self._end(NodeUnreachable("the agent sent a line without end"))

    def _take(self, line: bytes) -> None:
        if self.ended.called:
            return
        try:
            self._seen(protocol.decode_sighting(line))
        except Exception as e:  # noqa: BLE001 -- it ends the watch, whose caller tells
            self._end(e)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The agent went away."""
        self._end(NodeUnreachable(f"the connection was lost: {reason.getErrorMessage()}"))

    def _silent(self) -> None:
        self._end(NodeUnreachable(f"nothing was heard for {protocol.SILENCE:g} s"))

    def abandon(self) -> None:
        """No longer listen."""
        if self._silence.active():
            self._silence.cancel()
        _drop(self.transport)

    def _end(self, error: Exception) -> None:
        self.abandon()
        if not self.ended.called:
            self.ended.errback(error)
