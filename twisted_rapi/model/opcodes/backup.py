"""Opcodes about exports; parameters as in opcodes.json ("newest")."""

from typing import Any, Literal

from twisted_rapi.model.opcodes.base import Natural, NonEmpty, Number, Opcode, Whole


class BackupPrepare(Opcode, frozen=True, kw_only=True):
    """Make ready for an export."""

    OP_ID = "OP_BACKUP_PREPARE"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    mode: Literal["local", "remote"]


class BackupExport(Opcode, frozen=True, kw_only=True):
    """Dump an instance's disks to a node (local) or stream them to another cluster (remote)."""

    OP_ID = "OP_BACKUP_EXPORT"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
    compress: str = "none"
    shutdown_timeout: Natural = 120
    target_node: NonEmpty | list[Any]
    target_node_uuid: NonEmpty | None = None
    shutdown: bool = True
    remove_instance: bool = False
    ignore_remove_failures: bool = False
    mode: Literal["local", "remote"] = "local"
    x509_key_name: list[Any] | None = None
    destination_x509_ca: NonEmpty | None = None
    zero_free_space: bool = False
    zeroing_timeout_fixed: Whole | None = None
    zeroing_timeout_per_mib: Number | None = None
    long_sleep: bool = False


class BackupRemove(Opcode, frozen=True, kw_only=True):
    """Delete the local export of an instance from all nodes."""

    OP_ID = "OP_BACKUP_REMOVE"
    SUMMARY = "instance_name"

    instance_name: str
    instance_uuid: NonEmpty | None = None
