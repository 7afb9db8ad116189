"""Bodies that are sent as fast as the client takes them, and no faster."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class BodySender:
    """
    Sends the pieces of one body; `begin` it once.

    :param ended: called when the last piece has been given to the transport; never when the client has gone.
    """

    def __init__(self, request: Any, pieces: Iterator[bytes], ended: Callable[[], None]) -> None:
        self._request, self._pieces, self._ended = request, pieces, ended
        self._paused = self._gone = False

    def begin(self) -> None:
        """Send the first pieces."""
        self._request.notifyFinish().addErrback(lambda _: self.stopProducing())
        self._request.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """Go on, until the transport has enough."""
        self._paused = False
        while not self._paused and not self._gone:
            piece = next(self._pieces, None)
            if piece is None:
                self._gone = True
                self._request.unregisterProducer()
                self._request.finish()
                self._ended()
                return
            self._request.write(piece)

    def pauseProducing(self) -> None:
        """Wait."""
        self._paused = True

    def stopProducing(self) -> None:
        """The client has gone."""
        self._gone = True


@implementer(IPushProducer)
class EventSender:
    """
    A body without an end of its own: what comes is sent as fast as the client takes it.

    :ivar waiting: bytes that wait for the client.
    :ivar drained: called whenever nothing waits any more.
    :ivar left: called when the client has gone before the end.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.drained: Callable[[], None] = lambda: None
        self.left: Callable[[], None] = lambda: None
        self._request: Any = None
        self._pieces: deque[bytes] = deque()
        self._paused = True
        self._ended = False

    def begin(self, request: Any) -> None:
        """Send what waits, and what comes, to this request."""
        self._request = request
        if self._ended:
            request.finish()
            return
        request.notifyFinish().addErrback(lambda _: self.stopProducing())
        request.registerProducer(self, True)
        self.resumeProducing()

    def send(self, piece: bytes) -> None:
        """Send this, as soon as the client takes it."""
        if not self._ended:
            self._pieces.append(piece)
            self.waiting += len(piece)
            self._go_on()

    def end(self, last: bytes = b"") -> None:
        """Send nothing of what waits, but this, and end."""
        if self._ended:
            return
        self._ended = True
        self._forget()
        if self._request is not None:
            if last:
                self._request.write(last)
            self._request.unregisterProducer()
            self._request.finish()

    def resumeProducing(self) -> None:
        """Go on, until the transport has enough."""
        self._paused = False
        self._go_on()

    def pauseProducing(self) -> None:
        """Wait."""
        self._paused = True

    def stopProducing(self) -> None:
        """The client has gone."""
        if not self._ended:
            self._ended = True
            self._forget()
            self.left()

    def _forget(self) -> None:
        self._pieces.clear()
        self.waiting = 0

    def _go_on(self) -> None:
        while self._pieces and not self._paused and not self._ended:
            piece = self._pieces.popleft()
            self.waiting -= len(piece)
            self._request.write(piece)
        if not self._pieces and not self._ended:
            self.drained()
