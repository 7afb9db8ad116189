"""The master daemon put together: everything built once, inside out."""

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from treq.client import HTTPClient
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapServerTLS
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool

from twisted_rapi import __version__
from twisted_rapi.addressing import Addressing
from twisted_rapi.alike import ALIKE
from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.duties import Duties, Office
from twisted_rapi.cluster.events import Events
from twisted_rapi.cluster.names import as_dnsmasq, name_service
from twisted_rapi.cluster.service import Cluster
from twisted_rapi.config import Config
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.failpoint import from_environment
from twisted_rapi.gauges import Gauges
from twisted_rapi.ha.address import CommandedAddress
from twisted_rapi.ha.apart import Apart
from twisted_rapi.ha.election import IElection, SoleCandidate
from twisted_rapi.ha.guarding import Guarded
from twisted_rapi.ha.ladder import Ladder
from twisted_rapi.ha.leadership import Leadership
from twisted_rapi.ha.leased import SEAT, LeasedCandidate
from twisted_rapi.ha.presence import Presence
from twisted_rapi.ha.standing import StoredStanding
from twisted_rapi.handover import Handover
from twisted_rapi.jobs.executor import Executor
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.listening import Port, TermDoor, endpoint_of
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import CertificateSeen
from twisted_rapi.notify import Notifier
from twisted_rapi.observe.measured import MeasuredAgent, MeasuredStore
from twisted_rapi.observe.metrics import Metrics, ReactorLag
from twisted_rapi.observe.service import LogToFile
from twisted_rapi.observe.site import make_site as make_metrics_site
from twisted_rapi.opening import open_configured
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.presenting import share
from twisted_rapi.proxying import identity_of, internal_port, make_forwarder, past_api, reached_at
from twisted_rapi.rpc.authority import seen
from twisted_rapi.rpc.client import RemoteAgent
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.rpc.nodes import Nodes
from twisted_rapi.rpc.tls import Identity, MasterTLS, server_options
from twisted_rapi.state.etcd import EtcdStore
from twisted_rapi.state.etcd_leader import of_hosts
from twisted_rapi.state.snapshot import Observed, Snapshot, load
from twisted_rapi.state.sqlite import SQLiteStore
from twisted_rapi.web.auth import Users
from twisted_rapi.web.call import Api
from twisted_rapi.web.candidacy import joining_routes
from twisted_rapi.web.followed import FollowedFile
from twisted_rapi.web.openapi.route import with_document
from twisted_rapi.web.pvc.making import make_side
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2
from twisted_rapi.web.site import ApiResource, make_site
from twisted_rapi.web.watching import FileWatch


def _registered(snapshot: Snapshot, host: str, port: int) -> float:
    """When the node that listens there was registered; 0 for nobody."""
    there = (host.strip("[]").lower(), port)
    nodes = snapshot.nodes.values()
    return max((n.ctime for n in nodes if (n.agent_host.lower(), n.agent_port) == there), default=0.0)


class _Term(Service):
    """The API's connection to one term: while it runs, requests are answered."""

    def __init__(self, resource: ApiResource, api: Api) -> None:
        self._resource, self._api = resource, api

    def startService(self) -> None:
        """Answer."""
        super().startService()
        self._resource.api = self._api
        if self._resource.elsewhere is not None:
            self._resource.elsewhere.changed()

    def stopService(self) -> None:
        """No longer answer."""
        super().stopService()
        self._resource.api = None
        self._api.events.close()
        self._api.answers.close()


