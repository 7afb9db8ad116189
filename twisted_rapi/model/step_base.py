"""What steps are made of."""

from typing import Any, Literal

from msgspec import Struct, field

from twisted_rapi.model.records import Params


class Step(Struct, frozen=True, kw_only=True, tag_field="step", omit_defaults=True):
    """
    Something one node is asked to do.

    :ivar instance: name of the instance it is about, empty for the node itself; steps of one instance are
        carried out one at a time.
    """

    instance: str


class DiskSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    A disk as a node needs to know it.

    What `logical_id` and `children` are says `twisted_rapi.model.records.DiskRecord`.

    :ivar node: uuid of the node it is meant for; only a mirrored disk is another one on each node.
    :ivar params: the parameters of its template, filled in.
    :ivar serial: grows as the disk changes: a node tells by it what comes too late.
    """

    uuid: str
    index: int
    template: str
    size: int  # MiB
    logical_id: tuple[Any, ...] = ()
    mode: Literal["rw", "ro"] = "rw"
    name: str | None = None
    params: Params = field(default_factory=dict)
    node: str = ""
    serial: int = 1
    children: tuple["DiskSpec", ...] = ()


class NicSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A NIC with its effective parameters."""

    uuid: str
    mac: str
    mode: str = "bridged"
    link: str = ""
    vlan: str = ""
    ip: str | None = None
    name: str | None = None
    network: Params | None = None


class DomainSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    A machine with all parameters filled in.  Memory is MiB.

    :ivar instance_uuid: also the domain's uuid.
    :ivar console_port: the TCP port for VNC or SPICE, as allotted to the instance; ``None`` without one.
    :ivar base: the XML that says of it what these fields do not; empty: nothing does.
    """

    name: str
    instance_uuid: str
    hypervisor: str
    memory: int
    minmem: int
    vcpus: int
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NicSpec, ...] = ()
    hvparams: Params = field(default_factory=dict)
    beparams: Params = field(default_factory=dict)
    console_port: int | None = None
    os: str = ""
    osparams: Params = field(default_factory=dict)
    primary_node: str = ""  # name
    secondary_nodes: tuple[str, ...] = ()  # names
    tags: tuple[str, ...] = ()
    ctime: float = 0.0
    mtime: float = 0.0
    base: str = ""


def device_name(device: DiskSpec | NicSpec) -> str:
    """What `twisted_rapi.model.seen.DomainSeen.devices` has for it."""
    return device.uuid[:20] if isinstance(device, DiskSpec) else device.mac


class MigrationTarget(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Where a guest goes, and how.

    :ivar uri: of the target's hypervisor, as the source reaches it (``qemu+tls://node2/system``; the
        folder of the ``fake`` one).
    :ivar address: of the target, for the guest's memory; empty: the hypervisor's choice.
    :ivar port: there; 0: the first free one of the target's range.
    :ivar live: the guest runs on meanwhile.
    :ivar bandwidth: MiB/s at most, 0 without limit; `downtime`: ms the guest may stand still, 0: as usual.
    :ivar capabilities: of the hypervisor's own, such as ``auto-converge``.
    """

    uri: str
    address: str = ""
    port: int = 0
    live: bool = True
    bandwidth: int = 0
    downtime: int = 0
    capabilities: tuple[str, ...] = ()
