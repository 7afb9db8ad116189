"""Telling systemd that the daemon is ready and alive (sd_notify's protocol: datagrams to a socket)."""

import os
from collections.abc import Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.protocol import ConnectedDatagramProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure


class _Out(ConnectedDatagramProtocol):
    """Only sends."""

    _log = Logger()

    def datagramReceived(self, datagram: bytes, addr: object = None) -> None:
        """Nothing is expected."""

    def connectionFailed(self, failure: Failure) -> None:
        """The daemon runs on without systemd knowing."""
        self._log.warn("systemd cannot be told: {reason}", reason=failure.getErrorMessage())


class Notifier(Service):
    """
    Sends READY=1 when it is started, WATCHDOG=1 at half the interval systemd wants, STOPPING=1 at the end.

    Without systemd (no ``NOTIFY_SOCKET``) it does nothing.

    :param reactor: provides `IReactorUNIXDatagram` and `IReactorTime`.
    """

    _log = Logger()

    def __init__(self, reactor: Any, environment: Mapping[str, str] = os.environ) -> None:
        self._reactor = reactor
        self._address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        self._interval = int(usec) / 2_000_000 if usec.isdigit() else 0.0
        self._port: Any = None
        self._loop = LoopingCall(self._send, b"WATCHDOG=1")
        self._loop.clock = reactor

    def startService(self) -> None:
        """Tell that it is ready."""
        super().startService()
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        self._out = _Out()
        self._port = self._reactor.connectUNIXDatagram(address, self._out)
        self._send(b"READY=1")
        if self._interval:
            self._loop.start(self._interval)

    def stopService(self) -> Any:
        """Tell that it ends."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._port is None:
            return None
        self._send(b"STOPPING=1")
        port, self._port = self._port, None
        return port.stopListening()

    def _send(self, what: bytes) -> None:
        transport: Any = self._out.transport
        if transport is not None:
            try:
                transport.write(what)
            except OSError as e:
                self._log.warn("systemd was not told: {reason}", reason=str(e))
