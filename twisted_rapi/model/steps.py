"""
Steps: what the master asks a node to do, as values.

They are compared in tests, printed in logs, kept in leftovers and sent over RPC; one definition serves
master and agent.  Every step may be sent again: carrying it out twice ends as carrying it out once.
"""

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


class CreateVolume(Step, frozen=True, kw_only=True, tag="volume.create", omit_defaults=True):
    """
    Make a disk's volume.  One that exists with this size is kept, unless `fresh` asks for an empty one.

    Outcome ``path``: where it is on this node.
    """

    disk: DiskSpec
    fresh: bool = False


class DeleteVolume(Step, frozen=True, kw_only=True, tag="volume.delete", omit_defaults=True):
    """Remove a disk's volume; one that is not there is well."""

    disk: DiskSpec


class GrowVolume(Step, frozen=True, kw_only=True, tag="volume.grow", omit_defaults=True):
    """Make a disk's volume `disk.size` MiB large; one that is at least as large is kept."""

    disk: DiskSpec


class ActivateVolume(Step, frozen=True, kw_only=True, tag="volume.activate", omit_defaults=True):
    """
    Make a disk's volume usable here.  Outcome ``path``.

    The rest is about mirrored disks, which are connected to their other side as `disk` names it.

    :ivar ignore_size: do not compare its size.
    :ivar primary: the guest is to run here; ``False``: this side only follows the other.
    :ivar force: use this side's data although it may be old, and fill the other from it.
    """

    disk: DiskSpec
    ignore_size: bool = False
    primary: bool = True
    force: bool = False


class DeactivateVolume(Step, frozen=True, kw_only=True, tag="volume.deactivate", omit_defaults=True):
    """Stop using a disk's volume here."""

    disk: DiskSpec


class MoveVolume(Step, frozen=True, kw_only=True, tag="volume.move", omit_defaults=True):
    """Give a volume the address `to`, as when its instance is renamed.  Done already is well."""

    disk: DiskSpec
    to: tuple[Any, ...]


class RenewVolume(Step, frozen=True, kw_only=True, tag="volume.renew", omit_defaults=True):
    """
    Put new, empty storage below this node's side of a mirrored disk and fill it from the other side.

    :ivar token: names this renewal; one that was carried out before is not repeated.
    """

    disk: DiskSpec
    token: str


class AdoptVolume(Step, frozen=True, kw_only=True, tag="volume.adopt", omit_defaults=True):
    """
    Make this node's side of a mirrored disk from the ``plain`` volume that is its data volume.

    Its data is current; done already is well.
    """

    disk: DiskSpec


class ReleaseVolume(Step, frozen=True, kw_only=True, tag="volume.release", omit_defaults=True):
    """End this node's side of a mirrored disk but keep its data volume; done already is well."""

    disk: DiskSpec


class AwaitSync(Step, frozen=True, kw_only=True, tag="volume.sync", omit_defaults=True):
    """
    Wait until no disk is being filled any more, but at most so many seconds.  Nothing else waits for it.

    Outcome ``disks`` as of `InspectDisks`, at the end.
    """

    disks: tuple[DiskSpec, ...]
    at_most: float = 60.0


class StartDomain(Step, frozen=True, kw_only=True, tag="domain.start", omit_defaults=True):
    """
    Define the domain as given and make it run; one that runs (any boot) is left alone.

    Outcome ``boot`` names the boot that runs now; ``warnings`` are about parameters without effect.
    """

    domain: DomainSpec
    paused: bool = False


class StopDomain(Step, frozen=True, kw_only=True, tag="domain.stop", omit_defaults=True):
    """
    Stop the domain: ask the guest, and after `timeout` seconds (0 or `force`: at once) end it.

    Its definition goes too.  With `boot`, only that boot is stopped: another one is left alone.
    """

    hypervisor: str
    instance_uuid: str
    timeout: int = 120
    force: bool = False
    boot: str = ""


class SetMemory(Step, frozen=True, kw_only=True, tag="domain.memory", omit_defaults=True):
    """Change the memory of the running guest to `memory` MiB."""

    hypervisor: str
    instance_uuid: str
    memory: int


class AttachDisk(Step, frozen=True, kw_only=True, tag="domain.disk.attach", omit_defaults=True):
    """Give the running guest a disk, whose volume is activated; one it has is well."""

    domain: DomainSpec
    disk: DiskSpec


class DetachDisk(Step, frozen=True, kw_only=True, tag="domain.disk.detach", omit_defaults=True):
    """Take a disk from the running guest; one it does not have is well."""

    domain: DomainSpec
    disk: DiskSpec


class AttachNic(Step, frozen=True, kw_only=True, tag="domain.nic.attach", omit_defaults=True):
    """Give the running guest a NIC; one it has is well."""

    domain: DomainSpec
    nic: NicSpec


