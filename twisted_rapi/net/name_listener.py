"""
The sockets of the authoritative name server.

Note [Before the address is there].  The server belongs to an address that comes and goes by itself.  Its
sockets are bound to it whether this host has it at that moment or not (``IP_FREEBIND``): what is sent to the
address is answered from the moment on at which it is here.
"""

import socket
from typing import Any

from twisted.application.service import Service
from twisted.internet.protocol import DatagramProtocol, ServerFactory
from twisted.logger import Logger
from twisted.protocols.basic import Int16StringReceiver
from twisted.protocols.policies import TimeoutMixin

from twisted_rapi.net.name_answers import NameAnswers

IDLE = 10.0  # seconds a connection may be silent
AT_ONCE = 64  # connections
_FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}


class Datagrams(DatagramProtocol):
    """Questions by UDP."""

    transport: Any

    def __init__(self, answers: NameAnswers) -> None:
        self._answers = answers

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer it."""
        for reply in self._answers.respond(datagram, addr[0], stream=False):
            self.transport.write(reply, addr)


class Stream(Int16StringReceiver, TimeoutMixin):
    """Questions by TCP, one after the other; who does not read answers is not listened to."""

    transport: Any
    factory: "Streams"

    def connectionMade(self) -> None:
        """Somebody is there."""
        self.factory.open += 1
        self.setTimeout(IDLE)
        # The transport says when too much waits to be read, and when no longer.
        self.transport.registerProducer(self, True)
        if self.factory.open > AT_ONCE:
            self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        """Nothing came for too long, or nothing could be sent."""
        self.transport.abortConnection()

    def stringReceived(self, string: bytes) -> None:
        """Answer it."""
        self.resetTimeout()
        for reply in self.factory.answers.respond(string, self.transport.getPeer().host, stream=True):
            self.sendString(reply)

    def connectionLost(self, reason: Any = None) -> None:
        """Nobody is there any more."""
        self.factory.open -= 1
        self.setTimeout(None)

    def callLater(self, period: float, func: Any) -> Any:
        """Of the reactor that serves it."""
        return self.factory.clock.callLater(period, func)


class Streams(ServerFactory):
    """Makes a `Stream` for each connection."""

    protocol: Any = Stream
    noisy = False

    def __init__(self, answers: NameAnswers, clock: Any) -> None:
        self.answers, self.clock = answers, clock
        self.open = 0


class NameListener(Service):
    """
    Answers at an address while it runs; where it cannot it says so in the log.

    :ivar ports: what listens.
    """

    _log = Logger()

    def __init__(self, reactor: Any, address: str, port: int, answers: NameAnswers) -> None:
        self._reactor, self._address, self._port, self._answers = reactor, address, port, answers
        self.ports: list[Any] = []

    def startService(self) -> None:
        """Listen."""
        super().startService()
        reactor, family = self._reactor, socket.AF_INET6 if ":" in self._address else socket.AF_INET
        try:
            with self._bound(family, socket.SOCK_DGRAM, self._port) as made:
                port = made.getsockname()[1]
                datagrams = Datagrams(self._answers)
                self.ports.append(reactor.adoptDatagramPort(made.fileno(), family, datagrams))
            with self._bound(family, socket.SOCK_STREAM, port) as made:
                made.listen(AT_ONCE)
                streams = Streams(self._answers, reactor)
                self.ports.append(reactor.adoptStreamPort(made.fileno(), family, streams))
        except OSError as e:
            self._log.critical(
                "names cannot be answered at {address} port {port}: {why}",
                address=self._address,
                port=self._port,
                why=e.strerror or str(e),
            )

    def _bound(self, family: int, kind: int, port: int) -> socket.socket:
        made = socket.socket(family, kind)
        try:
            made.setblocking(False)
            level, option = _FREEBIND[socket.AddressFamily(family)]
            made.setsockopt(level, option, 1)
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self._address, port))
        except OSError:
            made.close()
            raise
        return made

    def stopService(self) -> None:
        """Answer nobody any more."""
        super().stopService()
        ports, self.ports = self.ports, []
        for port in ports:
            port.stopListening()
