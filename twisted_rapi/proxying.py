"""How candidates that are not master reach the one that is: the internal listener and its clients."""

import socket
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS, wrapServerTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.past import Past, Silent
from twisted_rapi.config import Config, listen_address
from twisted_rapi.ha.seat import SeatWatch
from twisted_rapi.listening import Port, endpoint_of
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.rpc.authority import Role
from twisted_rapi.rpc.tls import Identity, PeerTLS, peer_role
from twisted_rapi.state.snapshot import Observed, Snapshot
from twisted_rapi.web.call import Api
from twisted_rapi.web.proxy import Forwarder
from twisted_rapi.web.site import ApiResource, make_site

CONNECT = 2.0  # seconds
DEAD = 5  # seconds after which a connection is dead whose other end acknowledges nothing


def from_candidate(request: Any) -> bool:
    """Whether who is at the other end has shown a master's certificate."""
    transport: Any = request.transport
    return peer_role(transport.getHandle() if hasattr(transport, "getHandle") else None) is Role.MASTER


def internal_port(reactor: Any, config: Config, identity: Identity, resource: ApiResource) -> Port:
    """What listens for other candidates."""
    listen = config.proxy.listen
    endpoint = wrapServerTLS(PeerTLS(identity), endpoint_of(reactor, listen))
    return Port(endpoint, make_site(resource, reactor, from_candidate), listen)


def reached_at(config: Config, node: NodeRecord) -> str:
    """Where other candidates reach this one's internal listener; "" where they do not."""
    if not config.proxy.listen:
        return ""
    host, port = listen_address(config.proxy.listen, "proxy.listen")
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 -- looked at
        host = node.primary_ip
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Masters:
    """Where the master is, by the seat and by what candidates say of themselves."""

    def __init__(self, here: str, snapshot: Snapshot) -> None:
        self._here, self._snapshot = here, snapshot
        self._known: dict[str, str] = {}
        self.seat: SeatWatch | None = None

    def find(self) -> str | None:
        """Where the one that has the seat serves other candidates."""
        holder = "" if self.seat is None else self.seat.holder
        if holder in ("", self._here):
            return None
        there = self._snapshot.candidates.get(holder)
        if there is not None:
            self._known[holder] = there.proxy
        # A candidate's own record has another lease: it may vanish for a moment.
        return self._known.get(holder) or None

    def coming(self) -> bool:
        """Whether this daemon has it."""
        return self.seat is not None and self.seat.holder == self._here


def make_forwarder(
    reactor: Any, identity: Identity, here: str, snapshot: Snapshot, parent: IServiceCollection
) -> Forwarder:
    """What hands requests on to whom the store says is master; follows the seat as a service of `parent`."""
    masters = _Masters(here, snapshot)

    def changed(told: Observed) -> None:
        if any(isinstance(before or after, CandidateRecord) for _, before, after in told):
            forwarder.changed()

    ways = Ways(reactor, PeerTLS(identity))
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost, pool.cachedConnectionTimeout = 8, 30
    kept = Agent.usingEndpointFactory(reactor, ways, pool)
    fresh = Agent.usingEndpointFactory(reactor, ways)
    forwarder = Forwarder(masters.find, kept, fresh, reactor, snapshot.age, masters.coming)
    masters.seat = SeatWatch(snapshot.store, reactor, forwarder.changed)
    masters.seat.setServiceParent(parent)
    snapshot.observe(changed)
    return forwarder


@implementer(IAgentEndpointFactory)
@attrs.frozen
class Ways:
    """How masters are connected to."""

    _reactor: Any
    _tls: PeerTLS

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory`."""
        host = uri.host.decode("ascii")
        plain = HostnameEndpoint(self._reactor, host, uri.port, timeout=CONNECT)
        creator = self._tls.creatorForNetloc(uri.host, uri.port)
        found: IStreamClientEndpoint = wrapClientTLS(creator, _Watched(plain))
        return found


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _Watched:
    """Connections whose end is noticed, within `DEAD` seconds, also when the other machine is gone."""

    _endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See `IStreamClientEndpoint`."""
        return self._endpoint.connect(protocolFactory).addCallback(self._watch)

    def _watch(self, protocol: Any) -> Any:
        connection: socket.socket = protocol.transport.getHandle()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD * 1000)
        return protocol


def past_api(snapshot: Snapshot, now: Callable[[], float], chance: Random) -> Api:
    """What reads are answered from while nobody can be master."""
    past: Any = Past(snapshot)
    nothing: Any = Silent()
    return Api(past, Answers(snapshot, past.nodes, now, chance), nothing, now)


def identity_of(config: Config) -> Identity:
    """Who this candidate is to agents and to others; reads files and belongs in a thread."""
    rpc = config.rpc
    return Identity(*(Path(file).read_bytes() for file in (rpc.authority, rpc.certificate, rpc.key)))
