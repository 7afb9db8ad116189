"""Nodes in memory: what steps do to them, and what they report, at once and without a clock."""

from collections.abc import Callable, Iterable

import attrs
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_rapi.agent.logs import last
from twisted_rapi.errors import NodeUnreachable, StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.records import Params
from twisted_rapi.model.seen import CertificateSeen, DomainSeen, NodeReport, OsSeen, ProviderSeen
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.model.virtual_network import DhcpLeaseRecord
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.storage.simulated import Volumes
from twisted_rapi.storage.simulated_ceph import CephNotes
from twisted_rapi.storage.simulated_driver import SHARED
from twisted_rapi.storage.units import Groups, Unit
from twisted_rapi.testing.node_ceph import ON_CEPH, on_ceph
from twisted_rapi.testing.node_disks import DISK, Shared, copies
from twisted_rapi.testing.node_exports import TRANSFERS, NodeExports
from twisted_rapi.testing.volumes import MemoryShelf

GROUPS = ("xenvg", "othervg")
TEMPLATES = ("file", "sharedfile", "plain", "drbd", *SHARED, "blockdev")
FOLDERS = {"file": "/files", "sharedfile": "/shared"}

NOOP = OsSeen(
    name="noop",
    path="/os/noop",
    api_versions=(20, 15, 10),
    variants=("default", "alt"),
    parameters=(("dhcp", "whether it asks for its address"),),
)


_LIVE = (
    *(steps.MigrateDomain, steps.LookAtDomain, steps.ShowGrowth, steps.ReadLog),
    *(steps.AttachDisk, steps.AttachNic, steps.DetachDisk, steps.DetachNic),
)


_ABOUT_MACHINE = (
    *(steps.Ping, steps.ResolveName, steps.ProbeAddress, steps.Powercycle, steps.FenceNode),
    *(steps.CheckAcls, steps.MakeNetworks, steps.ForgetLeases),
    *(steps.ListUnits, steps.ListVolumes, steps.ChangeUnit, steps.RepairUnit),
)


