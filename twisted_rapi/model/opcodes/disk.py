"""Opcodes about disks that no instance has: this project's own."""

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode


class DiskRemove(Opcode, frozen=True, kw_only=True):
    """Remove a disk that was detached from its instance, with its data."""

    OP_ID = "OP_DISK_REMOVE"
    SUMMARY = "disk_uuid"

    disk_uuid: NonEmpty
