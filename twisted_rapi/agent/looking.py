"""
What is known of a node, by looking at it and by what its parts tell.

Note [What hangs is not waited for].  A file system whose server is gone keeps every thread that asks it for
as long as the server is away.  So each thing that is read of one (the sizes of the disk and of the volume
groups, OS definitions, hooks, exports, allocators, providers, certificates) is read once at a time, by nobody
else than `Sight`, apart from the others, and neither a look nor a heartbeat waits for it for long: what was
read last has to do.
"""

from collections.abc import Awaitable, Callable

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from twisted_rapi.agent import facts
from twisted_rapi.agent.once import Once
from twisted_rapi.agent.parts import Parts
from twisted_rapi.errors import RapiError, StepFailed
from twisted_rapi.model.seen import (
    CertificateSeen,
    DomainSeen,
    Heartbeat,
    NodeReport,
    OsSeen,
    ProviderSeen,
)
from twisted_rapi.model.virtual_network import DhcpLeaseRecord

PATIENCE = 1.0  # seconds a look waits for what is read of files and disks
FIRST_PATIENCE = 20.0  # the same when an agent begins: nothing was read before


class Sight:
    """What is seen of a node; nothing before `begin`."""

    _log = Logger()

    def __init__(self, parts: Parts, version: str) -> None:
        self._parts, self._version = parts, version
        self._known: dict[str, DomainSeen] = {}
        self._changes: dict[str, DomainSeen | None] | None = None  # what was told since a look began
        self._oses: tuple[OsSeen, ...] = ()
        self._hooks: tuple[str, ...] = ()
        self._exports: tuple[str, ...] = ()
        self._leases: tuple[DhcpLeaseRecord, ...] | None = None
        self._bridges: tuple[str, ...] | None = None  # where something else than the facts tells
        self._allocators: tuple[str, ...] = ()
        self._providers: tuple[ProviderSeen, ...] = ()
        self._certificates: tuple[CertificateSeen, ...] = ()
        self._acceleration: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._space = self._groups = (0, 0)
        self._facts: facts.Facts | None = None
        self._looking = Once(self._look_safely, parts.clock)
        self._measuring = Once(self._measure, parts.clock)
        sizes = {"the disk": self._measure_disk, "volume groups": self._measure_groups}
        files = {
            "OS definitions": self._find_oses,
            "hooks": self._find_hooks,
            "exports": self.find_exports,
            "networks": self.find_networks,
            "allocators": self._find_allocators,
            "providers of external storage": self._find_providers,
            "certificates": self._find_certificates,
        }
        self._sizing = [self._apart(what, read) for what, read in sizes.items()]
        self._reading = [*(self._apart(what, read) for what, read in files.items()), *self._sizing]

    async def begin(self) -> None:
        """
        Look for the first time.

        :raises RapiError: the node cannot be looked at.
        """
        await self._look(FIRST_PATIENCE)

    async def look(self, patience: float | None = None) -> bool:
        """Look at everything, for so many seconds at most; answers whether that was enough.  Never raises."""
        return await self._looking.done(patience)

    def measure(self) -> None:
        """Have memory and disk measured; nobody waits for it."""
        self._measuring.begin()

    def note(self, name: str, seen: DomainSeen | None) -> bool:
        """A domain is as `seen` now, ``None``: gone; answers whether that is new."""
        if self._changes is not None:
            self._changes[name] = seen
        if self._known.get(name) == seen:
            return False
        if seen is None:
            self._known.pop(name, None)
        else:
            self._known[name] = seen
        return True

    async def domain(self, name: str) -> DomainSeen | None:
        """A domain as its hypervisor has it."""
        for hypervisor in self._parts.hypervisors.values():
            found = await hypervisor.domains()
            if name in found:
                return found[name]
        return None

    async def find_acceleration(self, kind: str) -> None:
        """Find out how guests run here, which may take a while."""
        self._acceleration[kind] = await self._parts.hypervisors[kind].acceleration()
        self._log.info("{kind} runs guests by {how}", kind=kind, how=self._acceleration[kind])

    async def _look_safely(self) -> None:
        try:
            await self._look(PATIENCE)
        except RapiError as e:
            self._log.error("the node could not be looked at: {reason}", reason=str(e))
        except Exception:  # noqa: BLE001 -- a bug here must not end the reports
            self._log.failure("looking at the node met a bug")

    def _apart(self, what: str, read: Callable[[], Awaitable[None]]) -> Once:
        """Something that is read by itself; where that fails what was read last has to do."""

        async def safely() -> None:
            try:
                await read()
            except RapiError as e:
                self._log.warn("{what} could not be read: {reason}", what=what, reason=str(e))
            except Exception:  # noqa: BLE001 -- as above
                self._log.failure("reading {what} met a bug", what=what)

        return Once(safely, self._parts.clock)

    async def _look(self, patience: float) -> None:
        changes: dict[str, DomainSeen | None] = {}
        self._changes = changes
        try:
            found = await self._domains()
        finally:
            self._changes = None
        # What was told meanwhile may be newer than what was read.
        merged: dict[str, DomainSeen | None] = {**found, **changes}
        self._known = {name: seen for name, seen in merged.items() if seen is not None}
        if self._parts.simulated is None:
            self._facts = await self._parts.in_thread(facts.read)
        await DeferredList([Deferred.fromCoroutine(once.done(patience)) for once in self._reading])

    async def _find_oses(self) -> None:
        self._oses = await self._parts.os_runner.discover()

    async def _find_hooks(self) -> None:
        if self._parts.hooks is not None:
            self._hooks = await self._parts.hooks.folders()

    async def _find_allocators(self) -> None:
        self._allocators = await self._parts.allocators.names()

    async def _find_providers(self) -> None:
        self._providers = await self._parts.in_thread(self._parts.providers)

    async def _find_certificates(self) -> None:
        self._certificates = await self._parts.in_thread(self._parts.certificates_seen)

    async def find_networks(self) -> None:
        """See which bridges there are, and the leases of the networks that are served here."""
        if self._parts.networks is not None:
            self._bridges = await self._parts.networks.bridges()
            self._leases = await self._parts.networks.leases()

    async def find_exports(self) -> None:
        """See which exports there are; where that fails it is as it was."""
        if self._parts.exports is not None:
            try:
                self._exports = await self._parts.exports.names()
            except StepFailed as e:
                self._log.warn("exports could not be looked at: {reason}", reason=e.text)

    async def _domains(self) -> dict[str, DomainSeen]:
        """All there are; those of a hypervisor that does not answer are as they were."""
        domains: dict[str, DomainSeen] = {}
        for kind, hypervisor in self._parts.hypervisors.items():
            try:
                domains.update(await hypervisor.domains())
                self._versions[kind] = await hypervisor.version()
            except StepFailed as e:
                self._versions.pop(kind, None)
                domains.update({n: seen for n, seen in self._known.items() if seen.hypervisor == kind})
                self._log.warn("hypervisor {kind}: {reason}", kind=kind, reason=e.text)
        return domains

    async def _measure(self) -> None:
        """Bring up to date what heartbeats tell."""
        for once in self._sizing:
            once.begin()
        if self._facts is None:
            return
        try:
            total, free = await self._parts.in_thread(facts.memory)
        except Exception:  # noqa: BLE001 -- the sizes of before have to do
            self._log.failure("the memory could not be measured")
        else:
            self._facts = attrs.evolve(self._facts, memory_total=total, memory_free=free, load=facts.load())

    async def _measure_disk(self) -> None:
        first = next(iter(self._parts.volumes.values()), None)
        self._space = (0, 0) if first is None else await first.space()

    async def _measure_groups(self) -> None:
        if "plain" in self._parts.volumes:
            self._groups = await self._parts.volumes["plain"].space()

    # What is told.

    def _current(self) -> facts.Facts:
        if self._parts.simulated is not None:
            return facts.simulated(self._parts.simulated, self._guests())
        assert self._facts is not None, "looked before"
        return self._facts

    def _disk(self) -> tuple[int, int]:
        if self._parts.simulated is None:
            return self._space
        # Its volume groups are parts of its one disk.
        total, grouped = self._parts.simulated.disk, self._groups[0] - self._groups[1]
        return total, max(0, self._space[1] - grouped)

    def _guests(self) -> int:
        return sum(d.memory for d in self._known.values() if d.running)

    def _volume_groups(self) -> dict[str, tuple[int, int]]:
        simulated = self._parts.simulated
        return {} if simulated is None else dict.fromkeys(simulated.volume_groups, self._groups)

    def heartbeat(self) -> Heartbeat:
        """What is told each second."""
        return Heartbeat(memory_free=self._current().memory_free, disk_free=self._disk()[1])

    def report(self) -> NodeReport:
        """Everything, as it is known."""
        now, disk = self._current(), self._disk()
        return NodeReport(
            hypervisors=dict(self._versions),
            acceleration="; ".join(f"{kind}: {text}" for kind, text in self._acceleration.items()),
            memory_total=now.memory_total,
            memory_free=now.memory_free,
            memory_node=max(0, now.memory_total - now.memory_free - self._guests()),
            cpu_total=now.cpus,
            cpu_nodes=now.numa_nodes,
            cpu_sockets=now.sockets,
            disk_total=disk[0],
            disk_free=disk[1],
            volume_groups=self._volume_groups(),
            bridges=now.bridges if self._bridges is None else self._bridges,
            boot_id=now.boot_id,
            kernel=now.uname[0],
            system=now.uname[1],
            arch=now.uname[2],
            load=now.load,
            templates=tuple(self._parts.volumes),
            oses=self._oses,
            hooks=self._hooks,
            allocators=self._allocators,
            domains=dict(self._known),
            software_version=self._version,
            clock=self._parts.now(),
            migration=dict(self._parts.migration),
            exports=self._exports,
            leases=self._leases,
            providers=self._providers,
            certificates=self._certificates,
            ceph=self._parts.ceph is not None,
        )
