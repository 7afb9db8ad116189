"""Bodies that are sent as fast as the client takes them, and no faster."""

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