class DetachNic(Step, frozen=True, kw_only=True, tag="domain.nic.detach", omit_defaults=True):
    """Take a NIC from the running guest; one it does not have is well."""

    domain: DomainSpec
    nic: NicSpec


class ShowGrowth(Step, frozen=True, kw_only=True, tag="domain.disk.grow", omit_defaults=True):
    """Have the running guest see a disk with `disk.size` MiB; after `GrowVolume`."""

    domain: DomainSpec
    disk: DiskSpec


class MigrateDomain(Step, frozen=True, kw_only=True, tag="domain.migrate", omit_defaults=True):
    """
    Have the guest run on at the target, where its volumes are active; its definition goes with it.

    A guest that does not run here fails: where it is, reports say.
    """

    domain: DomainSpec
    target: MigrationTarget


class LookAtDomain(Step, frozen=True, kw_only=True, tag="domain.look", omit_defaults=True):
    """
    Say how the domain is here, once all that was asked for before about its instance has ended.

    Outcome ``text``: its state, empty when it does not run here; ``boot`` names the boot that runs.
    """

    hypervisor: str
    instance_uuid: str


class RunOs(Step, frozen=True, kw_only=True, tag="os.run", omit_defaults=True):
    """
    Run one script of the instance's OS definition (behaviour.md §8) with its volumes activated.

    :ivar reinstall: sets ``INSTANCE_REINSTALL=1``.
    :ivar old_name: for ``rename``.
    """

    action: Literal["create", "rename"]
    domain: DomainSpec
    reinstall: bool = False
    old_name: str = ""
    debug: int = 0


class VerifyOs(Step, frozen=True, kw_only=True, tag="os.verify", omit_defaults=True):
    """Have the OS definition's ``verify`` script check parameters; fails with what it says."""

    os: str
    osparams: Params = field(default_factory=dict)


class RunHooks(Step, frozen=True, kw_only=True, tag="hooks.run", omit_defaults=True):
    """
    Run the scripts of one phase of a hooks path (behaviour.md §9), in byte order; without any it is well.

    Nothing of `environment` is missing but the search path.  Outcome ``hooks``: per script its name, whether
    it ended well, and what it printed.
    """

    path: str
    phase: Literal["pre", "post"]
    environment: dict[str, str] = field(default_factory=dict)


class VolumeEnd(Struct, frozen=True, kw_only=True, tag_field="end", tag="volume", omit_defaults=True):
    """The bytes of a volume; as a target it is new and empty."""

    disk: DiskSpec


class ScriptEnd(Struct, frozen=True, kw_only=True, tag_field="end", tag="script", omit_defaults=True):
    """What the OS definition's ``export`` script writes of a disk, or its ``import`` script reads."""

    domain: DomainSpec
    index: int


class DumpEnd(Struct, frozen=True, kw_only=True, tag_field="end", tag="dump", omit_defaults=True):
    """
    A file of an export.

    :ivar export: as a target the name of one that is being made (`BeginExport`), else a folder with one.
    """

    export: str
    file: str


StreamEnd = VolumeEnd | ScriptEnd | DumpEnd


class OpenStream(Step, frozen=True, kw_only=True, tag="stream.open", omit_defaults=True):
    """
    Listen for bytes and store them.  Outcome ``port``; the same token again is the same port.

    :ivar token: who says it may send.
    """

    token: str
    into: StreamEnd
    compress: str = "none"


class AwaitStream(Step, frozen=True, kw_only=True, tag="stream.await", omit_defaults=True):
    """Wait until all that comes under this token is stored.  Nothing else waits for it."""

    token: str


class SendStream(Step, frozen=True, kw_only=True, tag="stream.send", omit_defaults=True):
    """
    Send bytes to a node that listens, and wait until they are stored.  Nothing else waits for it.

    :ivar host: where it is reached; `name`: what its certificate is for.
    """

    token: str
    source: StreamEnd
    host: str
    name: str
    port: int
    compress: str = "none"


class EndStreams(Step, frozen=True, kw_only=True, tag="stream.end", omit_defaults=True):
    """No longer listen for anything of this instance; nothing is written afterwards."""


class BeginExport(Step, frozen=True, kw_only=True, tag="export.begin", omit_defaults=True):
    """Make an empty folder for a new export; an older one stays until it is whole."""

    export: str


class FinishExport(Step, frozen=True, kw_only=True, tag="export.finish", omit_defaults=True):
    """The new export is whole, with this configuration (behaviour.md §6); an older one is gone."""

    export: str
    config: str


class RemoveExport(Step, frozen=True, kw_only=True, tag="export.remove", omit_defaults=True):
    """
    Remove an export; none is well.

    :ivar half: only what was half made.
    """

    export: str
    half: bool = False