class Master(MultiService):
    """The whole daemon, from opening the store to listening."""

    _log = Logger()

    def __init__(self, config: Config, reactor: Any, random: Random) -> None:
        super().__init__()
        self._config, self._reactor, self._random = config, reactor, random
        self.metrics = Metrics()
        self._failpoint = from_environment()
        self._store: MeasuredStore | None = None
        self._leadership: Leadership | None = None
        self._guarded: Guarded | None = None
        self._opened: Deferred[None] | None = None
        self._apart: Callable[[], Awaitable[bool]] | None = None
        self._addressing = Addressing(config.address, config.store.lease, reactor)
        self._addressing.setServiceParent(self)
        self._gauges = Gauges(self._addressing, self._current_term)

    def in_thread(self, work: Any, *args: Any) -> Awaitable[Any]:
        """Run blocking work elsewhere."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, *args)

    def startService(self) -> None:
        """Begin; a daemon that cannot ends the process."""
        super().startService()
        self._opened = Deferred.fromCoroutine(self._open())
        self._opened.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """End the term, then close the store."""
        return Deferred.fromCoroutine(self._close(super().stopService()))

    async def _close(self, ended: Any) -> None:
        await ended
        if self._guarded is not None:
            await self._guarded.stop()
        if self._store is not None:
            await self._store.close()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("the daemon cannot run", failure)
        # Nothing was begun that has to be ended in order, and whoever started the daemon is to see a failure.
        self._reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
        self._reactor.stop()

    async def _open(self) -> None:
        config, reactor = self._config, self._reactor
        store = await open_configured(config.store, reactor, self.in_thread, self._failpoint)
        self._store = MeasuredStore(store, self.metrics, reactor)
        snapshot = await load(self._store, reactor)
        snapshot.setServiceParent(self)
        snapshot.certificates = await self.in_thread(_certificates, config)
        here = _here(snapshot, config.node)
        nodes = self._nodes(snapshot, identity := await self.in_thread(identity_of, config))
        nodes.setServiceParent(self)
        resource, users = await self._resource()
        self._gauges.add_to(self.metrics, snapshot, nodes, resource)
        await self._addressing.clean()
        election = self._addressing.bound(self._election(store, here, snapshot, users))
        listener, door = await self._listener(resource, here, snapshot)
        self._proxy(resource, here, snapshot, identity)
        office = Office(
            store=self._store,
            snapshot=snapshot,
            nodes=nodes,
            clock=reactor,
            now=time.time,
            chance=self._random,
            opened=lambda cluster, table, executor: self._begin_term(
                resource, self._api(cluster, table), self._duty(door, election, snapshot), table, executor
            ),
            shown=self._addressing.shown(),
            deposed=self._deposed,
            quiet=resource.quiet,
            failpoint=self._failpoint,
            archive_age=config.jobs.archive_age,
            **_rules(config),
        )
        self._leadership = Leadership(election, partial(self._duties, office, nodes), reactor)
        self._leadership.setServiceParent(self)
        listener.setServiceParent(self)
        self._measure(resource)

    def _proxy(self, resource: ApiResource, here: str, snapshot: Snapshot, identity: Identity) -> None:
        """Hand on what is asked while another is master, and serve others that do."""
        config, reactor = self._config, self._reactor
        if config.store.kind == "sqlite":
            return
        resource.elsewhere = make_forwarder(reactor, identity, here, snapshot, self)
        resource.past = past_api(snapshot, time.time, self._random)
        if config.proxy.listen:
            internal_port(reactor, config, identity, resource).setServiceParent(self)

    async def _hand_over(self, resource: ApiResource, door: TermDoor, here: str, snapshot: Snapshot) -> None:
        """Serve clients of the floating address while it moves, where another candidate can have it."""
        passage = await self._addressing.passage(self._config.api.listen, self.in_thread)
        if passage is None or self._config.store.kind == "sqlite":
            return
        await passage.open()
        Handover(passage, snapshot, here).attach(resource, door)
        self._reactor.addSystemEventTrigger("before", "shutdown", passage.stop)

    def _election(
        self, store: SQLiteStore | EtcdStore, here: str, snapshot: Snapshot, users: Users
    ) -> IElection:
        assert self._store is not None
        if isinstance(store, SQLiteStore):
            return SoleCandidate(self._store, here)
        # What is in memory may not be what the store says: the next term reads all of it.
        store.doubtful = self._deposed
        node = snapshot.nodes[here]
        record = CandidateRecord(
            uuid=here, since=time.time(), version=__version__, proxy=reached_at(self._config, node)
        )
        presence = Presence(self._store, store, record, self._reactor, snapshot.age)
        presence.setServiceParent(self)
        self._addressing.look(
            lambda why: presence.update(msgspec.structs.replace(presence.record, hindered=why))
        )
        of_files = presence, users, self.in_thread, self._reactor
        share(self, self._config, self._store, snapshot, node, *of_files)
        local = of_hosts(node.primary_ip, node.secondary_ip, node.agent_host)
        self._apart = lambda: store.move_leader(local)
        standing = StoredStanding(self._store, here, self._reactor, SEAT)
        lease = self._config.store.lease
        self._guarded = guarded = Guarded(self._reactor, self._addressing.guarded(self._config.store))
        guarded.start()
        return LeasedCandidate(self._store, store, here, self._reactor, lease, standing, guarded.told)

    def _deposed(self) -> None:
        if self._leadership is not None:
            self._leadership.deposed_from_within()

    def _duties(self, office: Office, nodes: Nodes, term: int) -> Duties:
        """What a term consists of; its nodes are watched from now on, its address is sought."""
        nodes.term_begins()
        self._addressing.term_begins()
        return Duties(office, term)

    async def _begin_term(
        self, resource: ApiResource, api: Api, address: Service | None, table: JobTable, executor: Executor
    ) -> Service:
        self._gauges.term = (table, executor)
        self.metrics.term_began()
        table.observe(self.metrics.job_changed)
        # What was added last ends first: nobody is answered by the time the address is given up.
        whole = Ladder(self._reactor)
        if self._apart is not None:
            Apart(self._apart, self._reactor).setServiceParent(whole)
        if address is not None:
            address.setServiceParent(whole)
        names = name_service(self._reactor, self._config.dns, api.cluster.snapshot)
        if names is not None:
            names.setServiceParent(whole)
        _Term(resource, api).setServiceParent(whole)
        return whole

    def _api(self, cluster: Cluster, table: JobTable) -> Api:
        answers = Answers(cluster.snapshot, cluster.nodes, time.time, self._random)
        assert self._store is not None
        reactor, view = self._reactor, answers.view
        events = Events(self._store, cluster.snapshot, cluster.nodes, table, reactor, view)
        return Api(cluster, answers, events, time.time)

    def _duty(self, door: TermDoor, election: IElection, snapshot: Snapshot) -> Service | None:
        duty = self._addressing.duty(door, lambda: self._current_term() is not None, election.holds)
        if duty is None:
            return None

        def wanted() -> tuple[bool, int]:
            return snapshot.cluster.master_ip_active, snapshot.cluster.master_ip_announced

        return CommandedAddress(duty, wanted, lambda look: snapshot.observe(lambda _: look()))

    # Parts.

    def _nodes(self, snapshot: Snapshot, identity: Identity) -> Nodes:
        pool = HTTPConnectionPool(self._reactor, persistent=True)
        pool.maxPersistentPerHost = 8
        pool.cachedConnectionTimeout = 30
        tls = MasterTLS(identity, partial(_registered, snapshot))
        agent = Agent(self._reactor, tls, connectTimeout=3.0, pool=pool)
        http = HTTPClient(agent)

        def connect(node: NodeRecord) -> INodeAgent:
            host = f"[{node.agent_host}]" if ":" in node.agent_host else node.agent_host
            url = f"https://{host}:{node.agent_port}"
            return MeasuredAgent(RemoteAgent(http, url, self._reactor), self.metrics, self._reactor)

        nodes = Nodes(connect, self._reactor, self._random, self._current_term, self._deposed)
        nodes.set_nodes(snapshot.nodes.values())

        def changed(observed: Observed) -> None:
            if any(isinstance(before or after, NodeRecord) for _, before, after in observed):
                nodes.set_nodes(snapshot.nodes.values())

        snapshot.observe(changed)
        return nodes

    def _current_term(self) -> int | None:
        return None if self._leadership is None else self._leadership.term

    async def _resource(self) -> tuple[ApiResource, Users]:
        config = self._config
        watch = FileWatch(self._reactor)
        users = Users(Path(config.api.users), self._reactor, self.in_thread, watch)
        joining = joining_routes(config, self._store, self._current_term, self.in_thread)
        resource = ApiResource(
            with_document((*ROUTES, *ROUTES_OF_1_2, *joining)),
            users,
            self._reactor,
            self._random,
            self.metrics.request,
            config.api.require_authentication,
        )
        resource.certain = lambda: self._current_term() is not None
        files: list[FollowedFile] = [users]
        if config.pvc.enabled:
            resource.beside, tokens = make_side(config.pvc, self._reactor, self.in_thread, watch)
            files.append(tokens)
        for each in files:
            each.setServiceParent(self)
            await each.refresh()
        return resource, users

    async def _listener(self, resource: ApiResource, here: str, snapshot: Snapshot) -> tuple[Port, TermDoor]:
        """What listens at the node's own address, and at the floating one for a term."""
        config = self._config
        read = [self.in_thread(Path(file).read_bytes) for file in (config.api.certificate, config.api.key)]
        tls = server_options(await read[0], await read[1])
        site = make_site(resource, self._reactor)
        own = Port(wrapServerTLS(tls, endpoint_of(self._reactor, config.api.listen)), site, config.api.listen)
        door = TermDoor(self._reactor, self._addressing.text, config.api.listen, tls, site, own)
        await self._hand_over(resource, door, here, snapshot)
        return own, door

    def _measure(self, resource: ApiResource) -> None:
        """Serve what is measured, where that is wanted."""
        ReactorLag(self.metrics, self._reactor).setServiceParent(self)
        config = self._config
        if config.metrics.listen:
            healthy = {"store": lambda: "" if self._store is not None else "it is not open"}
            ready = {"master": lambda: "" if resource.api is not None else "there is no term"}
            site = make_metrics_site(self.metrics, healthy, ready, self._reactor)
            Port(
                endpoint_of(self._reactor, config.metrics.listen), site, config.metrics.listen
            ).setServiceParent(self)