@attrs.define(eq=False)
class FakeNode(NodeExports):
    """
    One node.

    :ivar domains: what runs, by name.
    :ivar faults: per type of step, errors that the next ones end with.
    :ivar done: all steps that were carried out, in order.
    :ivar down: whether it answers nobody.
    :ivar unfenced: why others cannot switch it off; "" when they can.
    :ivar unit_shelf: what is noted of storage units; `missing`: addresses it does not have.
    :ivar hooks: by path and phase (``instance-start-pre``), what its scripts answer.
    :ivar hypervisors: versions by kind; `oses`: the OS definitions it has.
    :ivar bridges: those it has.
    :ivar hosts: addresses by the names that resolve; `aliases`: names that are others' by alias;
        `answering`: addresses at which somebody is.
    :ivar allocators: by name, what allocator scripts answer to a request.
    :ivar leases: those of the virtual networks it serves; ``None``: it serves none.
    :ivar ceph: whether it reaches the Ceph that the nodes have in common; `host`: its name there.
    :ivar logs: what guests have written on their serial ports, by name, and under "" the agent's own.
    :ivar providers: of external storage; `certificates`: those in use.
    """

    uuid: str = ""
    unit_shelf: MemoryShelf = attrs.field(factory=MemoryShelf)
    missing: set[str] = attrs.field(factory=set)
    domains: dict[str, DomainSeen] = attrs.field(factory=dict)
    faults: dict[type[Step], list[Exception]] = attrs.field(factory=dict)
    done: list[Step] = attrs.field(factory=list)
    down: bool = False
    unfenced: str = "nothing says how it is fenced"
    boots: int = 0
    hypervisors: dict[str, str] = attrs.field(factory=lambda: {"fake": "1"})
    oses: tuple[OsSeen, ...] = (NOOP,)
    bridges: tuple[str, ...] = ("br0",)
    providers: tuple[ProviderSeen, ...] = ()
    certificates: tuple[CertificateSeen, ...] = ()
    hosts: dict[str, str] = attrs.field(factory=dict)
    aliases: dict[str, str] = attrs.field(factory=dict)
    answering: set[str] = attrs.field(factory=set)
    allocators: dict[str, Callable[[Params], str]] = attrs.field(factory=dict)
    hooks: dict[str, tuple[tuple[str, bool, str], ...]] = attrs.field(factory=dict)
    leases: tuple[DhcpLeaseRecord, ...] | None = None
    ceph: bool = True
    host: str = "node"
    logs: dict[str, str] = attrs.field(factory=dict)

    def fork(self, shared: Shared) -> "FakeNode":
        """Another node that is as this one is now."""
        return FakeNode(**{**copies(self), "shared": shared})

    def report(self) -> NodeReport:
        """What it says of itself."""
        used = sum(d.memory for d in self.domains.values() if d.running)
        free = self.disk_free()
        return NodeReport(
            hypervisors=dict(self.hypervisors),
            acceleration="simulated",
            memory_total=32768,
            memory_free=32768 - used,
            cpu_total=16,
            kernel="6.1.0",
            system="GNU/Linux",
            arch="x86_64",
            disk_total=DISK,
            disk_free=free,
            volume_groups=dict.fromkeys(GROUPS, (DISK, free)),
            bridges=self.bridges,
            templates=TEMPLATES,
            oses=self.oses,
            hooks=tuple(sorted(self.hooks)),
            allocators=tuple(self.allocators),
            domains=dict(self.domains),
            migration=dict.fromkeys(self.hypervisors, self.uuid),
            exports=tuple(sorted(self.exports)),
            providers=self.providers,
            certificates=self.certificates,
            leases=self.leases,
            ceph=self.ceph,
        )

    def carry_out(self, step: Step) -> Outcome:
        """
        Do what the step asks for.

        :raises StepFailed: it cannot be done, or a fault was planted.
        """
        if self.faults.get(type(step)):
            raise self.faults[type(step)].pop(0)
        self.done.append(step)
        if isinstance(step, ON_CEPH):
            return on_ceph(CephNotes(self.shared.ceph, self.shared.shelves["rbd"], self.host), step)
        return self._do(step)

    def _do(self, step: Step) -> Outcome:
        match step:
            case steps.StartDomain():
                return self._start(step)
            case _ if isinstance(step, _ABOUT_MACHINE):
                return self._on_machine(step)
            case steps.StopDomain():
                self._stop(step)
            case steps.RunHooks():
                return Outcome(hooks=self.hooks.get(f"{step.path}-{step.phase}", ()))
            case steps.SetMemory() | steps.Delay() | steps.VerifyOs():
                pass
            case steps.RunAllocator():
                return self._allocate(step)
            case _ if isinstance(step, TRANSFERS):
                return self.on_transfers(step)
            case _ if isinstance(step, _LIVE):
                return self._on_guest(step)
            case steps.RunOs():
                for disk in step.domain.disks:
                    self.path_of(disk)
            case _:
                return self.on_disks(step)
        return Outcome()

    def _on_guest(self, step: Step) -> Outcome:
        match step:
            case steps.MigrateDomain():
                self._migrate(step)
            case steps.LookAtDomain():
                seen = self._domain(step.instance_uuid)
                return Outcome() if seen is None else Outcome(text=seen.state, boot=seen.boot)
            case steps.AttachDisk() | steps.AttachNic() | steps.DetachDisk() | steps.DetachNic():
                self._change_devices(step)
            case steps.ShowGrowth():
                self._check_devices(step.domain, step.disk)
            case steps.ReadLog():
                return Outcome(text=last(self.logs.get(step.instance, ""), step.lines))
        return Outcome()

    def _allocate(self, step: steps.RunAllocator) -> Outcome:
        if step.name not in self.allocators:
            raise StepFailed(f"iallocator '{step.name}' not found in the search path", "allocator")
        return Outcome(text=self.allocators[step.name](step.request))

    def _on_machine(self, step: Step) -> Outcome:
        match step:
            case steps.CheckAcls() | steps.MakeNetworks() | steps.ForgetLeases():
                return self._on_networks(step)
            case steps.Ping() if step.address in self.missing:
                raise StepFailed(f"the node does not have address {step.address}", "network")
            case steps.ResolveName():
                return self._resolve(step)
            case steps.ProbeAddress():
                return Outcome(text="yes" if step.address in self.answering else "")
            case steps.Powercycle():
                self.domains.clear()
                return Outcome(text=f"Reboot scheduled in {step.delay} seconds")
            case steps.FenceNode():
                return self._fence(step)
            case steps.ListUnits():
                return Outcome(units=self._units(step.kind))
            case steps.ListVolumes():
                return Outcome(units=self.groups().volumes(step.kind))
            case steps.ChangeUnit():
                self.groups().change(step.kind, step.name, step.allocatable)
            case steps.RepairUnit():
                self.groups().repair(step.kind, step.name)
        return Outcome()

    def _on_networks(self, step: steps.CheckAcls | steps.MakeNetworks | steps.ForgetLeases) -> Outcome:
        match step:
            case steps.CheckAcls():
                return Outcome(reason=next((a.rule for a in step.acls if "nonsense" in a.rule), ""))
            case steps.MakeNetworks():
                self.leases = (self.leases or step.leases) if step.serving else None
                own = (name for name in self.bridges if not name.startswith("vmbr"))
                self.bridges = (*own, *(f"vmbr{network.vni}" for network in step.networks))
            case steps.ForgetLeases() if self.leases is not None:
                gone = {(step.network, address) for address in step.addresses}
                self.leases = tuple(e for e in self.leases if (e.network, e.address) not in gone)
        return Outcome()

    def _fence(self, step: steps.FenceNode) -> Outcome:
        victim = self.shared.nodes[step.uuid]
        if victim.unfenced:
            raise StepFailed(victim.unfenced, "fencing")
        victim.down = True
        victim.domains.clear()
        return Outcome(text=f"{step.name} has no power")

    def _resolve(self, step: steps.ResolveName) -> Outcome:
        wanted = self.aliases.get(step.name, step.name)
        for name, address in self.hosts.items():
            if wanted in (name, name.partition(".")[0]):
                return Outcome(text=name, addresses=(address,))
        return Outcome(reason="Temporary failure in name resolution")

    def groups(self) -> Groups:
        """What there is of LVM."""
        plain = Volumes("plain", self.shelf, DISK)
        return Groups(self.unit_shelf, GROUPS, plain.space, plain.sizes)

    def _units(self, kind: str) -> tuple[Unit, ...]:
        if kind not in FOLDERS:
            return self.groups().listed(kind)
        used = sum(self.volumes.values())
        sizes = {"size": DISK, "used": used, "free": DISK - used, "allocatable": True}
        return ({"name": FOLDERS[kind], **sizes},)

    def _start(self, step: steps.StartDomain) -> Outcome:
        domain = step.domain
        for disk in domain.disks:
            self.path_of(disk)
        there = self.domains.get(domain.name)
        if there is None:
            self.boots += 1
            there = self.domains[domain.name] = DomainSeen(
                name=domain.name,
                uuid=domain.instance_uuid,
                hypervisor=domain.hypervisor,
                state="paused" if step.paused else "running",
                memory=domain.memory,
                vcpus=domain.vcpus,
                boot=f"boot{self.boots}",
                devices=(*map(steps.device_name, domain.disks), *map(steps.device_name, domain.nics)),
            )
        return Outcome(boot=there.boot)

    def _domain(self, uuid: str) -> DomainSeen | None:
        return next((d for d in self.domains.values() if d.uuid == uuid and d.running), None)

    def _migrate(self, step: steps.MigrateDomain) -> None:
        seen = self._domain(step.domain.instance_uuid)
        if seen is None:
            raise StepFailed(f"domain {step.domain.name} does not run", "hypervisor")
        target = self.shared.nodes[step.target.uri]
        if target.down or seen.name in target.domains:
            raise StepFailed(f"{step.target.uri} does not take {seen.name}", "hypervisor")
        for disk in step.domain.disks:
            if disk.template != "drbd":
                target.path_of(disk)
        target.boots += 1
        target.domains[seen.name] = replace(seen, boot=f"boot{target.boots}")
        del self.domains[seen.name]

    def _change_devices(
        self, step: steps.AttachDisk | steps.AttachNic | steps.DetachDisk | steps.DetachNic
    ) -> None:
        seen = self._domain(step.domain.instance_uuid)
        if seen is None:
            raise StepFailed(f"domain {step.domain.name} does not run", "hypervisor")
        device = step.disk if isinstance(step, steps.AttachDisk | steps.DetachDisk) else step.nic
        name = steps.device_name(device)
        kept = tuple(d for d in seen.devices if d != name)
        if isinstance(step, steps.AttachDisk):
            self.path_of(step.disk)
        added = (name,) if isinstance(step, steps.AttachDisk | steps.AttachNic) else ()
        self.domains[seen.name] = replace(seen, devices=(*kept, *added))

    def _check_devices(self, domain: steps.DomainSpec, disk: steps.DiskSpec) -> None:
        seen = self._domain(domain.instance_uuid)
        if seen is None or steps.device_name(disk) not in seen.devices:
            raise StepFailed(f"{domain.name} does not run with disk {disk.uuid}", "hypervisor")

    def _stop(self, step: steps.StopDomain) -> None:
        for name, domain in list(self.domains.items()):
            if domain.uuid == step.instance_uuid and step.boot in ("", domain.boot):
                del self.domains[name]


