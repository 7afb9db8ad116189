"""
What is seen: values that nodes report.

Kept in memory with their age and never stored as truth.  The same structs travel in the node protocol.
Sizes are MiB.
"""

from typing import Literal

from msgspec import Struct, field

from twisted_rapi.model.virtual_network import DhcpLeaseRecord

DomainState = Literal["running", "paused", "shutdown", "crashed", "blocked"]


class DomainSeen(Struct, frozen=True, kw_only=True, gc=False):
    """
    A domain a hypervisor has on this node, running or not.

    :ivar boot: names this boot of the domain: a domain that was stopped and started has another one.
        Empty when it does not run.
    :ivar vnc_port: the TCP port its console answers on, 0 without one.
    :ivar devices: what the running guest has: uuids of disks, as far as a serial number holds them (20
        characters), and MAC addresses of NICs.
    """

    name: str
    uuid: str
    hypervisor: str
    state: DomainState
    memory: int = 0
    vcpus: int = 0
    boot: str = ""
    vnc_port: int = 0
    cpu_seconds: float = 0.0
    devices: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether the guest is there, be it paused."""
        return self.state in ("running", "paused", "blocked")


class OsSeen(Struct, frozen=True, kw_only=True):
    """
    An OS definition found on this node (behaviour.md §8).

    :ivar invalid: why it cannot be used; empty for a valid one.
    :ivar parameters: pairs of name and description.
    """

    name: str
    path: str
    invalid: str = ""
    api_versions: tuple[int, ...] = ()
    variants: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    trusted: bool = True


class ProviderSeen(Struct, frozen=True, kw_only=True):
    """
    A provider of external storage found on this node.

    :ivar invalid: why it cannot be used; empty for a valid one.
    :ivar parameters: pairs of name and description.
    """

    name: str
    path: str
    invalid: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


class CertificateSeen(Struct, frozen=True, kw_only=True):
    """
    A certificate that is in use here.

    :ivar role: ``authority``, ``node``; of the master's daemon also ``master``, ``API`` and two of etcd.
    :ivar expires: seconds since the epoch.
    :ivar invalid: why it cannot be read; empty for one that can.
    """

    role: str
    path: str
    expires: float = 0.0
    invalid: str = ""


class NodeReport(Struct, frozen=True, kw_only=True):
    """Everything a node says of itself at one moment; `domains` is keyed by (domain) name."""

    hypervisors: dict[str, str] = field(default_factory=dict)  # kind -> version text
    acceleration: str = ""  # "kvm", "tcg" or "simulated": how guests run here, with the reason in words
    memory_total: int = 0
    memory_free: int = 0
    memory_node: int = 0  # used by the node itself
    cpu_total: int = 0
    cpu_nodes: int = 1
    cpu_sockets: int = 1
    cpu_node: int = 0  # CPUs the node itself uses
    disk_total: int = 0
    disk_free: int = 0
    volume_groups: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> total and free MiB
    bridges: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()  # disk templates this node can keep
    oses: tuple[OsSeen, ...] = ()
    exports: tuple[str, ...] = ()  # names of the exports kept here
    providers: tuple[ProviderSeen, ...] = ()
    certificates: tuple[CertificateSeen, ...] = ()
    hooks: tuple[str, ...] = ()  # paths and phases that have scripts, such as instance-start-pre
    allocators: tuple[str, ...] = ()  # names of the allocator scripts found here
    boot_id: str = ""  # another one after each boot of the machine
    kernel: str = ""  # its release; `system`, `arch`: as `uname` has them
    system: str = ""
    arch: str = ""
    load: float = 0.0  # of the last minute
    domains: dict[str, DomainSeen] = field(default_factory=dict)
    software_version: str = ""
    clock: float = 0.0
    migration: dict[str, str] = field(default_factory=dict)  # kind -> uri other nodes reach a hypervisor by
    ceph: bool = False  # whether it reaches a Ceph cluster
    leases: tuple[DhcpLeaseRecord, ...] | None = None  # of the virtual networks; None: it serves none


class FullReport(Struct, frozen=True, kw_only=True, tag="full"):
    """The first line of a watch, and repeated periodically."""

    report: NodeReport


class DomainChanged(Struct, frozen=True, kw_only=True, tag="domain"):
    """A domain is as `seen` now; ``None`` when it is gone."""

    name: str
    seen: DomainSeen | None


class Heartbeat(Struct, frozen=True, kw_only=True, tag="alive"):
    """Nothing changed; the node is there.  `memory_free` and `disk_free` are as now."""

    memory_free: int = 0
    disk_free: int = 0


Sighting = FullReport | DomainChanged | Heartbeat