def _rules(config: Config) -> dict[str, Any]:
    """What an `Office` knows of the configuration."""
    return {
        "death": DeathRules(**{rule: getattr(config.death, rule) for rule in ALIKE["death"]}),
        "watchdog": WatchdogRules(**msgspec.structs.asdict(config.watchdog)),
        "names_at": as_dnsmasq(config.dns.listen),
    }


def _here(snapshot: Snapshot, name: str) -> str:
    """
    The uuid of the node this candidate is on.

    :raises ConfigurationError: the cluster has no such node.
    """
    here = snapshot.names["node"].get(name)
    if here is None:
        raise ConfigurationError(f"node: the cluster has no node {name}")
    return here


def _certificates(config: Config) -> tuple[CertificateSeen, ...]:
    """Those the daemon uses; reads files and belongs in a thread."""
    files = {
        "authority": config.rpc.authority,
        "master": config.rpc.certificate,
        "API": config.api.certificate,
    }
    if config.store.kind == "etcd":
        files |= {"authority of etcd": config.store.authority, "client of etcd": config.store.certificate}
    return tuple(seen(role, Path(file)) for role, file in files.items())


def make_daemon(config: Config, reactor: Any, random: Random) -> MultiService:
    """The whole daemon, not started."""
    whole = MultiService()
    if config.log.file:
        LogToFile(Path(config.log.file), config.log.level).setServiceParent(whole)
    Master(config, reactor, random).setServiceParent(whole)
    Notifier(reactor).setServiceParent(whole)
    return whole
