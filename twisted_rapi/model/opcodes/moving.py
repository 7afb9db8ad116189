"""Opcodes that move instances or their disks; parameters as in opcodes.json ("newest")."""

from typing import Any

from msgspec import field

from twisted_rapi.model.opcodes.base import InvalidParameter, Natural, NonEmpty, Opcode
from twisted_rapi.model.opcodes.words import MOST_DISKS, DiskIndex, DiskParams, MigrationMode, ReplaceMode


class InstanceFailover(Opcode, frozen=True, kw_only=True):
    """Stop the instance and start it on its other node."""

    OP_ID = "OP_INSTANCE_FAILOVER"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    shutdown_timeout: Natural = 120
    ignore_consistency: bool = False
    target_node: NonEmpty | None = None
    target_node_uuid: NonEmpty | None = None
    ignore_ipolicy: bool = False
    iallocator: NonEmpty | None = None
    cleanup: bool = False


class InstanceMigrate(Opcode, frozen=True, kw_only=True):
    """Move a running instance to its other node."""

    OP_ID = "OP_INSTANCE_MIGRATE"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    mode: MigrationMode | None = None
    live: bool | None = None
    target_node: NonEmpty | None = None
    target_node_uuid: NonEmpty | None = None
    allow_runtime_changes: bool = True
    ignore_ipolicy: bool = False
    cleanup: bool = False
    iallocator: NonEmpty | None = None
    allow_failover: bool = False
    ignore_hvversions: bool = False


class InstanceMove(Opcode, frozen=True, kw_only=True):
    """Move a stopped or running instance by copying its disks."""

    OP_ID = "OP_INSTANCE_MOVE"
    SUMMARY = "instance_name"

    instance_name: str
    shutdown_timeout: Natural = 120
    ignore_ipolicy: bool = False
    target_node: NonEmpty
    ignore_consistency: bool = False
    instance_uuid: NonEmpty | None = None
    target_node_uuid: NonEmpty | None = None
    compress: str = "none"


class InstanceChangeGroup(Opcode, frozen=True, kw_only=True):
    """Plan and submit jobs that move an instance to another group."""

    OP_ID = "OP_INSTANCE_CHANGE_GROUP"
    SUMMARY = "instance_name"

    instance_name: str
    early_release: bool = False
    iallocator: NonEmpty | None = None
    target_groups: list[NonEmpty] | None = None
    instance_uuid: NonEmpty | None = None


class InstanceReplaceDisks(Opcode, frozen=True, kw_only=True):
    """Rebuild or relocate mirrored disks (drbd only)."""

    OP_ID = "OP_INSTANCE_REPLACE_DISKS"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    remote_node_uuid: NonEmpty | None = None
    early_release: bool = False
    ignore_ipolicy: bool = False
    mode: ReplaceMode
    disks: list[DiskIndex] = field(default_factory=list)
    remote_node: NonEmpty | None = None
    iallocator: NonEmpty | None = None


class InstanceRecreateDisks(Opcode, frozen=True, kw_only=True):
    """Make missing disks anew (data is lost)."""

    OP_ID = "OP_INSTANCE_RECREATE_DISKS"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    node_uuids: list[NonEmpty] | None = None
    iallocator: NonEmpty | None = None
    # Bounds on the bare number and a tuple beside it crash msgspec 0.22: they are in `check`.
    disks: list[int | tuple[Natural, DiskParams]] = field(default_factory=list)
    nodes: list[NonEmpty] = field(default_factory=list)

    @classmethod
    def check(cls, values: dict[str, Any]) -> None:
        """Disks are named by indexes there can be."""
        for disk in values.get("disks", ()):
            index = disk if isinstance(disk, int) else disk[0]
            if not 0 <= index < MOST_DISKS:
                raise InvalidParameter(cls.OP_ID, "disks")


class InstanceGrowDisk(Opcode, frozen=True, kw_only=True):
    """Enlarge one disk."""

    OP_ID = "OP_INSTANCE_GROW_DISK"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    wait_for_sync: bool = True
    disk: DiskIndex
    amount: Natural
    absolute: bool = False
    ignore_ipolicy: bool = False


class InstanceMultiAlloc(Opcode, frozen=True, kw_only=True):
    """Place several instances with one allocator run and submit one creation job for each placed one."""

    OP_ID = "OP_INSTANCE_MULTI_ALLOC"

    opportunistic_locking: bool = False
    iallocator: NonEmpty | None = None
    instances: list[Any] = field(default_factory=list)


class InstanceConsole(Opcode, frozen=True, kw_only=True):
    """Console access data of a running instance."""

    OP_ID = "OP_INSTANCE_CONSOLE"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
