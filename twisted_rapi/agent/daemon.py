"""The agent put together: everything built once, inside out."""

import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint, wrapServerTLS
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi import __version__
from twisted_rapi.agent import providers
from twisted_rapi.agent.allocators import Allocators
from twisted_rapi.agent.certificates import Certificates
from twisted_rapi.agent.exports import Exports
from twisted_rapi.agent.fencing import Fencing
from twisted_rapi.agent.hook_runner import HookRunner, watch_tree
from twisted_rapi.agent.interface import INames
from twisted_rapi.agent.logs import History, NodeLogs
from twisted_rapi.agent.names import SystemNames, TableNames
from twisted_rapi.agent.node import Node
from twisted_rapi.agent.os_runner import OsRunner
from twisted_rapi.agent.parts import Parts
from twisted_rapi.agent.resource import make_site
from twisted_rapi.agent.settings import AgentSettings, CephSettings, Simulated
from twisted_rapi.agent.streams import Credentials, Streams
from twisted_rapi.agent.threads import Threads
from twisted_rapi.config import listen_address
from twisted_rapi.failpoint import from_environment
from twisted_rapi.hypervisor.folder import watch_with
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model.seen import CertificateSeen, ProviderSeen
from twisted_rapi.net.kernel_networks import NetworkTools
from twisted_rapi.net.simulated import SimulatedNetworks
from twisted_rapi.net.virtual import NodeNetworks
from twisted_rapi.net.virtual_interface import IVirtualNetworks
from twisted_rapi.notify import Notifier
from twisted_rapi.observe.service import LogToFile
from twisted_rapi.rpc.authority import seen
from twisted_rapi.rpc.tls import Identity, agent_tls
from twisted_rapi.storage.ceph import Ceph
from twisted_rapi.storage.ceph_interface import ICeph
from twisted_rapi.storage.ceph_tools import Tools
from twisted_rapi.storage.ceph_volume import CephVolume
from twisted_rapi.storage.file import FileDriver, InThread
from twisted_rapi.storage.interface import IVolumeDriver
from twisted_rapi.storage.program import PATH, Programs
from twisted_rapi.storage.rbd import RbdDriver
from twisted_rapi.storage.shelf import FolderShelf
from twisted_rapi.storage.simulated import Volumes
from twisted_rapi.storage.simulated_ceph import CephNotes, SimulatedCeph
from twisted_rapi.storage.simulated_driver import simulated_drivers
from twisted_rapi.storage.units import FolderUnits, Groups, IStorageUnits, SimulatedUnits

SHIPPED = Path(__file__).parent / "os"


def _hypervisors(
    settings: AgentSettings, reactor: Any, random: Random, in_thread: Any
) -> dict[str, IHypervisor]:
    found: dict[str, IHypervisor] = {}
    sizes = settings.simulated or Simulated()
    state = Path(settings.state_dir)
    if "kvm" in settings.hypervisors:
        from twisted_rapi.hypervisor.libvirt import LibvirtHypervisor

        secrets = {} if settings.ceph is None else settings.ceph.secrets
        found["kvm"] = LibvirtHypervisor(settings.libvirt_uri, reactor, settings.serial_dir, secrets)
    if "fake" in settings.hypervisors:
        found["fake"] = SimulatedHypervisor(
            state / "fake",
            reactor,
            in_thread,
            random,
            sizes.boot_time,
            sizes.shutdown_time,
            watch_with(reactor),
        )
    return found


def _migration(settings: AgentSettings) -> dict[str, str]:
    """How guests come here: simulated machines are files in a folder."""
    ways = {"fake": str(Path(settings.state_dir) / "fake"), "kvm": settings.migration_uri}
    return {kind: uri for kind, uri in ways.items() if uri and kind in settings.hypervisors}


def _tools(settings: AgentSettings, reactor: Any, in_thread: InThread) -> Tools | None:
    """Those of Ceph, for a node that reaches one."""
    if settings.ceph is None:
        return None
    run = _programs(settings.ceph, reactor, in_thread).run
    return Tools(run, settings.ceph.conf, settings.ceph.user)


def _programs(ceph: CephSettings, reactor: Any, in_thread: InThread) -> Programs:
    path = ":".join((*ceph.tools_path, PATH))
    return Programs(reactor, reactor, in_thread, {"PATH": path})


