"""
Real machines, through libvirt.

Note [Threads].  libvirt's calls block, so they run in a small pool of threads of their own, each with a
deadline; its events come from a loop of its own in one more thread and are handed to the reactor.  Nothing
else in the package knows libvirt.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import to_xml
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.hypervisor.probe import acceleration
from twisted_rapi.model.seen import DomainSeen, DomainState
from twisted_rapi.model.steps import DomainSpec

CALL = 20.0  # seconds a call to libvirt may take
RETRY = 2.0  # seconds between attempts to connect
KIB = 1024

_STATES: Mapping[int, DomainState] = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "blocked",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "running",  # the guest is on its way down, and still there
    libvirt.VIR_DOMAIN_SHUTOFF: "shutdown",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
}
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)

Observer = Callable[[str, DomainSeen | None], None]


class _EventLoop:
    """libvirt's own event loop; registered once in a process, as libvirt wants it."""

    thread: Thread | None = None

    @classmethod
    def ensure(cls) -> None:
        """Have it run."""
        if cls.thread is None:
            libvirt.virEventRegisterDefaultImpl()
            libvirt.registerErrorHandler(lambda *_: None, None)
            cls.thread = Thread(target=cls._run, name="libvirt events", daemon=True)
            cls.thread.start()

    @staticmethod
    def _run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()


