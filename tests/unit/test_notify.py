"""Tests of `twisted_rapi.notify`."""

from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.notify import Notifier


class Transport:
    """Keeps what is sent; `broken` makes it fail."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.broken = False

    def write(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionRefusedError("nobody is there")
        self.sent.append(data)


class SocketReactor(Clock):
    """A clock that gives out datagram sockets, or none when there is nobody at the address."""

    def __init__(self, there: bool = True) -> None:
        super().__init__()
        self.there = there
        self.addresses: list[str] = []
        self.transport = Transport()
        self.closed = False

    def connectUNIXDatagram(self, address: str, protocol: Any) -> "SocketReactor":
        self.addresses.append(address)
        if self.there:
            protocol.makeConnection(self.transport)
        else:
            protocol.connectionFailed(Failure(FileNotFoundError("no such socket")))
        return self

    def stopListening(self) -> None:
        self.closed = True


class NotifierTests(SynchronousTestCase):
    """systemd is told what its protocol (sd_notify(3)) has."""

    def run_with(self, reactor: SocketReactor, **environment: str) -> Notifier:
        notifier = Notifier(reactor, environment)
        notifier.startService()
        return notifier

    def test_without_systemd(self) -> None:
        """No socket is opened."""
        reactor = SocketReactor()
        self.run_with(reactor, WATCHDOG_USEC="1000000").stopService()
        self.assertEqual((reactor.addresses, reactor.getDelayedCalls()), ([], []))

    def test_life(self) -> None:
        """Ready, alive twice per interval, stopping; then the socket is closed and no timer is left."""
        reactor = SocketReactor()
        notifier = self.run_with(reactor, NOTIFY_SOCKET="/run/notify", WATCHDOG_USEC="30000000")
        self.assertEqual(reactor.transport.sent, [b"READY=1", b"WATCHDOG=1"])
        reactor.pump([15.0, 15.0])
        self.assertEqual(reactor.transport.sent[2:], [b"WATCHDOG=1"] * 2)
        reactor.advance(14.9)
        notifier.stopService()
        self.assertEqual(reactor.transport.sent[4:], [b"STOPPING=1"])
        self.assertTrue(reactor.closed)
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_no_watchdog(self) -> None:
        """Without an interval, or with one that is no number, nothing is repeated."""
        for usec in ("", "0", "soon"):
            reactor = SocketReactor()
            self.run_with(reactor, NOTIFY_SOCKET="/n", WATCHDOG_USEC=usec)
            self.assertEqual(reactor.transport.sent, [b"READY=1"])
            self.assertEqual(reactor.getDelayedCalls(), [])

    def test_abstract(self) -> None:
        """An address that begins with @ is in the abstract name space."""
        reactor = SocketReactor()
        self.run_with(reactor, NOTIFY_SOCKET="@systemd/notify")
        self.assertEqual(reactor.addresses, ["\0systemd/notify"])

    def test_nobody_there(self) -> None:
        """The daemon runs on when there is nobody at the address, and ends well."""
        reactor = SocketReactor(there=False)
        notifier = self.run_with(reactor, NOTIFY_SOCKET="/gone", WATCHDOG_USEC="2000000")
        reactor.advance(1.0)
        notifier.stopService()
        self.assertEqual(reactor.transport.sent, [])

    def test_goes_away(self) -> None:
        """A datagram that cannot be sent stops neither the daemon nor the next one."""
        reactor = SocketReactor()
        self.run_with(reactor, NOTIFY_SOCKET="/n", WATCHDOG_USEC="2000000")
        reactor.transport.broken = True
        reactor.advance(1.0)
        reactor.transport.broken = False
        reactor.advance(1.0)
        self.assertEqual(reactor.transport.sent, [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"])