@implementer(INodes)
class FakeNodes:
    """
    `INodes` over `FakeNode`.

    :ivar is_offline: whether a node is marked offline; none is, unless somebody sets this who knows.
    """

    def __init__(self, uuids: Iterable[str]) -> None:
        self.shared = Shared()
        named = ((f"node{n}", uuid) for n, uuid in enumerate(uuids, 1))
        self.nodes = {uuid: FakeNode(uuid=uuid, shared=self.shared, host=name) for name, uuid in named}
        self.shared.nodes = self.nodes
        self._observers: list[Callable[[str], None]] = []
        self.held: list[Deferred[None]] | None = None
        self._draining: list[Deferred[None]] = []
        self.is_offline: Callable[[str], bool] = lambda _: False

    def become(self, other: "FakeNodes") -> None:
        """Be as other nodes are now."""
        self.shared = other.shared.fork()
        self.nodes = {uuid: node.fork(self.shared) for uuid, node in other.nodes.items()}
        self.shared.nodes = self.nodes

    @property
    def reports(self) -> dict[str, NodeReport]:
        """See `INodes.reports`."""
        up = {uuid: node for uuid, node in self.nodes.items() if not node.down}
        return {uuid: node.report() for uuid, node in up.items() if not self.is_offline(uuid)}

    def hold(self) -> None:
        """Let no step be carried out until `release`."""
        self.held = []

    def release(self) -> None:
        """Let the steps that are held be carried out."""
        held, self.held = self.held or [], None
        for d in held:
            if not d.called:
                d.callback(None)

    async def perform(self, node: str, step: Step, patience: float = 0.0, offline: bool = False) -> Outcome:
        """See `INodes.perform`."""
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        found = self.nodes.get(node)
        if found is None or found.down:
            raise NodeUnreachable("it is down")
        if self.is_offline(node) and not (offline or isinstance(step, steps.Ping)):
            raise NodeUnreachable("it is marked offline")
        outcome = found.carry_out(step)
        if isinstance(step, steps.ChangeCeph):
            self._drain()
        while isinstance(step, steps.AwaitDrained) and not outcome.text:
            changed: Deferred[None] = Deferred()
            self._draining.append(changed)
            await changed
            outcome = found.carry_out(step)
        self.changed(node)
        return outcome

    def _drain(self) -> None:
        """Something of Ceph has changed: who waits for an OSD looks again."""
        waiting, self._draining = self._draining, []
        for d in waiting:
            if not d.called:
                d.callback(None)

    def age(self, node: str) -> float | None:
        """See `INodes.age`."""
        return 0.0 if node in self.nodes and not self.nodes[node].down else None

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        """See `INodes.observe`."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def changed(self, node: str) -> None:
        """Tell that a node reports something new."""
        for observer in tuple(self._observers):
            observer(node)