class CreateCertificate(Step, frozen=True, kw_only=True, tag="certificate.create", omit_defaults=True):
    """
    Make a key for an export to another cluster, good for `validity` seconds.

    Outcome ``path``: what it is called here; ``text``: its certificate as PEM.
    """

    common_name: str
    validity: float


class ReadExport(Step, frozen=True, kw_only=True, tag="export.read", omit_defaults=True):
    """Outcome ``text``: the configuration of the export in a folder, or of this name."""

    path: str


class InspectDisks(Step, frozen=True, kw_only=True, tag="volume.inspect", omit_defaults=True):
    """
    Say how volumes are.

    Outcome ``disks``: per disk ``None`` when absent, else ``{path, size, allocated}`` in MiB, and where there
    is such a thing ``major`` and ``minor`` of the device.  Of a mirrored disk also ``active``, ``degraded``,
    ``ldisk`` (``okay``, ``sync``, ``unknown``, ``faulty``), and while it is filled ``percent`` and
    ``estimate`` (seconds).
    """

    disks: tuple[DiskSpec, ...]


class Delay(Step, frozen=True, kw_only=True, tag="delay", omit_defaults=True):
    """Do nothing for so many seconds."""

    seconds: float


class RunAllocator(Step, frozen=True, kw_only=True, tag="allocator.run", omit_defaults=True):
    """
    Have an allocator script answer a request (behaviour.md §7); nothing else waits for it.

    Outcome ``text``: what it printed.

    :ivar name: of the script, which is looked for in this node's search path.
    :ivar options: arguments before the file with the request.
    """

    name: str
    request: Params
    options: tuple[str, ...] = ()


class Ping(Step, frozen=True, kw_only=True, tag="node.ping", omit_defaults=True):
    """
    Answer; the only step that a node that is marked offline is sent.

    :ivar address: an IP address the node must have; it fails, with kind ``network``, if it has not.
    """

    address: str = ""


class Powercycle(Step, frozen=True, kw_only=True, tag="node.powercycle", omit_defaults=True):
    """Restart the machine in `delay` seconds, whatever runs on it.  Outcome ``text`` says so."""

    delay: int = 5


class ListUnits(Step, frozen=True, kw_only=True, tag="storage.list", omit_defaults=True):
    """
    Say which storage units of a kind (constants.json ``storage_types``) the node has.

    Outcome ``units``: ``{name, size, used, free, allocatable}`` of each, in MiB.
    """

    kind: str


class ChangeUnit(Step, frozen=True, kw_only=True, tag="storage.change", omit_defaults=True):
    """Set attributes of a storage unit; those it has already are well."""

    kind: str
    name: str
    allocatable: bool


class RepairUnit(Step, frozen=True, kw_only=True, tag="storage.repair", omit_defaults=True):
    """Take out of a storage unit what is missing of it; one that is whole is left alone."""

    kind: str
    name: str


AnyStep = (
    Delay
    | CreateVolume
    | DeleteVolume
    | GrowVolume
    | ActivateVolume
    | DeactivateVolume
    | MoveVolume
    | RenewVolume
    | AdoptVolume
    | ReleaseVolume
    | AwaitSync
    | StartDomain
    | StopDomain
    | SetMemory
    | AttachDisk
    | DetachDisk
    | AttachNic
    | DetachNic
    | ShowGrowth
    | MigrateDomain
    | LookAtDomain
    | RunOs
    | VerifyOs
    | RunHooks
    | InspectDisks
    | OpenStream
    | AwaitStream
    | SendStream
    | EndStreams
    | BeginExport
    | FinishExport
    | RemoveExport
    | ReadExport
    | CreateCertificate
    | RunAllocator
    | Ping
    | Powercycle
    | ListUnits
    | ChangeUnit
    | RepairUnit
)


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step gave; which fields are set is said by the step."""

    path: str = ""
    boot: str = ""
    text: str = ""
    disks: tuple[dict[str, Any] | None, ...] = ()
    units: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    hooks: tuple[tuple[str, bool, str], ...] = ()
    port: int = 0


DEADLINES: dict[type[Step], float] = {
    RunOs: 7200.0,
    RunHooks: 7200.0,
    CreateVolume: 600.0,
    DeleteVolume: 300.0,
    VerifyOs: 120.0,
    MigrateDomain: 7200.0,
    RunAllocator: 330.0,
    AwaitStream: 86500.0,
    SendStream: 86500.0,
    RemoveExport: 600.0,
    FinishExport: 600.0,
    LookAtDomain: 7260.0,  # it waits for a migration
}
"""Seconds a step may take before the node counts as unreachable; 60 for others, plus a step's own timeout."""


def deadline(step: Step) -> float:
    """Seconds to wait for `step` to be carried out."""
    extra = 0.0
    if isinstance(step, StopDomain):
        extra = float(step.timeout)
    elif isinstance(step, AwaitSync):
        extra = step.at_most
    return DEADLINES.get(type(step), 60.0) + extra
