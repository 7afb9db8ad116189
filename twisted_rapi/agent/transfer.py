"""
One end of a transfer that is under way, as the agent knows it.

Note [Two clusters agree].  The cluster that sends may remove its instance once all was stored, and the one
that receives must not drop it after that.  So a receiver that has stored everything says so on a line to its
agent, and tells the other end only when the agent, and with it its master, has said that the instance stays.
"""

import socket
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IReactorSocket
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from twisted_rapi.errors import StepFailed


@attrs.define(eq=False)
class Transfer:
    """
    One end of a transfer.

    :ivar port: where it listens, if it does.
    :ivar work: the process.
    :ivar line: to a receiver that does not tell the other end by itself; see Note [Two clusters agree].
    :ivar result: when it has ended, why it failed; ``None`` in it when it did not.
    :ivar stored: whether a receiver has said that everything is.
    :ivar waiting: who waits for something to happen.
    """

    instance: str
    port: int
    work: Deferred[None]
    line: "Line | None" = None
    result: tuple[str | None] | None = None
    stored: bool = False
    waiting: list[Deferred[None]] = attrs.field(factory=list)

    async def end(self) -> None:
        """Wait until it has ended; who is cancelled waits no longer, and it goes on."""
        while self.result is None:
            await self._news()

    async def judged(self) -> None:
        """
        Wait until it has ended.

        :raises StepFailed: kind ``stream``: badly.
        """
        await self.end()
        assert self.result is not None
        [why] = self.result
        if why is not None:
            raise StepFailed(why, "stream")

    async def whole(self) -> None:
        """
        Wait until everything is stored.

        :raises StepFailed: kind ``stream``: it has ended badly before.
        """
        while self.result is None and not self.stored:
            await self._news()
        if not self.stored:
            await self.judged()

    async def confirm(self) -> None:
        """
        Have the other end told that everything is stored.

        :raises StepFailed: kind ``stream``: it may not know.
        """
        if self.line is not None:
            self.line.confirm()
        await self.judged()

    async def _news(self) -> None:
        waiting: Deferred[None] = Deferred()
        self.waiting.append(waiting)
        await waiting

    def has_stored(self) -> None:
        """Everything is stored, and the other end does not know yet."""
        self.stored = True
        self._tell()

    def ended(self, result: Any) -> None:
        """The process has ended."""
        why: str | None = None
        if isinstance(result, Failure):
            why = result.getErrorMessage() if not result.check(CancelledError) else "it was ended"
        self.result = (why,)
        if self.line is not None:
            self.line.hang_up()
        self._tell()

    def _tell(self) -> None:
        waiting, self.waiting = self.waiting, []
        for d in waiting:
            if not d.called:
                d.callback(None)


class Line(Protocol):
    """The agent's end of the line to a receiver."""

    transfer: Transfer | None = None
    _confirmed = False

    def dataReceived(self, data: bytes) -> None:
        """It has stored everything."""
        if self.transfer is not None:
            self.transfer.has_stored()

    def confirm(self) -> None:
        """It may tell the other end."""
        if not self._confirmed and self.transport is not None:
            self._confirmed = True
            self.transport.write(b"y")

    def hang_up(self) -> None:
        """It has ended."""
        if self.transport is not None:
            self.transport.loseConnection()


class _Lines(Factory):
    noisy = False

    def __init__(self, line: Line) -> None:
        self._line = line

    def buildProtocol(self, addr: IAddress | None) -> Line:
        return self._line


def new_line(sockets: IReactorSocket) -> tuple[Line, socket.socket]:
    """A line, and its other end for the receiver; who gets that closes it."""
    ours, theirs = socket.socketpair()
    line = Line()
    ours.setblocking(False)
    lines: Any = _Lines(line)
    sockets.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, lines)
    ours.close()
    return line, theirs
