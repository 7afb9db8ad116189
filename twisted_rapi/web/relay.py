"""Bodies on their way through a candidate: of a request to the master, of its answer to the client."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IResponse
from zope.interface import implementer

from twisted_rapi.web.reply import PIECE


def body_of(content: Any) -> IBodyProducer | None:
    """What sends a request's body, a file, on; ``None`` where there is none."""
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
class Relay(Protocol):
    """
    Sends an answer's body on, as fast as the client takes it.

    One that has an end is given up when nothing of it comes for `silence` seconds although the client takes
    all there is; one without may be silent for as long as it likes.

    :ivar endless: whether it has no end of its own.
    """

    def __init__(
        self, response: IResponse, clock: IReactorTime, silence: float, ended: Callable[["Relay"], object]
    ) -> None:
        self._response, self._clock, self._silence, self._ended = response, clock, silence, ended
        self.endless = response.length is UNKNOWN_LENGTH
        self._request: Any = None
        self._gone = self._paused = False
        self._heard = True
        self._timer: IDelayedCall | None = None

    def begin(self, request: Any) -> None:
        """Send what there is, and what comes, as the answer to this request."""
        self._request = request
        request.notifyFinish().addErrback(lambda _: self.stopProducing())
        self._response.deliverBody(self)

    def lose(self) -> None:
        """No more comes: the client sees that by the end of its connection."""
        if not self._gone:
            self._over()
            self._cut()
            self._request.unregisterProducer()
            self._request.loseConnection()

    def connectionMade(self) -> None:
        """The body begins."""
        self._request.registerProducer(self, True)
        if not self.endless:
            self._tick()

    def dataReceived(self, data: bytes) -> None:
        """Send a part on."""
        self._heard = True
        if not self._gone:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it was sent, or no more comes."""
        if self._gone:
            return
        self._over()
        self._request.unregisterProducer()
        if reason.check(ResponseDone):
            self._request.finish()
        else:
            self._request.loseConnection()

    def pauseProducing(self) -> None:
        """Have the master wait."""
        self._paused = True
        transport: Any = self.transport
        transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Have it go on."""
        self._paused, self._heard = False, True
        transport: Any = self.transport
        transport.resumeProducing()

    def stopProducing(self) -> None:
        """The client has gone: the master need not go on."""
        if not self._gone:
            self._over()
            self._cut()

    def _tick(self) -> None:
        self._timer = None
        if not (self._heard or self._paused):
            self.lose()
            return
        self._heard = False
        self._timer = self._clock.callLater(self._silence, self._tick)

    def _over(self) -> None:
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ended(self)

    def _cut(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()