@implementer(IHypervisor)
class LibvirtHypervisor:
    """
    `IHypervisor` of kind ``kvm``.

    :param uri: of libvirt's daemon on this node.
    :param serial_dir: a folder for what guests write on their serial port; empty for a pseudo terminal.
    """

    kind = "kvm"
    _log = Logger()

    def __init__(self, uri: str, reactor: Any, serial_dir: str = "") -> None:
        self._uri, self._reactor, self._serial_dir = uri, reactor, serial_dir
        self._pool = ThreadPool(minthreads=0, maxthreads=6, name="libvirt")
        self._connection: Any = None
        self._callback: int | None = None
        self._observers: list[Observer] = []
        self._told: set[str] = set()  # the domains there were when last heard of
        self._stopped: dict[str, list[Deferred[None]]] = {}
        self._retry: IDelayedCall | None = None
        self._acceleration = ""
        self._probing = DeferredLock()
        self._boot_id = ""
        self._running = False

    # Connecting.

    async def start_service(self) -> None:
        """Connect; a libvirt that does not answer is tried again in the background."""
        _EventLoop.ensure()
        self._running = True
        self._pool.start()
        self._boot_id = (await self._in_thread(_host_boot))[:8]
        await self._connect()

    async def stop_service(self) -> None:
        """Disconnect; guests run on."""
        self._running = False
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._in_thread(_disconnect, connection, self._callback)
        # Stopping joins threads, and one of them may be hanging in a call: not on the reactor's.
        Thread(target=self._pool.stop, daemon=True).start()

    async def _connect(self) -> None:
        try:
            connection, self._callback = await self._in_thread(self._open)
        except StepFailed as e:
            self._log.error("libvirt at {uri}: {reason}", uri=self._uri, reason=e.text)
            self._connect_later()
            return
        self._connection = connection
        self._log.info("connected to libvirt at {uri}", uri=self._uri)

    def _connect_later(self) -> None:
        if self._running and (self._retry is None or not self._retry.active()):
            self._retry = self._reactor.callLater(RETRY, self._connect_again)

    def _connect_again(self) -> None:
        Deferred.fromCoroutine(self._reconnect()).addErrback(
            lambda f: self._log.failure("connecting to libvirt met a bug", f)
        )

    async def _reconnect(self) -> None:
        await self._connect()
        if self._connection is None:
            return
        try:
            found = await self.domains()
        except StepFailed as e:
            self._log.warn("libvirt at {uri}: {reason}", uri=self._uri, reason=e.text)
            self._connect_later()
            return
        for name in self._told - found.keys():
            self._tell(name, None)
        for name, seen in found.items():
            self._tell(name, seen)

    def _open(self) -> tuple[Any, int]:
        connection = libvirt.open(self._uri)
        connection.registerCloseCallback(self._closed_in_thread, None)
        if not self._uri.startswith("test:"):
            connection.setKeepAlive(5, 3)
        callback = connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._event_in_thread, None
        )
        return connection, callback

    def _closed_in_thread(self, connection: Any, reason: int, opaque: object) -> None:
        self._reactor.callFromThread(self._closed, connection)

    def _closed(self, connection: Any) -> None:
        if self._connection is connection:
            self._log.error("the connection to libvirt is lost")
            self._connection = None
            self._connect_later()

    # Calls.

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        d = deferToThreadPool(self._reactor, self._pool, work, *args)
        d.addTimeout(CALL, self._reactor)
        try:
            return await d
        except DeferredTimeout as e:
            raise StepFailed(f"libvirt did not answer within {CALL:g} s", "hypervisor") from e
        except libvirt.libvirtError as e:
            raise StepFailed(str(e), "hypervisor") from e

    async def _call(self, work: Callable[..., Any], *args: Any) -> Any:
        if self._connection is None:
            raise StepFailed("there is no connection to libvirt", "hypervisor")
        return await self._in_thread(work, self._connection, *args)

    async def version(self) -> str:
        """See `IHypervisor.version`."""
        number: int = await self._call(lambda connection: connection.getLibVersion())
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    async def acceleration(self) -> str:
        """See `IHypervisor.acceleration`; found out once."""
        async with self._probing:
            if not self._acceleration:
                self._acceleration = await acceleration(self._reactor, self._in_thread)
        return self._acceleration

    async def domains(self) -> Mapping[str, DomainSeen]:
        """See `IHypervisor.domains`."""
        found: dict[str, DomainSeen] = await self._call(self._look_at_all)
        self._told.update(found)
        return found

    async def start(self, domain: DomainSpec, paths: Sequence[str], paused: bool = False) -> DomainSeen:
        """See `IHypervisor.start`."""
        there: DomainSeen | None = await self._call(self._find, domain.instance_uuid)
        if there is not None and there.running:
            return there
        text = to_xml(domain, paths, await self._kind(), self._serial_dir)
        if self._uri.startswith("test:"):
            text = _for_test_driver(text)
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        seen: DomainSeen = await self._call(self._create, text, flags)
        self._tell(seen.name, seen)
        return seen

    async def _kind(self) -> Any:
        if self._uri.startswith("test:"):
            return "qemu"
        return "kvm" if await self.acceleration() == "kvm" else "qemu"

    async def stop(self, uuid: str, timeout: float, force: bool = False, boot: str = "") -> None:
        """See `IHypervisor.stop`."""
        there: DomainSeen | None = await self._call(self._find, uuid)
        if there is None or (boot and there.boot != boot):
            return
        if there.running:
            if not force and timeout > 0 and await self._shuts_down(uuid, timeout):
                pass
            else:
                await self._call(_destroy, uuid)
        await self._call(_undefine, uuid)
        self._tell(there.name, None)

    async def _shuts_down(self, uuid: str, timeout: float) -> bool:
        """Ask the guest, and wait until it is down; false when it is not in time."""
        stopped: Deferred[None] = Deferred()
        self._stopped.setdefault(uuid, []).append(stopped)
        stopped.addTimeout(timeout, self._reactor)
        try:
            if await self._call(_shutdown, uuid):
                await stopped
            return True
        except DeferredTimeout:
            return False
        finally:
            waiting = self._stopped.get(uuid, [])
            if stopped in waiting:
                waiting.remove(stopped)
            if not waiting:
                self._stopped.pop(uuid, None)
            if not stopped.called:
                stopped.callback(None)

    async def set_memory(self, uuid: str, memory: int) -> None:
        """See `IHypervisor.set_memory`."""
        await self._call(_set_memory, uuid, memory)

    # Events.

    def observe(self, observer: Observer) -> Callable[[], None]:
        """See `IHypervisor.observe`."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def _tell(self, name: str, seen: DomainSeen | None) -> None:
        if seen is None:
            self._told.discard(name)
        else:
            self._told.add(name)
        for observer in tuple(self._observers):
            observer(name, seen)

    def _event_in_thread(self, connection: Any, domain: Any, event: int, detail: int, opaque: object) -> None:
        self._reactor.callFromThread(self._event, domain.name(), domain.UUIDString(), event)

    def _event(self, name: str, uuid: str, event: int) -> None:
        if event in (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED):
            for waiting in self._stopped.pop(uuid, []):
                if not waiting.called:
                    waiting.callback(None)
        if event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            self._tell(name, None)
            return
        d = Deferred.fromCoroutine(self._look_and_tell(name, uuid))
        d.addErrback(lambda f: self._log.failure("an event could not be told", f))

    async def _look_and_tell(self, name: str, uuid: str) -> None:
        try:
            self._tell(name, await self._call(self._find, uuid))
        except StepFailed as e:
            self._log.warn("{name} could not be looked at: {reason}", name=name, reason=e.text)

    # In threads.

    def _look_at_all(self, connection: Any) -> dict[str, DomainSeen]:
        found = (self._seen(domain) for domain in connection.listAllDomains())
        return {seen.name: seen for seen in found if seen is not None}

    def _find(self, connection: Any, uuid: str) -> DomainSeen | None:
        domain = _lookup(connection, uuid)
        return None if domain is None else self._seen(domain)

    def _seen(self, domain: Any) -> DomainSeen | None:
        """The domain as it is; ``None`` for one that went away meanwhile."""
        try:
            state, _, memory, vcpus, nanoseconds = domain.info()
            running = bool(domain.isActive())
            return DomainSeen(
                name=domain.name(),
                uuid=domain.UUIDString(),
                hypervisor=self.kind,
                state=_STATES.get(state, "shutdown"),
                memory=memory // KIB,
                vcpus=vcpus,
                boot=f"{self._boot_id}-{domain.ID()}" if running else "",
                vnc_port=_vnc_port(domain.XMLDesc(0)) if running else 0,
                cpu_seconds=nanoseconds / 1e9,
            )
        except libvirt.libvirtError as e:
            if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def _create(self, connection: Any, text: str, flags: int) -> DomainSeen:
        domain = connection.defineXML(text)
        try:
            domain.createWithFlags(flags)
        except libvirt.libvirtError:
            _undefine(connection, domain.UUIDString())
            raise
        seen = self._seen(domain)
        assert seen is not None, "it was made a moment ago"
        return seen


# In threads, too.


def _lookup(connection: Any, uuid: str) -> Any:
    try:
        return connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as e:
        if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _shutdown(connection: Any, uuid: str) -> bool:
    """Ask the guest to stop; false when it has already."""
    domain = _lookup(connection, uuid)
    if domain is None or not domain.isActive():
        return False
    domain.shutdown()
    return bool(domain.isActive())


def _destroy(connection: Any, uuid: str) -> None:
    domain = _lookup(connection, uuid)
    if domain is not None and domain.isActive():
        try:
            domain.destroy()
        except libvirt.libvirtError as e:
            if e.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise


def _undefine(connection: Any, uuid: str) -> None:
    domain = _lookup(connection, uuid)
    if domain is None or not domain.isPersistent():
        return
    try:
        domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as e:
        if e.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
            raise
        domain.undefine()


def _set_memory(connection: Any, uuid: str, memory: int) -> None:
    domain = _lookup(connection, uuid)
    if domain is None:
        raise StepFailed(f"there is no domain {uuid}", "hypervisor")
    domain.setMemoryFlags(memory * KIB, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _disconnect(connection: Any, callback: int | None) -> None:
    try:
        connection.unregisterCloseCallback()
        if callback is not None:
            connection.domainEventDeregisterAny(callback)
        connection.close()
    except libvirt.libvirtError:
        return  # it was lost already


def _host_boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{int(time.time() - time.monotonic()):08x}"


def _vnc_port(text: str) -> int:
    for graphics in ET.fromstring(text).iter("graphics"):  # noqa: S314 -- libvirt wrote it
        if graphics.get("type") == "vnc":
            return max(0, int(graphics.get("port", "0")))
    return 0


def _for_test_driver(text: str) -> str:
    """The test driver has domains of its own type, which needs no devices."""
    root = ET.fromstring(text)  # noqa: S314 -- we wrote it
    root.set("type", "test")
    devices = root.find("devices")
    if devices is not None:
        root.remove(devices)
    return ET.tostring(root, encoding="unicode")
