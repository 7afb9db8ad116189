"""Opcodes about the cluster, tags and OS definitions, and for trials (opcodes.json, "newest")."""

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from twisted_rapi.model.opcodes.base import (
    InvalidParameter,
    Natural,
    NonEmpty,
    Opcode,
    Positive,
    Private,
    Whole,
)
from twisted_rapi.model.opcodes.words import (
    DiskTemplate,
    EvacMode,
    HypervisorName,
    ListChange,
    NicParams,
    TagKind,
)
from twisted_rapi.model.records import Params

MOST_REPEATS = 1000
LONGEST_DELAY = 86400  # seconds, of all repetitions together


class TagsSet(Opcode, frozen=True, kw_only=True):
    """Add tags."""

    OP_ID = "OP_TAGS_SET"

    kind: TagKind
    tags: list[str]
    name: str | None = None


class TagsDel(Opcode, frozen=True, kw_only=True):
    """Remove tags."""

    OP_ID = "OP_TAGS_DEL"

    kind: TagKind
    tags: list[str]
    name: str | None = None


class OsDiagnose(Opcode, frozen=True, kw_only=True):
    """List OS definitions and their state on all nodes."""

    OP_ID = "OP_OS_DIAGNOSE"

    output_fields: list[NonEmpty]
    names: list[NonEmpty] = field(default_factory=list)


class ExtStorageDiagnose(Opcode, frozen=True, kw_only=True):
    """List providers of external storage and their state on all nodes."""

    OP_ID = "OP_EXT_STORAGE_DIAGNOSE"

    output_fields: list[NonEmpty]
    names: list[NonEmpty] = field(default_factory=list)


class ClusterRename(Opcode, frozen=True, kw_only=True):
    """Give the cluster another name, and with it the address that name stands for."""

    OP_ID = "OP_CLUSTER_RENAME"
    SUMMARY = "name"

    name: NonEmpty


class ClusterSetParams(Opcode, frozen=True, kw_only=True):
    """Change cluster-wide settings."""

    OP_ID = "OP_CLUSTER_SET_PARAMS"

    hv_state: Params | None = None
    disk_state: Params | None = None
    vg_name: str | None = None
    enabled_hypervisors: list[HypervisorName] | None = None
    force: bool = False
    osparams_private_cluster: Annotated[dict[str, dict[Any, Any]], Private] | None = None
    candidate_pool_size: Positive | None = None
    uid_pool: list[tuple[Whole, Whole]] | None = None
    add_uids: list[tuple[Whole, Whole]] | None = None
    remove_uids: list[tuple[Whole, Whole]] | None = None
    maintain_node_health: bool | None = None
    prealloc_wipe_disks: bool | None = None
    nicparams: NicParams | None = None
    ndparams: Params | None = None
    beparams: Params | None = None
    hvparams: dict[str, Params] | None = None
    max_running_jobs: Positive | None = None
    max_tracked_jobs: Positive | None = None
    default_iallocator_params: Params | None = None
    osparams: dict[str, Params] | None = None
    diskparams: dict[DiskTemplate, Params] | None = None
    os_hvp: dict[str, Params] | None = None
    ipolicy: Params | None = None
    drbd_helper: str | None = None
    default_iallocator: str | None = None
    master_netdev: str | None = None
    hidden_os: list[tuple[ListChange, NonEmpty]] | None = None
    blacklisted_os: list[tuple[ListChange, NonEmpty]] | None = None
    use_external_mip_script: bool | None = None
    master_netmask: Natural | None = None
    reserved_lvs: list[NonEmpty] | None = None
    mac_prefix: NonEmpty | None = None
    enabled_disk_templates: list[DiskTemplate] | None = None
    modify_etc_hosts: bool | None = None
    file_storage_dir: str | None = None
    shared_file_storage_dir: str | None = None
    gluster_storage_dir: str | None = None
    install_image: str | None = None
    instance_communication_network: str | None = None
    zeroing_image: str | None = None
    compression_tools: list[NonEmpty] | None = None
    enabled_user_shutdown: bool | None = None
    enabled_data_collectors: dict[str, bool] | None = None
    data_collector_interval: dict[str, Whole] | None = None


class ClusterRedistConf(Opcode, frozen=True, kw_only=True):
    """Push configuration and ancillary files to all nodes again."""

    OP_ID = "OP_CLUSTER_REDIST_CONF"


class ClusterActivateMasterIp(Opcode, frozen=True, kw_only=True):
    """Have the master take the floating address, or announce again that it has it."""

    OP_ID = "OP_CLUSTER_ACTIVATE_MASTER_IP"


class ClusterDeactivateMasterIp(Opcode, frozen=True, kw_only=True):
    """Have the master, whoever it is, release the floating address until it is activated again."""

    OP_ID = "OP_CLUSTER_DEACTIVATE_MASTER_IP"


class TestDelay(Opcode, frozen=True, kw_only=True):
    """Do nothing for a while, here or on nodes."""

    OP_ID = "OP_TEST_DELAY"
    SUMMARY = "duration"

    duration: Annotated[float, Meta(ge=0, le=LONGEST_DELAY)]
    on_master: bool = True
    on_nodes: list[NonEmpty] = field(default_factory=list)
    on_node_uuids: list[NonEmpty] | None = None
    repeat: Annotated[int, Meta(ge=0, le=MOST_REPEATS)] = 0
    interruptible: bool = False
    no_locks: bool = True

    @classmethod
    def check(cls, values: dict[str, Any]) -> None:
        """All repetitions together have to end, too: while they go on others cannot run."""
        if values["duration"] * max(1, values.get("repeat", 0)) > LONGEST_DELAY:
            raise InvalidParameter(cls.OP_ID, "repeat")


class TestAllocator(Opcode, frozen=True, kw_only=True):
    """Ask an allocator, or show what it would be asked, without doing anything."""

    OP_ID = "OP_TEST_ALLOCATOR"
    SUMMARY = "iallocator"

    direction: Literal["in", "out"]
    mode: Literal[
        "allocate", "allocate-secondary", "change-group", "multi-allocate", "node-evacuate", "relocate"
    ]
    name: NonEmpty
    nics: list[NicParams] | None = None
    disks: list[Any] | None = None
    hypervisor: HypervisorName | None = None
    tags: list[NonEmpty] = field(default_factory=list)
    memory: Natural | None = None
    vcpus: Natural | None = None
    os: NonEmpty | None = None
    disk_template: DiskTemplate | None = None
    instances: list[NonEmpty] | None = None
    evac_mode: EvacMode | None = None
    target_groups: list[NonEmpty] | None = None
    iallocator: NonEmpty | None = None
    spindle_use: Natural = 1
    count: Annotated[int, Meta(ge=0, le=1000)] = 1
    group_name: NonEmpty | None = None
