"""
Handing a request on to the master.

Note [Asked again].  What surely was not done is asked again until there is a master: nobody could be
connected to, or who answered said that it is no master (`NO_MASTER`).  A GET changes nothing and is asked
again also when its connection broke before an answer began, when it is silent, or when the seat was lost that
the master had: a process that hangs keeps its connections, but not the seat.  All of it has `HOLD` seconds
from when no master had it any more; after that the client is told.

Note [Silence].  What waits by nature (for a job, for events) may be silent for long.  It ends when the seat
is lost, and when the connection is dead, which the kernel finds out (`twisted_rapi.proxying`).
"""

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse

from twisted_rapi.deadline import within
from twisted_rapi.errors import BadRequest, NoMaster
from twisted_rapi.web.relay import Relay, body_of
from twisted_rapi.web.reply import Reply

HOLD = 5.0  # seconds that a request is held
AGAIN = 0.25  # seconds until a master is tried again that could not be asked
STALE = 5.0  # seconds after which what the store said last is old
SILENCE = 5.0  # seconds until an answer begins, or goes on, that nothing is waited for
LONGEST = 180.0  # seconds until any other begins: more than any request waits
GRACE = 1.0  # seconds in which what was done under a seat that was lost may still be answered
MOST_LOST = 3  # masters that are lost while they are asked the same
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


@attrs.define(eq=False)
class _Asked:
    """
    A request that a master has and has not begun to answer.

    :ivar where: which master; `again`: whether it may be asked twice.
    """

    where: str
    again: bool
    answer: Deferred[IResponse]
    raw: Deferred[IResponse]
    timer: IDelayedCall | None = None

    def lose(self) -> None:
        """Wait for this answer no longer."""
        self.timer = None
        if not self.answer.called:
            self.answer.errback(_Lost("it is master no longer"))
            self.raw.cancel()

    def end(self) -> None:
        """It has been answered, or not."""
        if self.timer is not None:
            self.timer.cancel()


class Forwarder:
    """
    Asks the master.

    :param find: where it serves other candidates, as ``host:port``; ``None`` while nobody knows.
    :param kept: a client that keeps connections, for what may be asked twice; `fresh`: one that does not.
    :param age: seconds since it was certain that the store has nothing newer.
    :param coming: whether this daemon has the seat, so that it serves any moment, or has just ended.
    """

    _log = Logger()

    def __init__(
        self,
        find: Callable[[], str | None],
        kept: IAgent,
        fresh: IAgent,
        clock: IReactorTime,
        age: Callable[[], float],
        coming: Callable[[], bool] = lambda: False,
    ) -> None:
        self._find, self._kept, self._fresh, self._clock = find, kept, fresh, clock
        self.age, self._coming = age, coming
        self._waiting: list[Deferred[None]] = []
        self._asked: dict[_Asked, None] = {}
        self._relays: dict[Relay, str] = {}
        self._complaint: tuple[str, str] | None = None

    def changed(self) -> None:
        """Look again who is master; whoever waits for another one's answer no longer does."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)
        where = self._find()
        for asked in [each for each in self._asked if each.where != where]:
            if asked.again:
                asked.lose()
            elif asked.timer is None:
                asked.timer = self._clock.callLater(GRACE, asked.lose)
        for relay in [relay for relay, there in self._relays.items() if there != where and relay.endless]:
            relay.lose()

    async def ask(
        self, request: Any, client: str, here: Callable[[], bool], waits: bool = False
    ) -> Reply | None:
        """
        The master's answer, or ``None`` once this daemon is the master: `here` says so.

        :param waits: whether the answer may take long by nature.
        :raises NoMaster: there is none, and this was not done, or nobody knows whether.
        :raises NoQuorum: nor can there be one.
        """
        end, lost = self._clock.seconds() + HOLD, 0
        while not here():
            where = self._find()
            if where is not None:
                try:
                    return self._reply(await self._answer(request, where, client, waits), where)
                except _NotSent:
                    pass
                except _Lost as e:
                    lost += 1
                    if request.method != b"GET" or lost == MOST_LOST:
                        raise NoMaster("The master was lost; it may have done what was asked") from e
                    end = self._clock.seconds() + HOLD
            if here():
                break
            await self._pause(end, where)
        return None

    async def coming(self, here: Callable[[], bool]) -> None:
        """Wait until this daemon serves, if it is about to, or certainly is not: others ask it already."""
        end = self._clock.seconds() + GRACE
        while self._coming() and not here() and (left := end - self._clock.seconds()) > 0:
            await self._change(left)

    async def _pause(self, end: float, tried: str | None) -> None:
        """Wait until something has changed, or who was tried can be tried again."""
        found = self._find()
        if found is not None and found != tried:
            return
        age = self.age()
        if age > STALE:
            raise NoQuorum("There is no master, and there can be none at present")
        left = end - self._clock.seconds()
        if left <= 0:
            raise NoMaster("There is no master at present")
        await self._change(min(left, STALE - age + 0.01 if found is None else AGAIN))

    async def _change(self, seconds: float) -> None:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        try:
            await within(waiting, seconds, self._clock, _NotSent)
        except _NotSent:
            pass
        finally:
            self._waiting = [each for each in self._waiting if each is not waiting]

    async def _answer(self, request: Any, where: str, client: str, waits: bool) -> IResponse:
        again = request.method == b"GET"
        agent = self._kept if again else self._fresh
        # A client's library takes what is after it for its own affair.
        uri = b"https://" + where.encode("ascii") + request.uri.replace(b"#", b"%23")
        try:
            raw = agent.request(request.method, uri, _headers(request, client), body_of(request.content))
        except ValueError as e:
            raise BadRequest("Bad URI") from e
        patience = SILENCE if again and not waits else LONGEST
        answer: Deferred[IResponse] = within(raw, patience, self._clock, lambda: _Lost("it is silent"))
        asked = _Asked(where, again, answer, raw)
        self._asked[asked] = None
        try:
            response = await answer
        except _NOT_SENT as e:
            self._complain(where, str(e))
            raise _NotSent from e
        except CancelledError:
            raise
        except Exception as e:
            self._complain(where, str(e))
            raise _Lost from e
        finally:
            asked.end()
            del self._asked[asked]
        if response.headers.hasHeader(NO_MASTER):
            response.deliverBody(Protocol())
            raise _NotSent
        self._complaint = None
        return response

    def _complain(self, where: str, reason: str) -> None:
        """Say it once, not with each request."""
        if self._complaint != (where, reason):
            self._complaint = (where, reason)
            self._log.warn("the master at {where} cannot be asked: {reason}", where=where, reason=reason)

    def _reply(self, response: IResponse, where: str) -> Reply:
        """An answer that is sent on as it comes."""
        headers = response.headers
        left_out = _hop(headers) | {b"content-type", b"date", b"server"}
        kept = [(n, v[-1]) for n, v in headers.getAllRawHeaders() if n.lower() not in left_out]
        if response.length is not UNKNOWN_LENGTH:
            kept.append((b"Content-Length", b"%d" % response.length))
        media_type = headers.getRawHeaders(b"content-type", [b"application/json"])[0]

        def stream(request: Any) -> None:
            relay = Relay(response, self._clock, SILENCE, lambda relay: self._relays.pop(relay, None))
            self._relays[relay] = where
            relay.begin(request)

        return Reply(b"", response.code, media_type, tuple(kept), stream=stream)


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
