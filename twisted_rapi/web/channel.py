"""
Connections of the API: requests that are no HTTP are refused in the API's form, and slow ones in time.

Note [Refusals before a request].  twisted.web answers what it cannot parse with a bare status line, and lines
that are too long by closing.  `Channel` says what was wrong instead, as every other answer does, and closes.

Note [Slow clients].  A connection without a request may be idle for `IDLE` seconds.  A request has `ARRIVAL`
seconds to arrive whole, however steadily it trickles in, so that nobody holds connections for nothing.
"""

import re
from http import HTTPStatus
from typing import Any

from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.server import Request

from twisted_rapi.errors import (
    BadRequest,
    BodyTooLarge,
    HeadersTooLarge,
    RequestError,
    RequestTimeout,
    UriTooLong,
    VersionNotSupported,
)
from twisted_rapi.web.reply import Reply, refusal

MAX_BODY = 10 * 1024 * 1024  # constants.json http: newest
IDLE = 120.0
ARRIVAL = 60.0
SERVER = b"Ganeti 3.0.2"
MOST_EMPTY = 4
_LATER_MINOR = re.compile(rb" HTTP/1\.[2-9]$")  # whoever speaks it understands 1.1 (RFC 9110 §2.5)
_VERSION = re.compile(rb"[^ ]+ [^ ]+ (HTTP/[^ ]+)")
_OTHER_VERSION = re.compile(rb".* HTTP/([0-9]{1,3}\.[0-9]{1,3})")


class ApiRequest(Request):
    """A request whose body may not be larger than the limit; what is beyond it is not kept."""

    too_large = False

    def gotLength(self, length: int | None) -> None:
        """Keep nothing of a body whose length is over the limit."""
        self.too_large = length is not None and length > MAX_BODY
        super().gotLength(0 if self.too_large else length)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body, up to the limit."""
        assert self.content is not None
        if self.too_large or self.content.tell() + len(data) > MAX_BODY:
            self.too_large = True
            return
        super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Serve it.  URI, arguments and body are as received: what they mean is the API's affair."""
        assert self.content is not None
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        self.path, self.args = path.partition(b"?")[0], {}
        channel: Any = self.channel
        self.site = channel.site
        self.setHeader(b"date", datetimeToString())
        self.render(channel.site.resource)


class Channel(HTTPChannel):
    """One connection of a client."""

    _line: bytes | None = None  # the request line, while nothing has come after it
    _late: Any = None
    _refused = False
    _departing = False
    _empty = 0  # empty lines before a request line

    def dataReceived(self, data: bytes) -> None:
        """Go on with what arrived; a request that has begun and is not whole has its time limit."""
        super().dataReceived(data)
        if self._late is None and not self._handlingRequest and (self.requests or self._buffer):
            self._late = self.callLater(ARRIVAL, self._too_late)

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head; a few empty ones may come before it (RFC 9112 §2.2)."""
        if self._refused:
            return
        if not self.requests:
            if not line and self._empty < MOST_EMPTY:
                self._empty += 1
                return
            self._empty = 0
            line = _LATER_MINOR.sub(b" HTTP/1.1", line)
        self._line = None if self.requests else line
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that no limit allows."""
        self._refuse(HeadersTooLarge() if self.requests else UriTooLong())

    def rawDataReceived(self, data: bytes) -> None:
        """Take a part of the body, or of the requests after this one."""
        if not self._refused:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        """Answer at once who asks whether a body that is too large may be sent."""
        super().allHeadersReceived()
        request: Any = self.requests[-1]
        if self._departing:
            self.persistent = False
        if request.too_large and request.requestHeaders.hasHeader(b"expect"):
            self.length = 0
            self.persistent = False

    def _send100Continue(self) -> None:
        request: Any = self.requests[-1]
        if not request.too_large:
            super()._send100Continue()

    def allContentReceived(self) -> None:
        """Hand the request over; it has arrived in time."""
        self._in_time()
        super().allContentReceived()

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        """Forget the time limit."""
        self._in_time()
        super().connectionLost(reason)

    def depart(self) -> None:
        """End when what has been asked is answered; now, if nothing has."""
        self._departing = True
        if self.requests:
            self.persistent = False
        elif not self._buffer:
            self.loseConnection()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        too_large = bool(self.requests) and getattr(self.requests[-1], "too_large", False)
        self._refuse(BodyTooLarge() if too_large else RequestTimeout())
        # As for idle ones: who does not take the answer either is cut off.
        if self.abortTimeout is not None and self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self._refuse(HeadersTooLarge() if self._line is None else UriTooLong())
        elif self._line is not None:
            self._refuse(_bad_line(self._line))
        else:
            self._refuse(BadRequest("Bad header" if self.line_mode else "Bad chunked body"))

    def _refuse(self, error: RequestError) -> None:
        if self._refused:
            return
        self._refused = True
        self._in_time()
        self.setTimeout(None)
        assert self.transport is not None
        self.transport.write(_whole(refusal(error)))
        self.loseConnection()


def _bad_line(line: bytes) -> RequestError:
    """What a request line that is refused is told."""
    text = line[:200].decode("latin-1")
    other = _OTHER_VERSION.fullmatch(line)
    if other is not None and not other[1].startswith((b"0.", b"1.")):
        return VersionNotSupported(f"Invalid HTTP Version ({other[1].decode()})")
    named = _VERSION.fullmatch(line)
    if named is not None and other is None:
        return BadRequest(f"Bad request version ({named[1][:200].decode('latin-1')!r})")
    return BadRequest(f"Bad request syntax ({text!r})")


def _whole(reply: Reply) -> bytes:
    """An answer as it goes over the wire where there is no request."""
    head = [
        b"HTTP/1.1 %d %b" % (reply.status, HTTPStatus(reply.status).phrase.encode()),
        b"Server: " + SERVER,
        b"Date: " + datetimeToString(),
        b"Content-Type: " + reply.media_type,
        b"Content-Length: %d" % len(reply.body),
        b"Connection: close",
    ]
    return b"\r\n".join([*head, b"", reply.body])
