"""Opcodes about instances; parameters as in opcodes.json ("newest")."""

from typing import Annotated, Any, Literal

from msgspec import field

from twisted_rapi.model.opcodes.base import Natural, NonEmpty, Opcode, Positive, Private
from twisted_rapi.model.opcodes.words import DiskParams, DiskTemplate, FileDriver, HypervisorName, NicParams
from twisted_rapi.model.records import Params


class InstanceCreate(Opcode, frozen=True, kw_only=True):
    """Create or import an instance."""

    OP_ID = "OP_INSTANCE_CREATE"
    SUMMARY = "instance_name"

    instance_name: str
    force_variant: bool = False
    wait_for_sync: bool = True
    name_check: bool = False
    ignore_ipolicy: bool = False
    opportunistic_locking: bool = False
    group_name: NonEmpty | None = None
    beparams: Params = field(default_factory=dict)
    disks: list[DiskParams]
    disk_template: DiskTemplate | None = None
    file_driver: FileDriver | None = None
    file_storage_dir: NonEmpty | None = None
    hvparams: Params = field(default_factory=dict)
    hypervisor: HypervisorName | None = None
    iallocator: NonEmpty | None = None
    identify_defaults: bool = False
    ip_check: bool = False
    conflicts_check: bool = True
    mode: Literal["create", "import", "remote-import"]
    nics: list[NicParams]
    no_install: bool | None = None
    osparams: Params = field(default_factory=dict)
    osparams_private: Annotated[Params, Private] | None = None
    osparams_secret: Annotated[Params, Private] | None = None
    os_type: NonEmpty | None = None
    pnode: NonEmpty | None = None
    snode: NonEmpty | None = None
    source_handshake: list[Any] | None = None
    source_instance_name: NonEmpty | None = None
    pnode_uuid: NonEmpty | None = None
    snode_uuid: NonEmpty | None = None
    src_node_uuid: NonEmpty | None = None
    source_shutdown_timeout: Natural = 120
    source_x509_ca: NonEmpty | None = None
    src_node: NonEmpty | None = None
    src_path: NonEmpty | None = None
    compress: str = "none"
    start: bool = True
    forthcoming: bool = False
    commit: bool = False
    tags: list[NonEmpty] = field(default_factory=list)
    instance_communication: bool = False
    helper_startup_timeout: int = 300
    helper_shutdown_timeout: int = 7200


class InstanceRemove(Opcode, frozen=True, kw_only=True):
    """Delete an instance and its disks."""

    OP_ID = "OP_INSTANCE_REMOVE"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    shutdown_timeout: Natural = 120
    ignore_failures: bool = False


class InstanceStartup(Opcode, frozen=True, kw_only=True):
    """Start an instance."""

    OP_ID = "OP_INSTANCE_STARTUP"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    force: bool = False
    ignore_offline_nodes: bool = False
    hvparams: Params = field(default_factory=dict)
    beparams: Params = field(default_factory=dict)
    no_remember: bool = False
    startup_paused: bool = False
    shutdown_timeout: Natural = 120


class InstanceShutdown(Opcode, frozen=True, kw_only=True):
    """Stop an instance."""

    OP_ID = "OP_INSTANCE_SHUTDOWN"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    force: bool = False
    ignore_offline_nodes: bool = False
    timeout: Natural = 120
    no_remember: bool = False
    admin_state_source: Literal["admin", "user"] = "admin"


class InstanceReboot(Opcode, frozen=True, kw_only=True):
    """Reboot an instance."""

    OP_ID = "OP_INSTANCE_REBOOT"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    shutdown_timeout: Natural = 120
    ignore_secondaries: bool = False
    reboot_type: Literal["full", "hard", "soft"]


class InstanceReinstall(Opcode, frozen=True, kw_only=True):
    """Run the OS installation again on a stopped instance."""

    OP_ID = "OP_INSTANCE_REINSTALL"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    force_variant: bool = False
    os_type: NonEmpty | None = None
    osparams: Params | None = None
    osparams_private: Annotated[Params, Private] | None = None
    osparams_secret: Annotated[Params, Private] | None = None


class InstanceRename(Opcode, frozen=True, kw_only=True):
    """Rename a stopped instance."""

    OP_ID = "OP_INSTANCE_RENAME"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    new_name: NonEmpty
    name_check: bool = False
    ip_check: bool = False


class InstanceSetParams(Opcode, frozen=True, kw_only=True):
    """Change an instance; at least one change has to be given."""

    OP_ID = "OP_INSTANCE_SET_PARAMS"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    force: bool = False
    force_variant: bool = False
    ignore_ipolicy: bool = False
    nics: list[list[Any]] = field(default_factory=list)
    disks: list[list[Any]] = field(default_factory=list)
    beparams: Params = field(default_factory=dict)
    runtime_mem: Positive | None = None
    hvparams: Params = field(default_factory=dict)
    disk_template: DiskTemplate | None = None
    remote_node: NonEmpty | None = None
    os_name: NonEmpty | None = None
    ext_params: Params = field(default_factory=dict)
    file_driver: FileDriver | None = None
    file_storage_dir: NonEmpty | None = None
    pnode: NonEmpty | None = None
    pnode_uuid: NonEmpty | None = None
    remote_node_uuid: NonEmpty | None = None
    iallocator: NonEmpty | None = None
    osparams_private: Annotated[Params, Private] | None = None
    osparams: Params = field(default_factory=dict)
    wait_for_sync: bool = True
    offline: bool | None = None
    conflicts_check: bool = True
    hotplug: bool = False
    hotplug_if_possible: bool = False
    instance_communication: bool | None = None


class InstanceQueryData(Opcode, frozen=True, kw_only=True):
    """Detailed report on instances incl. disk status."""

    OP_ID = "OP_INSTANCE_QUERY_DATA"

    use_locking: bool = False
    instances: list[NonEmpty] = field(default_factory=list)
    static: bool = False


class InstanceActivateDisks(Opcode, frozen=True, kw_only=True):
    """Assemble an instance's block devices."""

    OP_ID = "OP_INSTANCE_ACTIVATE_DISKS"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    ignore_size: bool = False
    wait_for_sync: bool = False


class InstanceDeactivateDisks(Opcode, frozen=True, kw_only=True):
    """Shut the block devices of a stopped instance."""

    OP_ID = "OP_INSTANCE_DEACTIVATE_DISKS"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    force: bool = False
