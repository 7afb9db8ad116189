"""
What is wanted: the records of the store.

One small record a key, each with a version of its own (`Record.VERSION`); how they are written is
`twisted_rapi.state.codec`'s business.  Sizes are MiB, times are seconds since the epoch.
"""

from typing import Any, Literal

from msgspec import Struct, field

from twisted_rapi.model.domain_state import DomainStateRecord
from twisted_rapi.model.fate import FATES, NodeFateRecord, WatchdogRecord
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.mastership import CandidateRecord, DistributionRecord, ElectionRecord, SwitchRecord
from twisted_rapi.model.record_base import ObjectRecord, Record, SingleRecord
from twisted_rapi.model.session import SessionKeyRecord
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, VirtualNetworkRecord

Params = dict[str, Any]
Timestamp = tuple[int, int]  # seconds, microseconds
LogEntry = tuple[int, Timestamp, str, Any]  # serial, when, type, message


class ClusterRecord(ObjectRecord, frozen=True, kw_only=True, omit_defaults=True):
    """The cluster: the values ``/2/info`` shows that an operator may set (resources.json)."""

    KIND = "cluster"

    master_node: str  # uuid
    default_hypervisor: str = "kvm"
    enabled_hypervisors: tuple[str, ...] = ("kvm",)
    enabled_disk_templates: tuple[str, ...] = ("file", "sharedfile", "diskless")
    hvparams: dict[str, Params] = field(default_factory=dict)  # only what differs from the defaults
    beparams: Params = field(default_factory=dict)
    nicparams: Params = field(default_factory=dict)
    ndparams: Params = field(default_factory=dict)
    diskparams: dict[str, Params] = field(default_factory=dict)
    ipolicy: Params = field(default_factory=dict)
    osparams: dict[str, Params] = field(default_factory=dict)
    os_hvp: dict[str, dict[str, Params]] = field(default_factory=dict)
    hidden_os: tuple[str, ...] = ()
    blacklisted_os: tuple[str, ...] = ()
    candidate_pool_size: int = 10
    max_running_jobs: int = 20
    max_tracked_jobs: int = 25
    mac_prefix: str = "aa:00:00"
    master_netdev: str = "lo"
    master_netmask: int = 32
    file_storage_dir: str = "/var/lib/twisted_rapi/file-storage"
    shared_file_storage_dir: str = "/var/lib/twisted_rapi/shared-file-storage"
    default_iallocator: str = ""
    primary_ip_version: int = 4
    maintain_node_health: bool = False
    drained_queue: bool = False
    watcher_pause: float = 0.0  # until when the watchdog starts nothing
    default_iallocator_params: Params = field(default_factory=dict)
    volume_group_name: str = ""  # empty: no LVM
    drbd_usermode_helper: str = ""
    gluster_storage_dir: str = ""
    reserved_lvs: tuple[str, ...] = ()
    uid_pool: tuple[tuple[int, int], ...] = ()
    prealloc_wipe_disks: bool = False
    use_external_mip_script: bool = False
    modify_etc_hosts: bool = True
    install_image: str = ""
    zeroing_image: str = ""
    instance_communication_network: str = ""
    compression_tools: tuple[str, ...] = ("gzip", "gzip-fast", "gzip-slow")
    enabled_user_shutdown: bool = False
    enabled_data_collectors: dict[str, bool] = field(default_factory=dict)  # only what differs
    data_collector_interval: dict[str, int] = field(default_factory=dict)  # microseconds; only what differs
    osparams_private: dict[str, Params] = field(default_factory=dict)
    hv_state: dict[str, Params] = field(default_factory=dict)
    disk_state: dict[str, Params] = field(default_factory=dict)
    master_ip: str = ""  # what `name` stood for when it was given; empty: not known
    domain_secret: str = ""  # shared with clusters that exports go to; empty: none yet
    master_ip_active: bool = True  # whether the master is to have the floating address
    master_ip_announced: int = 0  # how often it was to be announced again


