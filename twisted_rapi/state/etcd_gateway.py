"""
Talking to etcd: one question and one answer over HTTPS, and the stream of a watch.

Note [Endpoints].  Every member of etcd answers for all of them, so any will do.  The one that answered last
is asked again; one that fails is left for the next in line.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec
from OpenSSL import SSL
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IConsumer, IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    PartialDownloadError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import Attribute, Interface, implementer

from twisted_rapi.deadline import within
from twisted_rapi.errors import StoreError, StoreUnreachable, Unanswered
from twisted_rapi.state.etcd_wire import Document

_NOT_SENT = (ConnectError, ConnectingCancelledError, DNSLookupError)
_LOST = (
    *(ConnectionClosed, OSError, ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed),
    *(PartialDownloadError, RequestGenerationFailed, SSL.Error, VerificationError, CancelledError),
)

_NOTHING_DONE = frozenset({3, 5, 7, 8, 9, 11, 12, 16})
"""Codes of gRPC with which etcd says that it did not do what it was asked; after others it may have."""

NOT_FOUND, OUT_OF_RANGE = 5, 11

AT_ONCE = 64  # connections kept to one member


class Refused(StoreError):
    """
    Etcd says no; nothing was done.

    :ivar code: gRPC's code of the reason.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(f"etcd: {text}")
        self.code = code


class IStream(Interface):
    """The answers of a watch, as they come."""

    endpoint = Attribute("The member it comes from.")
    ended = Attribute("A Deferred: fails with a `StoreError` when no more will come, also after `close`.")

    def close() -> None:
        """No longer listen.  May be called again."""


class IGateway(Interface):
    """
    Etcd's v3 JSON gateway.

    Every method is one try.  One that fails has the next one go to the next member.
    """

    async def call(
        method: str, body: Document, seconds: float, endpoint: str | None = None
    ) -> Mapping[str, Any]:
        """
        Ask and be answered.

        :param method: the path below ``/v3/``.
        :param endpoint: the member to ask; otherwise the one that answered last.
        :raises StoreUnreachable: it could not be sent.
        :raises Refused: etcd did not do it.
        :raises Unanswered: no answer in so many seconds, or none that says whether it was done.
        """

    async def stream(
        method: str, body: Document, seconds: float, told: Callable[[Document], None]
    ) -> IStream:
        """
        Ask, and have `told` called with each part of an endless answer, which begins within so many seconds.

        :raises StoreError: it has not.
        """

    def member() -> str:
        """The endpoint that is asked next."""