def _ceph(settings: AgentSettings, reactor: Any, in_thread: InThread) -> ICeph | None:
    """The Ceph that is reached from here; a simulated node has a simulated one."""
    tools = _tools(settings, reactor, in_thread)
    if tools is not None and settings.ceph is not None:
        osds = CephVolume(_programs(settings.ceph, reactor, in_thread).run)
        return Ceph(tools, osds, socket.gethostname())
    if settings.simulated is None:
        return None
    shared = _shared(settings, settings.simulated)
    host = settings.simulated.host or socket.gethostname()
    notes = CephNotes(FolderShelf(shared / "ceph"), FolderShelf(shared / "rbd"), host)
    return SimulatedCeph(notes, in_thread)


def _shared(settings: AgentSettings, simulated: Simulated) -> Path:
    """Where it is noted what all nodes have in common."""
    folder = simulated.shared_dir
    return Path(folder) if folder else Path(settings.state_dir) / "shared-volumes"


def _volumes(settings: AgentSettings, in_thread: InThread, tools: Tools | None) -> dict[str, IVolumeDriver]:
    folders = {"file": settings.file_storage_dir, "sharedfile": settings.shared_file_storage_dir}
    simulated, state = settings.simulated, Path(settings.state_dir)
    total = None if simulated is None else simulated.disk
    found: dict[str, IVolumeDriver] = {
        template: FileDriver(template, Path(folder), in_thread, total) for template, folder in folders.items()
    }
    real: dict[str, IVolumeDriver] = {} if tools is None else {"rbd": RbdDriver(tools, in_thread)}
    if simulated is None:
        return found | real
    made = simulated_drivers(
        state / "volumes",
        _shared(settings, simulated),
        simulated.disk,
        time.time,
        in_thread,
        simulated.volumes,
        simulated.devices,
    )
    return found | made | real


def _units(settings: AgentSettings, in_thread: InThread) -> dict[str, IStorageUnits]:
    folders = {"file": settings.file_storage_dir, "sharedfile": settings.shared_file_storage_dir}
    simulated, state = settings.simulated, Path(settings.state_dir)
    total = None if simulated is None else simulated.disk
    found: dict[str, IStorageUnits] = {k: FolderUnits(Path(f), in_thread, total) for k, f in folders.items()}
    if simulated is None:
        return found
    plain = Volumes("plain", FolderShelf(state / "volumes"), simulated.disk)
    groups = Groups(FolderShelf(state / "units"), simulated.volume_groups, plain.space, plain.sizes)
    return found | dict.fromkeys(("lvm-vg", "lvm-pv"), SimulatedUnits(groups, in_thread))


def _providers(settings: AgentSettings) -> Callable[[], tuple[ProviderSeen, ...]]:
    search = [*map(Path, settings.extstorage_search_path)]
    simulated = {} if settings.simulated is None else settings.simulated.providers
    return lambda: providers.discover(search, simulated)


def _certificates(settings: AgentSettings) -> Callable[[], tuple[CertificateSeen, ...]]:
    files = {"authority": settings.authority, "node": settings.certificate}
    return lambda: tuple(seen(role, Path(file)) for role, file in files.items())


def _powercycle(settings: AgentSettings, reactor: Any) -> Callable[[], None] | None:
    command = settings.powercycle_command
    if not command:
        return None
    return lambda: reactor.spawnProcess(ProcessProtocol(), command[0], list(command), env=None) and None


def _names(settings: AgentSettings, in_thread: InThread) -> INames:
    simulated = settings.simulated
    if simulated is None:
        return SystemNames(in_thread)
    return TableNames(simulated.hosts, simulated.answering)


def _networks(settings: AgentSettings, reactor: Any, in_thread: InThread) -> IVirtualNetworks:
    if settings.simulated is not None:
        return SimulatedNetworks(reactor, settings.simulated.bridges)
    tools = NetworkTools(folder=Path(settings.networks_dir), device=settings.network_device)
    return NodeNetworks(tools, reactor, in_thread)


def _identity(settings: AgentSettings) -> Identity:
    """Who the agent is; reads files and belongs in a thread."""
    files = (settings.authority, settings.certificate, settings.key)
    return Identity(*(Path(file).read_bytes() for file in files))


Cleaners = Sequence[Callable[[], Awaitable[None]]]


