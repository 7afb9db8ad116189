"""What listens: at the node's own address always, at the floating address for a term."""

import contextlib
import socket
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint, wrapServerTLS
from twisted.internet.error import CannotListenError
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.config import listen_address
from twisted_rapi.errors import AddressError

FAREWELL = 0.05  # seconds in which what was answered last gets out
LINGER = 1.5  # seconds after which a connection that nobody uses ends where another candidate has the address
_SO_ORIGINAL_DST = 80


def endpoint_of(reactor: Any, listen: str) -> Any:
    """Where ``host:port`` or ``[address]:port`` is listened on."""
    host, port = listen_address(listen, "listen")
    kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
    return kind(reactor, port, backlog=511, interface=host)


class Port(Service):
    """A listener at an address of the node."""

    _log = Logger()

    def __init__(self, endpoint: Any, site: Any, listen: str) -> None:
        self._endpoint, self._site, self._listen = endpoint, site, listen
        self.port: Any = None

    def startService(self) -> None:
        """Listen."""
        super().startService()
        self._endpoint.listen(self._site).addCallbacks(self._listening, self._failed)

    def _listening(self, port: Any) -> None:
        self.port = port
        self._log.info("listening on {listen}", listen=self._listen)

    def _failed(self, failure: Failure) -> None:
        self._log.critical(
            "cannot listen on {listen}: {why}", listen=self._listen, why=failure.getErrorMessage()
        )

    def stopService(self) -> Any:
        """No longer listen."""
        super().stopService()
        return None if self.port is None else self.port.stopListening()


def covers(listen: str, address: str) -> bool:
    """Whether who listens on this is reached at the address, too, once the host has it."""
    host, _ = listen_address(listen, "listen")
    if host in ("", "0.0.0.0"):  # noqa: S104 -- looked at
        return ip_address(address).version == 4
    try:
        found = ip_address(host)
    except ValueError:
        return False
    # On Linux who listens on all of IPv6 is reached by IPv4 as well.
    return found == IPv6Address("::") or found == ip_address(address)


def asked_for(transport: Any) -> str:
    """The address a connection was asked for at; the kernel may have led it to another (`net.passage`)."""
    plain = getattr(transport, "socket", None)
    if plain is not None:
        for level, kind in ((socket.SOL_IP, socket.AF_INET), (socket.IPPROTO_IPV6, socket.AF_INET6)):
            with contextlib.suppress(OSError, ValueError):
                found: bytes = plain.getsockopt(level, _SO_ORIGINAL_DST, 28)
                packed = found[4:8] if kind == socket.AF_INET else found[8:24]
                return socket.inet_ntop(kind, packed)
    return str(getattr(transport.getHost(), "host", ""))


class Successor(Protocol):
    """What a master leaves to the next one, and takes from the one before."""

    def known(self) -> bool:
        """Whether the term is given up for another candidate, and what is asked here is handed on."""

    async def welcome(self) -> None:
        """Have connections that were begun at the former master go on there, if it gave its term up."""


class TermDoor:
    """
    The floating address's listener, for `ha.address.AddressDuty`.

    Where the node's own listener is reached there, too, only the connections are ended when it closes; when
    there is a successor, not before they have been answered.

    :param address: the floating address; `listen`: what the node's own port listens on.
    :param own: the node's own port.
    """

    def __init__(
        self, reactor: Any, address: str, listen: str, tls: CertificateOptions, site: Any, own: Port
    ) -> None:
        self._reactor, self._address, self._own, self._site = reactor, address, own, site
        self.successor: Successor | None = None
        host = f"[{address}]" if ":" in address else address
        self._listen = f"{host}:{listen_address(listen, 'listen')[1]}"
        self._needed = bool(address) and not covers(listen, address)
        self._tls = tls
        self._port: Any = None

    async def open(self) -> None:
        """Listen there, if nobody does."""
        if self.successor is not None:
            await self.successor.welcome()
        if not self._needed or self._port is not None:
            return
        try:
            self._port = await wrapServerTLS(self._tls, endpoint_of(self._reactor, self._listen)).listen(
                self._site
            )
        except CannotListenError as e:
            raise AddressError(f"cannot listen on {self._listen}: {e.socketError}") from e

    async def close(self) -> None:
        """No longer listen; those who are connected to the address are told by the end of the connection."""
        ports = [port for port in (self._port, self._own.port) if port is not None]
        if self._port is not None:
            self._port, closing = None, self._port
            closing.stopListening()
        ending = [protocol for protocol in _connections(ports) if self.is_here(protocol.transport)]
        if self.successor is not None and self.successor.known():
            self._reactor.callLater(LINGER, _let_go, ending)
            return
        for protocol in ending:
            protocol.loseConnection()
        if ending:
            await deferLater(self._reactor, FAREWELL)
        for protocol in ending:
            protocol.transport.abortConnection()

    def is_here(self, transport: Any) -> bool:
        """Whether a connection was asked for at the floating address."""
        with contextlib.suppress(ValueError):
            found = ip_address(asked_for(transport))
            mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
            return (mapped or found) == ip_address(self._address)
        return False


def _connections(ports: Iterable[Any]) -> Iterable[Any]:
    """The TLS connections of listeners."""
    for port in ports:
        yield from list(port.factory.protocols)


def _let_go(protocols: Iterable[Any]) -> None:
    """End what nobody uses now, and the others when they have been answered."""
    for protocol in protocols:
        channel = protocol.wrappedProtocol
        if channel is not None:  # it has not ended meanwhile
            channel.depart()