class GroupRecord(ObjectRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A node group."""

    KIND = "group"

    alloc_policy: Literal["preferred", "last_resort", "unallocable"] = "preferred"
    ndparams: Params = field(default_factory=dict)
    diskparams: dict[str, Params] = field(default_factory=dict)
    ipolicy: Params = field(default_factory=dict)
    networks: dict[str, Params] = field(default_factory=dict)  # network's uuid -> mode, link, vlan
    hv_state: dict[str, Params] = field(default_factory=dict)
    disk_state: dict[str, Params] = field(default_factory=dict)


class NodeRecord(ObjectRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A node, and where its agent listens."""

    KIND = "node"

    group: str  # uuid
    primary_ip: str
    secondary_ip: str
    agent_host: str  # what the agent's certificate is issued for
    agent_port: int
    offline: bool = False
    drained: bool = False
    master_candidate: bool = False
    master_capable: bool = True
    vm_capable: bool = True
    powered: bool = True
    ndparams: Params = field(default_factory=dict)
    hv_state: dict[str, Params] = field(default_factory=dict)
    disk_state: dict[str, Params] = field(default_factory=dict)


class NetworkRecord(ObjectRecord, frozen=True, kw_only=True, omit_defaults=True):
    """
    An IP network with its pool of addresses.

    Which addresses instances have is said by their NICs alone, and reserved under name keys of kind
    ``ip/UUID``.

    :ivar network: in CIDR form, as are `network6`.
    :ivar reserved: addresses kept from instances by an operator, in ascending order.
    """

    KIND = "network"

    network: str
    gateway: str | None = None
    network6: str | None = None
    gateway6: str | None = None
    mac_prefix: str | None = None
    reserved: tuple[str, ...] = ()


FilterAction = Any  # "ACCEPT", "CONTINUE", "PAUSE", "REJECT" or ["RATE_LIMIT", n]


class FilterRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    A rule about jobs.

    :ivar watermark: the last job id given out when the rule was made.
    :ivar predicates: pairs such as ``["jobid", [">", "id", "watermark"]]``.
    :ivar reason: its reason trail.
    """

    KIND = "filter"

    uuid: str
    watermark: int
    priority: int = 0
    predicates: tuple[Any, ...] = ()
    action: FilterAction = "CONTINUE"
    reason: tuple[Any, ...] = ()


class DiskRecord(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    A disk of an instance.

    :ivar logical_id: the template's own address of it.  ``file``, ``sharedfile``, ``gluster``: driver, path;
        ``plain``: volume group, volume; ``rbd``: pool, image; ``ext``: provider, name; ``blockdev``:
        ``manual``, path; ``drbd``: both nodes' uuids, port, the minor on each, secret.
    :ivar params: what differs from the group's parameters of this template, and those of an ``ext`` provider.
    :ivar children: of a ``drbd`` disk its data and its metadata volume; each node has both.
    """

    uuid: str
    size: int  # MiB
    name: str | None = None
    mode: Literal["rw", "ro"] = "rw"
    dev_type: str = "file"
    logical_id: tuple[Any, ...] = ()
    params: Params = field(default_factory=dict)
    spindles: int | None = None
    children: tuple["DiskRecord", ...] = ()
    ctime: float = 0.0
    mtime: float = 0.0
    serial_no: int = 1


class NicRecord(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A NIC of an instance; `params` holds what differs from the cluster's mode, link and vlan."""

    uuid: str
    mac: str
    ip: str | None = None
    name: str | None = None
    network: str | None = None  # uuid
    params: dict[str, str] = field(default_factory=dict)


AdminState = Literal["up", "down", "offline"]


class InstanceRecord(ObjectRecord, frozen=True, kw_only=True, omit_defaults=True):
    """
    An instance.

    :ivar pending: the job that is making it; while set the API does not show it.  It tells a master that
        takes over what may be half made.
    """

    KIND = "instance"

    os: str = ""
    hypervisor: str
    primary_node: str  # uuid
    secondary_nodes: tuple[str, ...] = ()
    disk_template: str
    disks: tuple[DiskRecord, ...] = ()
    nics: tuple[NicRecord, ...] = ()
    admin_state: AdminState = "down"
    admin_state_source: Literal["admin", "user"] = "admin"
    hvparams: Params = field(default_factory=dict)
    beparams: Params = field(default_factory=dict)
    osparams: Params = field(default_factory=dict)
    osparams_private: Params = field(default_factory=dict)
    network_port: int | None = None
    disks_active: bool = False
    forthcoming: bool = False
    pending: int | None = None


class DetachedDiskRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    A disk that no instance has; what it has to itself stays reserved as it was.

    :ivar uuid: the disk's.
    :ivar nodes: uuids of those that have a part of it, the primary one first; one that all nodes have is on
        the node it was last used on.
    :ivar instance: name of the instance it was detached from.
    :ivar pending: the job that is about to attach or remove it; nobody else may meanwhile.
    """

    KIND = "disk"

    uuid: str
    disk: DiskRecord
    nodes: tuple[str, ...]
    instance: str
    ctime: float = 0.0
    pending: int | None = None


JobStatus = Literal["queued", "waiting", "canceling", "running", "canceled", "success", "error"]
FINAL: frozenset[str] = frozenset({"success", "error", "canceled"})


class OpRecord(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    One opcode of a job.

    :ivar input: the opcode in its wire form, ``OP_ID`` and parameters.
    :ivar wait_ts: when it began to wait for its turn; `start_ts`: when it had its locks.
    :ivar stage: how far it has come, in the words of its plan; what a new master plans on from.
    :ivar kept: values its plan noted along the way, such as which boot of a domain is to be ended.
    """

    input: Params
    summary: str
    status: JobStatus = "queued"
    result: Any = None
    log: tuple[LogEntry, ...] = ()
    wait_ts: Timestamp | None = None
    start_ts: Timestamp | None = None
    end_ts: Timestamp | None = None
    stage: str = ""
    kept: Params = field(default_factory=dict)


class JobRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A job.  `priority` is the one of its opcode being worked on; lower is more urgent."""

    KIND = "job"

    id: int
    ops: tuple[OpRecord, ...]
    received_ts: Timestamp
    start_ts: Timestamp | None = None
    end_ts: Timestamp | None = None
    canceling: bool = False
    request_id: str = ""


class ArchivedJobRecord(JobRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A job that is no longer listed, but can be read by its id."""

    KIND = "archive"


class CounterRecord(Record, frozen=True, kw_only=True):
    """A number that only grows, such as the last job id given out."""

    KIND = "counter"

    value: int = 0


class NameRecord(Record, frozen=True, kw_only=True):
    """The reservation of a name within its kind: two objects can never be committed with one name."""

    KIND = "name"

    uuid: str


class LeftoverRecord(Record, frozen=True, kw_only=True):
    """
    Steps that still have to be carried out on a node that did not answer when something was removed.

    :ivar steps: steps in their wire form (`twisted_rapi.model.steps`).
    """

    KIND = "leftover"

    uuid: str
    node: str  # uuid
    reason: str
    steps: tuple[Params, ...]


class JoinTokenRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    The right of one new node to get a certificate, once.

    :ivar digest: SHA-256 of the token in hex; the token itself is shown once and not kept.
    :ivar candidate: whether it is the right to be a further master candidate, and no other.
    """

    KIND = "jointoken"

    digest: str
    expires: float
    candidate: bool = False


RECORDS: tuple[type[Record], ...] = (
    ClusterRecord,
    GroupRecord,
    NodeRecord,
    InstanceRecord,
    DetachedDiskRecord,
    NetworkRecord,
    *(MachineRecord, DomainStateRecord),
    *(VirtualNetworkRecord, DhcpLeaseRecord),
    FilterRecord,
    JobRecord,
    ArchivedJobRecord,
    CounterRecord,
    NameRecord,
    LeftoverRecord,
    *FATES,
    JoinTokenRecord,
    ElectionRecord,
    CandidateRecord,
    SwitchRecord,
    SessionKeyRecord,
    DistributionRecord,
)


def job_key(job_id: int, kind: str = JobRecord.KIND) -> str:
    """The key of a job: ids sort as numbers."""
    return f"{kind}/{job_id:020d}"


def key_of(record: Record) -> str:
    """The key a record is kept under; `NameRecord` and `CounterRecord` are named by who writes them."""
    match record:
        case JobRecord():
            return job_key(record.id, record.KIND)
        case ClusterRecord() | SingleRecord():
            return record.KIND
        case ObjectRecord() | LeftoverRecord() | FilterRecord() | CandidateRecord() | DomainStateRecord():
            return f"{record.KIND}/{record.uuid}"
        case DetachedDiskRecord() | WatchdogRecord() | NodeFateRecord() | DhcpLeaseRecord() | MachineRecord():
            return f"{record.KIND}/{record.uuid}"
        case JoinTokenRecord():
            return f"{record.KIND}/{record.digest}"
    raise ValueError(f"{type(record).__name__} has no key of its own")


def name_key(kind: str, name: str) -> str:
    """The key that reserves `name` among the objects of `kind`."""
    return f"{NameRecord.KIND}/{kind}/{name}"


def job_status(job: JobRecord) -> JobStatus:
    """The status of a whole job from those of its opcodes (constants.json ``job_status``)."""
    statuses = [op.status for op in job.ops]
    if all(s == "success" for s in statuses):
        return "success"
    if "error" in statuses:
        return "error"
    order: tuple[JobStatus, ...] = ("canceling", "waiting", "running", "canceled")
    return next((status for status in order if status in statuses), "queued")