class Listening(Service):
    """
    The node at work, and its listener.

    :param cleaners: end what an agent before this one left behind, and are waited for.
    """

    _log = Logger()

    def __init__(self, settings: AgentSettings, node: Node, cleaners: Cleaners, reactor: Any) -> None:
        self._settings, self._node, self._cleaners, self._reactor = settings, node, cleaners, reactor
        self._port: IListeningPort | None = None
        self._opened: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin; an agent that cannot ends the process."""
        super().startService()
        self._opened = Deferred.fromCoroutine(self._open())
        self._opened.addErrback(self._failed)

    async def _open(self) -> None:
        settings = self._settings
        for clean in self._cleaners:
            await clean()
        await self._node.begin()
        identity = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _identity, settings)
        if not self.running:  # it was ended while it began
            return
        host, port = listen_address(settings.listen, "listen")
        kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
        endpoint = wrapServerTLS(agent_tls(identity), kind(self._reactor, port, interface=host))
        self._port = await endpoint.listen(make_site(self._node, self._reactor))
        self._log.info("the agent listens on {listen}", listen=settings.listen)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("the agent cannot run", failure)
        # Nothing was begun that has to be ended in order, and whoever started the agent is to see a failure.
        self._reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
        self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """End; machines run on."""
        super().stopService()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._port is not None:
            stopped: Awaitable[None] | None = self._port.stopListening()
            if stopped is not None:
                await stopped
        await self._node.end()


@attrs.frozen
class _Threads:
    """Where what blocks is done; servers of files or names that are away keep nobody else waiting."""

    general: InThread
    storage: Threads
    names: Threads


def _threads(reactor: Any) -> _Threads:
    def general(work: Any, *args: Any) -> Awaitable[Any]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

    return _Threads(general, Threads(reactor, "storage", 8), Threads(reactor, "names", 4))


@attrs.frozen
class _Runners:
    """What starts processes of its own."""

    os: OsRunner
    allocators: Allocators
    hooks: HookRunner
    streams: Streams
    fencing: Fencing

    def cleaners(self) -> Cleaners:
        """What ends those that an agent before this one left behind."""
        runners = (self.os, self.allocators, self.hooks, self.streams, self.fencing)
        return tuple(runner.clean for runner in runners)


def _runners(settings: AgentSettings, reactor: Any, in_thread: InThread) -> _Runners:
    state = Path(settings.state_dir)
    run = (reactor, reactor, in_thread)
    search = [*map(Path, settings.os_search_path), SHIPPED]
    credentials = Credentials(
        certificate=settings.certificate, key=settings.key, authority=settings.authority
    )
    host, _ = listen_address(settings.listen, "listen")
    return _Runners(
        os=OsRunner(
            search, Path(settings.log_dir), state / "scripts", reactor, reactor, time.time, in_thread
        ),
        allocators=Allocators([*map(Path, settings.iallocator_search_path)], state, *run),
        hooks=HookRunner(Path(settings.hooks_dir), state / "hooks", *run, watch_tree(reactor)),
        fencing=Fencing(Path(settings.fencing), state / "fencing", *run),
        streams=Streams(credentials, state, *run, "" if host == "::" else host, sockets=reactor),
    )


def _parts(
    settings: AgentSettings,
    reactor: Any,
    random: Random,
    threads: _Threads,
    runners: _Runners,
    history: History,
) -> Parts:
    state = Path(settings.state_dir)
    return Parts(
        hypervisors=_hypervisors(settings, reactor, random, threads.general),
        volumes=_volumes(settings, threads.storage.run, _tools(settings, reactor, threads.storage.run)),
        units=_units(settings, threads.storage.run),
        ceph=_ceph(settings, reactor, threads.storage.run),
        powercycle=_powercycle(settings, reactor),
        fencer=runners.fencing,
        os_runner=runners.os,
        allocators=runners.allocators,
        names=_names(settings, threads.names.run),
        hooks=runners.hooks,
        clock=reactor,
        now=time.time,
        in_thread=threads.general,
        state_dir=state,
        simulated=settings.simulated,
        migration=_migration(settings),
        streams=runners.streams,
        certificates=Certificates(state / "crypto", time.time, threads.general),
        exports=Exports(Path(settings.export_dir), threads.storage.run),
        providers=_providers(settings),
        certificates_seen=_certificates(settings),
        networks=_networks(settings, reactor, threads.general),
        logs=NodeLogs(settings.serial_dir, settings.log_file, history),
        failpoint=from_environment(),
    )


def make_agent(settings: AgentSettings, reactor: Any, random: Random) -> MultiService:
    """The whole agent, not started."""
    threads = _threads(reactor)
    runners = _runners(settings, reactor, threads.general)
    history = History()
    node = Node(_parts(settings, reactor, random, threads, runners, history), __version__)
    whole = MultiService()
    history.setServiceParent(whole)
    for pool in (threads.storage, threads.names):
        pool.setServiceParent(whole)
    if settings.log_file:
        LogToFile(Path(settings.log_file)).setServiceParent(whole)
    Listening(settings, node, runners.cleaners(), reactor).setServiceParent(whole)
    Notifier(reactor).setServiceParent(whole)
    return whole