@implementer(IBodyProducer)
class _Body:
    """A body that is written at once."""

    def __init__(self, body: bytes) -> None:
        self._body, self.length = body, len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It has been written."""

    def resumeProducing(self) -> None:
        """It has been written."""

    def stopProducing(self) -> None:
        """It has been written."""


@implementer(IGateway)
class Gateway:
    """
    `IGateway` over HTTPS.

    :param endpoints: URLs without a path, at least one.
    :param http: a treq client that knows etcd's authority and shows our certificate.
    """

    def __init__(self, http: HTTPClient, endpoints: Sequence[str], clock: IReactorTime) -> None:
        self._http, self._clock = http, clock
        self._endpoints = tuple(endpoint.rstrip("/") for endpoint in endpoints)
        self._current = 0

    def member(self) -> str:
        """See `IGateway.member`."""
        return self._endpoints[self._current]

    def _avoid(self, endpoint: str) -> None:
        if self.member() == endpoint:
            self._current = (self._current + 1) % len(self._endpoints)

    async def call(
        self, method: str, body: Document, seconds: float, endpoint: str | None = None
    ) -> Mapping[str, Any]:
        """See `IGateway.call`."""
        member = endpoint or self.member()
        try:
            answer: Mapping[str, Any] = await self._in_time(self._ask(member, method, body), seconds, member)
            return answer
        except (StoreUnreachable, Unanswered):
            self._avoid(member)
            raise

    async def _ask(self, member: str, method: str, body: Document) -> Mapping[str, Any]:
        response = await self._post(member, method, body)
        return _answer(response.code, await readBody(response))

    async def _post(self, member: str, method: str, body: Document) -> IResponse:
        response = await self._http.post(
            f"{member}/v3/{method}",
            data=_Body(msgspec.json.encode(body)),
            headers=Headers({"Content-Type": ["application/json"]}),
            unbuffered=True,
        )
        original: IResponse = response.original
        return original

    async def _in_time(self, work: Any, seconds: float, member: str) -> Any:
        late = Unanswered(f"{member} did not answer within {seconds:g} s")
        try:
            return await within(Deferred.fromCoroutine(work), seconds, self._clock, lambda: late)
        except _NOT_SENT as e:
            raise StoreUnreachable(f"{member}: {_reason(e)}") from e
        except CancelledError:
            raise
        except _LOST as e:
            raise Unanswered(f"{member}: {_reason(e)}") from e

    async def stream(
        self, method: str, body: Document, seconds: float, told: Callable[[Document], None]
    ) -> "Stream":
        """See `IGateway.stream`."""
        member = self.member()
        try:
            response = await self._in_time(self._post(member, method, body), seconds, member)
            if response.code != 200:
                _answer(response.code, await self._in_time(_body(response), seconds, member))
                raise Unanswered(f"{member} answered a watch with {response.code}")
        except (StoreUnreachable, Unanswered):
            self._avoid(member)
            raise
        stream = Stream(member, told)
        response.deliverBody(stream)
        return stream

    def avoid(self, endpoint: str) -> None:
        """Ask another member next, if this one would be."""
        self._avoid(endpoint)


async def _body(response: IResponse) -> bytes:
    return await readBody(response)


def _reason(error: BaseException) -> str:
    """What was wrong with a connection, in words; those of TLS are inside of others."""
    inner = [f.getErrorMessage() for f in getattr(error, "reasons", None) or []]
    return "; ".join(inner) or str(error) or type(error).__name__


def _answer(status: int, body: bytes) -> Mapping[str, Any]:
    try:
        whole = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as e:
        raise Unanswered(f"etcd answered {status} without a JSON document") from e
    # The answer to a method that streams has its parts below "result".
    document: dict[str, Any] = whole.get("result", whole)
    if status == 200 and "error" not in document:
        return document
    raise error_of(document)


def error_of(document: Document) -> StoreError:
    """The error that a document speaks of."""
    error = document.get("error", "it does not say why")
    told: Document = error if isinstance(error, Mapping) else document
    text = str(told.get("message", error))
    code = int(told.get("grpc_code", told.get("code", 2)))
    return Refused(text, code) if code in _NOTHING_DONE else Unanswered(f"etcd: {text}")


@implementer(IStream)
class Stream(Protocol):
    """A body of one JSON document a line."""

    def __init__(self, endpoint: str, told: Callable[[Document], None]) -> None:
        self.endpoint = endpoint
        self.ended: Deferred[None] = Deferred()
        self._told = told
        self._rest: list[bytes] = []  # of a line whose end has not come

    def dataReceived(self, data: bytes) -> None:
        """Take the lines that are whole."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest = []
        self._rest.append(rest)
        for line in filter(None, lines):
            self._take(line)

    def _take(self, line: bytes) -> None:
        if self.ended.called:
            return
        try:
            document = msgspec.json.decode(line, type=dict[str, Any])
            if "result" not in document:
                raise error_of(document)
            self._told(document["result"])
        except Exception as e:  # noqa: BLE001 -- it ends the stream, whose owner tells
            self._end(e if isinstance(e, StoreError) else StoreError(f"a watch's answer: {e!r}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing will follow."""
        self._end(StoreUnreachable(f"{self.endpoint}: {reason.getErrorMessage()}"))

    def close(self) -> None:
        """See `IStream.close`."""
        self._end(StoreUnreachable("the watch was closed"))

    def _end(self, error: Exception) -> None:
        transport: Any = self.transport
        if transport is not None:
            getattr(transport, "abortConnection", transport.loseConnection)()
        if not self.ended.called:
            self.ended.errback(error)


@implementer(IPolicyForHTTPS)
class _EtcdTLS:
    """Members are known by their authority and their name; we show a certificate of our own."""

    def __init__(self, authority: bytes, certificate: bytes, key: bytes) -> None:
        found = [
            Certificate.loadPEM(part + _END) for part in authority.split(_END) if b"BEGIN CERTIFICATE" in part
        ]
        self._trusted = trustRootFromCertificates(found)
        self._private = PrivateCertificate.loadPEM(certificate.rstrip() + b"\n" + key)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """See `IPolicyForHTTPS`."""
        creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            hostname.decode("ascii").strip("[]"), trustRoot=self._trusted, clientCertificate=self._private
        )
        return creator


_END = b"-----END CERTIFICATE-----\n"


@attrs.frozen
class Keys:
    """How etcd is known and how we show ourselves to it; all PEM."""

    authority: bytes
    certificate: bytes
    key: bytes


def connect(
    reactor: Any, endpoints: Sequence[str], keys: Keys, connect_timeout: float = 2.0
) -> tuple[Gateway, Callable[[], Deferred[Any]]]:
    """
    A gateway to these members, and what ends its connections.

    :raises StoreError: the certificates or the key cannot be used.
    """
    try:
        policy = _EtcdTLS(keys.authority, keys.certificate, keys.key)
    except (SSL.Error, ValueError) as e:
        raise StoreError(f"the certificates for etcd cannot be used: {e}") from e
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = AT_ONCE
    pool.cachedConnectionTimeout = 60
    pool.retryAutomatically = False
    agent = Agent(reactor, policy, connectTimeout=connect_timeout, pool=pool)

    def end() -> Deferred[Any]:
        pool.cachedConnectionTimeout = 0  # those that are still in use are not kept
        ended: Deferred[Any] = pool.closeCachedConnections()
        return ended

    return Gateway(HTTPClient(agent), endpoints, reactor), end
