"""Real machines, through libvirt; see Note [Threads] in `twisted_rapi.hypervisor.libvirt_link`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor import libvirt_calls as calls
from twisted_rapi.hypervisor import libvirt_devices as devices
from twisted_rapi.hypervisor import routes
from twisted_rapi.hypervisor.domain_xml import to_xml
from twisted_rapi.hypervisor.host import look_up
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.hypervisor.libvirt_link import Link
from twisted_rapi.hypervisor.observers import Observer, Observers
from twisted_rapi.hypervisor.probe import acceleration
from twisted_rapi.model.kvm_limits import remarks
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import DiskSpec, DomainSpec, MigrationTarget, NicSpec

MIGRATION = 7000.0  # seconds a migration may take
MIGRATION_LOOK = 1.0  # seconds between looks at one that somebody else began
NO_SECRETS: Mapping[str, str] = {}
GRACE = 10.0  # seconds a soft stop goes on without a connection


@implementer(IHypervisor)
class LibvirtHypervisor:
    """
    `IHypervisor` of kind ``kvm``.

    :param uri: of libvirt's daemon on this node.
    :param serial_dir: a folder for what guests write on their serial port; empty for a pseudo terminal.
    :param secrets: uuids of those that libvirt keeps for users of Ceph, by user.
    :param link: further arguments of `twisted_rapi.hypervisor.libvirt_link.Link`.
    """

    kind = "kvm"
    _log = Logger()

    def __init__(
        self,
        uri: str,
        reactor: Any,
        serial_dir: str = "",
        secrets: Mapping[str, str] = NO_SECRETS,
        **link: Any,
    ) -> None:
        self._reactor, self._serial_dir, self._secrets = reactor, serial_dir, secrets
        self._link = Link(uri, reactor, self, **link)
        self._test_driver = uri.startswith("test:")
        self._observers = Observers()
        self._told: set[str] = set()  # the domains there were when last heard of
        self._stopping: dict[str, list[Deferred[None]]] = {}
        self._grace: IDelayedCall | None = None
        self._acceleration = ""
        self._probing = DeferredLock()
        self._boot_id = ""

    async def start_service(self) -> None:
        """See `IHypervisor.start_service`."""
        await self._link.open()
        self._boot_id = await self._link.in_thread(calls.host_boot)

    async def stop_service(self) -> None:
        """See `IHypervisor.stop_service`."""
        self._give_up("the agent ends")
        await self._link.close()

    async def version(self) -> str:
        """See `IHypervisor.version`."""
        number: int = await self._link.call(lambda connection: connection.getLibVersion())
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    async def acceleration(self) -> str:
        """See `IHypervisor.acceleration`; found out once."""
        async with self._probing:
            if not self._acceleration:
                self._acceleration = await acceleration(self._reactor, self._link.in_thread)
        return self._acceleration

    async def domains(self) -> Mapping[str, DomainSeen]:
        """See `IHypervisor.domains`."""
        found: dict[str, DomainSeen] = await self._link.call(calls.look_at_all, self._boot_id, self.kind)
        self._told.update(found)
        return found

    async def _find(self, uuid: str) -> DomainSeen | None:
        found: DomainSeen | None = await self._link.call(calls.find, uuid, self._boot_id, self.kind)
        return found

    async def start(self, domain: DomainSpec, paths: Sequence[str], paused: bool = False) -> DomainSeen:
        """See `IHypervisor.start`."""
        there = await self._find(domain.instance_uuid)
        if there is not None and there.running:
            await self._link.in_thread(routes.set_up, domain.nics)  # who started it may not have come so far
            return there
        named = await self._link.in_thread(look_up, domain.hvparams)
        found = replace(named, secrets=self._secrets)
        text = to_xml(domain, paths, await self._kind(), self._serial_dir, found)
        if self._test_driver:
            text = _for_test_driver(text)
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        seen: DomainSeen = await self._link.call(calls.create, text, flags, self._boot_id, self.kind)
        try:
            await self._link.in_thread(routes.set_up, domain.nics)
        except StepFailed:
            await self._link.call(calls.end, domain.instance_uuid, self._boot_id, seen.boot)
            raise
        self._tell(seen.name, seen)
        return seen

    async def _kind(self) -> Any:
        if self._test_driver:
            return "qemu"
        return "kvm" if await self.acceleration() == "kvm" else "qemu"

    async def stop(self, uuid: str, timeout: float, force: bool = False, boot: str = "") -> None:
        """See `IHypervisor.stop`."""
        there = await self._find(uuid)
        if there is None or (boot and there.boot != boot):
            return
        if there.running and not force and timeout > 0:
            await self._shut_down(uuid, timeout)
        if await self._link.call(calls.end, uuid, self._boot_id, boot):
            self._tell(there.name, None)

    async def _shut_down(self, uuid: str, timeout: float) -> None:
        """Ask the guest, and wait until it is down or the time is over."""
        stopped: Deferred[None] = Deferred()
        self._stopping.setdefault(uuid, []).append(stopped)
        stopped.addTimeout(timeout, self._reactor)
        try:
            if await self._link.call(calls.ask_to_stop, uuid):
                await stopped
        except DeferredTimeout:
            return
        finally:
            waiting = self._stopping.get(uuid, [])
            if stopped in waiting:
                waiting.remove(stopped)
            if not waiting:
                self._stopping.pop(uuid, None)
            if not stopped.called:
                stopped.callback(None)
            stopped.addErrback(lambda _: None)  # nobody waits any more

    async def set_memory(self, uuid: str, memory: int) -> None:
        """See `IHypervisor.set_memory`."""
        await self._link.call(calls.set_memory, uuid, memory)

    async def attach(self, domain: DomainSpec, device: DiskSpec | NicSpec, path: str = "") -> None:
        """See `IHypervisor.attach`."""
        await self._link.call(devices.attach, domain, device, path, self._secrets)
        if isinstance(device, NicSpec):
            await self._link.in_thread(routes.set_up, (device,))
        await self._changed(domain)

    async def detach(self, domain: DomainSpec, device: DiskSpec | NicSpec) -> None:
        """See `IHypervisor.detach`."""
        await self._link.call(devices.detach, domain, device)
        await self._changed(domain)

    async def show_growth(self, domain: DomainSpec, disk: DiskSpec) -> None:
        """See `IHypervisor.show_growth`."""
        await self._link.call(devices.show_growth, domain, disk)

    async def connect(self, bridges: Collection[str]) -> None:
        """See `IHypervisor.connect`."""
        found = await self._link.call(calls.ports, bridges)
        await self._link.in_thread(routes.connect, found)

    async def migrate(self, domain: DomainSpec, target: MigrationTarget) -> None:
        """See `IHypervisor.migrate`; by libvirt from node to node."""
        await self.await_migration(domain.instance_uuid)
        await self._link.call(devices.migrate, domain, target, patience=MIGRATION)
        self._tell(domain.name, None)

    async def await_migration(self, uuid: str) -> None:
        """See `IHypervisor.await_migration`."""
        given_up = self._reactor.seconds() + MIGRATION
        while await self._link.call(devices.is_leaving, uuid):
            if self._reactor.seconds() > given_up:
                raise StepFailed(f"domain {uuid} is still being migrated", "hypervisor")
            # It has to be asked again: libvirt tells of a guest that has gone, but not of a failure.
            await deferLater(self._reactor, MIGRATION_LOOK)

    async def _changed(self, domain: DomainSpec) -> None:
        """Devices come and go without a lifecycle event."""
        self._tell(domain.name, await self._find(domain.instance_uuid))

    def remarks(self, domain: DomainSpec) -> tuple[str, ...]:
        """See `IHypervisor.remarks`."""
        return remarks(self.kind, domain.hvparams)

    # What is seen.

    def observe(self, observer: Observer) -> Callable[[], None]:
        """See `IHypervisor.observe`."""
        return self._observers.add(observer)

    def _tell(self, name: str, seen: DomainSeen | None) -> None:
        if seen is None:
            self._told.discard(name)
        else:
            self._told.add(name)
        self._observers.tell(name, seen)

    def happened(self, name: str, uuid: str, event: int) -> None:
        """See `twisted_rapi.hypervisor.libvirt_link.LinkUser`."""
        if event in (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED):
            self._has_stopped(uuid)
        if event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            self._tell(name, None)
            return
        d = Deferred.fromCoroutine(self._look_and_tell(name, uuid))
        d.addErrback(lambda f: self._log.failure("an event could not be told", f))

    async def _look_and_tell(self, name: str, uuid: str) -> None:
        try:
            self._tell(name, await self._find(uuid))
        except StepFailed as e:
            self._log.warn("{name} could not be looked at: {reason}", name=name, reason=e.text)

    def _has_stopped(self, uuid: str) -> None:
        for waiting in self._stopping.pop(uuid, []):
            if not waiting.called:
                waiting.callback(None)

    def lost(self) -> None:
        """See `twisted_rapi.hypervisor.libvirt_link.LinkUser`; soft stops wait no longer than `GRACE`."""
        if self._grace is None or not self._grace.active():
            reason = "the connection to libvirt was lost while the guest was shutting down"
            self._grace = self._reactor.callLater(GRACE, self._give_up, reason)

    def _give_up(self, reason: str) -> None:
        if self._grace is not None and self._grace.active():
            self._grace.cancel()
        stopping, self._stopping = self._stopping, {}
        for waiting in (d for many in stopping.values() for d in many if not d.called):
            waiting.errback(StepFailed(reason, "hypervisor"))

    async def found_again(self) -> None:
        """See `twisted_rapi.hypervisor.libvirt_link.LinkUser`."""
        found = await self.domains()
        if self._grace is not None and self._grace.active():
            self._grace.cancel()
        for name in self._told - found.keys():
            self._tell(name, None)
        for name, seen in found.items():
            self._tell(name, seen)
        for uuid in self._stopping.keys() - {seen.uuid for seen in found.values() if seen.running}:
            self._has_stopped(uuid)


def _for_test_driver(text: str) -> str:
    """The test driver has domains of its own type, which needs no devices."""
    root = ET.fromstring(text)  # noqa: S314 -- we wrote it
    root.set("type", "test")
    devices = root.find("devices")
    if devices is not None:
        root.remove(devices)
    return ET.tostring(root, encoding="unicode")
