"""
Handing a request on to the master.

Note [Asked again].  What surely was not done is asked again until there is a master: nobody could be
connected to, or who answered said that it is no master (`NO_MASTER`).  A GET changes nothing and is asked
again also when its connection broke before an answer began.  All of it has `HOLD` seconds; after that the
client is told.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from twisted_rapi.deadline import within
from twisted_rapi.errors import BadRequest, NoMaster
from twisted_rapi.web.reply import PIECE, Reply

HOLD = 5.0  # seconds that a request is held
AGAIN = 0.25  # seconds until it is tried again where nothing tells that something changed
STALE = 5.0  # seconds after which what the store said last is old
LONGEST = 180.0  # seconds until an answer begins: more than any request waits
NO_MASTER = b"x-no-master"  # the header of an answer that says that nothing was done
CLIENT = b"x-forwarded-for"

_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect", b"content-length"),
    )
)
_NOT_SENT = (ConnectError, ConnectingCancelledError, DNSLookupError)


class NoQuorum(NoMaster):
    """Nobody can be master, and what is known is old."""


class _NotSent(Exception):
    """Nothing was done."""


class _Lost(Exception):
    """Nobody knows whether it was done."""


class Forwarder:
    """
    Asks the master.

    :param find: where it serves other candidates, as ``host:port``; ``None`` while nobody knows.
    :param kept: a client that keeps connections, for what may be asked twice; `fresh`: one that does not.
    :param age: seconds since it was certain that the store has nothing newer.
    """

    def __init__(
        self,
        find: Callable[[], str | None],
        kept: IAgent,
        fresh: IAgent,
        clock: IReactorTime,
        age: Callable[[], float],
    ) -> None:
        self._find, self._kept, self._fresh, self._clock = find, kept, fresh, clock
        self.age = age
        self._waiting: list[Deferred[None]] = []
        self._asked: dict[Deferred[IResponse], tuple[str, Deferred[IResponse]]] = {}

    def changed(self) -> None:
        """Look again who is master; whoever waits for another one's answer no longer does."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)
        where = self._find()
        if where is None:
            return
        for answer, (asked, raw) in list(self._asked.items()):
            if asked != where and not answer.called:
                answer.errback(_Lost())
                raw.cancel()

    async def ask(self, request: Any, client: str, here: Callable[[], bool]) -> Reply | None:
        """
        The master's answer, or ``None`` once this daemon is the master: `here` says so.

        :raises NoMaster: there is none, and this was not done, or nobody knows whether.
        :raises NoQuorum: nor can there be one.
        """
        end = self._clock.seconds() + HOLD
        while not here():
            where = self._find()
            if where is not None:
                try:
                    return _reply(await self._answer(request, where, client))
                except _NotSent:
                    pass
                except _Lost as e:
                    if request.method != b"GET":
                        raise NoMaster("The master was lost; it may have done what was asked") from e
            if here():
                break
            if self.age() > STALE:
                raise NoQuorum("There is no master, and there can be none at present")
            left = end - self._clock.seconds()
            if left <= 0:
                raise NoMaster("There is no master at present")
            await self._change(min(left, AGAIN))
        return None

    async def _change(self, seconds: float) -> None:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        try:
            await within(waiting, seconds, self._clock, _NotSent)
        except _NotSent:
            pass
        finally:
            self._waiting = [each for each in self._waiting if each is not waiting]

    async def _answer(self, request: Any, where: str, client: str) -> IResponse:
        agent = self._kept if request.method == b"GET" else self._fresh
        uri = b"https://" + where.encode("ascii") + request.uri
        try:
            raw = agent.request(request.method, uri, _headers(request, client), _body(request.content))
        except ValueError as e:
            raise BadRequest("Bad URI") from e
        answer: Deferred[IResponse] = within(raw, LONGEST, self._clock, _Lost)
        self._asked[answer] = (where, raw)
        try:
            response = await answer
        except _NOT_SENT as e:
            raise _NotSent from e
        except CancelledError:
            raise
        except Exception as e:
            raise _Lost from e
        finally:
            del self._asked[answer]
        if response.headers.hasHeader(NO_MASTER):
            response.deliverBody(Protocol())
            raise _NotSent
        return response


def _hop(headers: Headers) -> frozenset[bytes]:
    """The headers that are about one connection (RFC 9110 §7.6.1)."""
    named = b",".join(headers.getRawHeaders(b"connection", [])).split(b",")
    return _HOP | {name.strip().lower() for name in named}


def _headers(request: Any, client: str) -> Headers:
    given = request.requestHeaders
    left_out = _hop(given) | {CLIENT}
    found = Headers({n: v for n, v in given.getAllRawHeaders() if n.lower() not in left_out})
    found.setRawHeaders(CLIENT, [client.encode("ascii", "replace")])
    return found


def _reply(response: IResponse) -> Reply:
    """An answer that is sent on as it comes."""
    headers = response.headers
    left_out = _hop(headers) | {b"content-type", b"date", b"server"}
    kept = [(n, v[-1]) for n, v in headers.getAllRawHeaders() if n.lower() not in left_out]
    if response.length is not UNKNOWN_LENGTH:
        kept.append((b"Content-Length", b"%d" % response.length))
    media_type = headers.getRawHeaders(b"content-type", [b"application/json"])[0]
    return Reply(b"", response.code, media_type, tuple(kept), stream=lambda r: _Relay(r).begin(response))


def _body(content: Any) -> IBodyProducer | None:
    size = content.seek(0, 2)
    content.seek(0)
    return _Body(content, size) if size else None


@implementer(IBodyProducer)
class _Body:
    """A request's body, as fast as the master takes it; the file stays open, for it may be sent again."""

    def __init__(self, content: Any, length: int) -> None:
        self._content, self.length = content, length
        self._consumer: Any = None
        self._paused = False
        self._ended: Deferred[None] | None = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Send it."""
        self._consumer, self._ended = consumer, Deferred()
        ended = self._ended
        self.resumeProducing()
        return ended

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        while not self._paused and self._ended is not None:
            piece = self._content.read(PIECE)
            if not piece:
                ended, self._ended = self._ended, None
                ended.callback(None)
                return
            self._consumer.write(piece)

    def pauseProducing(self) -> None:
        """Wait."""
        self._paused = True

    def stopProducing(self) -> None:
        """Send no more."""
        self._ended = None


@implementer(IPushProducer)
class _Relay(Protocol):
    """Sends an answer's body on, as fast as the client takes it."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._gone = False

    def begin(self, response: IResponse) -> None:
        """Send what there is, and what comes."""
        self._request.notifyFinish().addErrback(lambda _: self.stopProducing())
        response.deliverBody(self)

    def connectionMade(self) -> None:
        """The body begins."""
        self._request.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Send a part on."""
        if not self._gone:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it was sent, or no more comes: the client sees that by the end of its connection."""
        if self._gone:
            return
        self._gone = True
        self._request.unregisterProducer()
        if reason.check(ResponseDone):
            self._request.finish()
        else:
            self._request.loseConnection()

    def pauseProducing(self) -> None:
        """Have the master wait."""
        transport: Any = self.transport
        transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Have it go on."""
        transport: Any = self.transport
        transport.resumeProducing()

    def stopProducing(self) -> None:
        """The client has gone: the master need not go on."""
        if not self._gone:
            self._gone = True
            transport: Any = self.transport
            transport.loseConnection()
