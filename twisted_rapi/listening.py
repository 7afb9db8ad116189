"""What listens: at the node's own address always, at the floating address for a term."""

import contextlib
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address
from typing import Any

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


class TermDoor:
    """
    The floating address's listener, for `ha.address.AddressDuty`.

    Where the node's own listener is reached there, too, only the connections are ended when it closes.

    :param address: the floating address; `listen`: what the node's own port listens on.
    :param own: the node's own port.
    """

    def __init__(
        self, reactor: Any, address: str, listen: str, tls: CertificateOptions, site: Any, own: Port
    ) -> None:
        self._reactor, self._address, self._own, self._site = reactor, address, own, site
        host = f"[{address}]" if ":" in address else address
        self._listen = f"{host}:{listen_address(listen, 'listen')[1]}"
        self._needed = bool(address) and not covers(listen, address)
        self._tls = tls
        self._port: Any = None

    async def open(self) -> None:
        """Listen there, if nobody does."""
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
        ending = list(_connections(ports, self._is_here))
        for protocol in ending:
            protocol.loseConnection()
        if ending:
            await deferLater(self._reactor, FAREWELL)
        for protocol in ending:
            protocol.transport.abortConnection()

    def _is_here(self, host: str) -> bool:
        with contextlib.suppress(ValueError):
            found = ip_address(host)
            mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
            return (mapped or found) == ip_address(self._address)
        return False


def _connections(ports: Iterable[Any], wanted: Callable[[str], bool]) -> Iterable[Any]:
    """The TLS connections of listeners to addresses that are wanted."""
    for port in ports:
        for protocol in list(port.factory.protocols):
            if wanted(getattr(protocol.getHost(), "host", "")):
                yield protocol
