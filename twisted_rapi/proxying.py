"""How candidates that are not master reach the one that is: the internal listener and its clients."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.endpoints import wrapServerTLS
from twisted.web.client import Agent, HTTPConnectionPool

from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.past import Past, Silent
from twisted_rapi.config import Config, listen_address
from twisted_rapi.listening import Port, endpoint_of
from twisted_rapi.model.mastership import CandidateRecord, ElectionRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.rpc.authority import Role
from twisted_rapi.rpc.tls import Identity, PeerTLS, peer_role
from twisted_rapi.state.snapshot import Observed, Snapshot
from twisted_rapi.web.call import Api
from twisted_rapi.web.proxy import Forwarder
from twisted_rapi.web.site import ApiResource, make_site

CONNECT = 2.0  # seconds


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


def make_forwarder(reactor: Any, identity: Identity, here: str, snapshot: Snapshot) -> Forwarder:
    """What hands requests on to whom the store says is master."""

    def find() -> str | None:
        election = snapshot.election
        if election is None or election.node == here:
            return None
        there = snapshot.candidates.get(election.node)
        return there.proxy or None if there is not None else None

    def changed(told: Observed) -> None:
        if any(isinstance(before or after, ElectionRecord | CandidateRecord) for _, before, after in told):
            forwarder.changed()

    tls = PeerTLS(identity)
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost, pool.cachedConnectionTimeout = 8, 30
    kept = Agent(reactor, tls, connectTimeout=CONNECT, pool=pool)
    fresh = Agent(reactor, tls, connectTimeout=CONNECT)
    forwarder = Forwarder(find, kept, fresh, reactor, snapshot.age)
    snapshot.observe(changed)
    return forwarder


def past_api(snapshot: Snapshot, now: Callable[[], float], chance: Random) -> Api:
    """What reads are answered from while nobody can be master."""
    past: Any = Past(snapshot)
    nothing: Any = Silent()
    return Api(past, Answers(snapshot, past.nodes, now, chance), nothing, now)


def identity_of(config: Config) -> Identity:
    """Who this candidate is to agents and to others; reads files and belongs in a thread."""
    rpc = config.rpc
    return Identity(*(Path(file).read_bytes() for file in (rpc.authority, rpc.certificate, rpc.key)))
