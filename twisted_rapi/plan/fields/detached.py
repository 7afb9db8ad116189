"""Fields of disks that no instance has: this project's own."""

from typing import Any

from twisted_rapi.model.records import DetachedDiskRecord
from twisted_rapi.plan.fields.base import Field
from twisted_rapi.plan.view import View


def _nodes(view: View, record: DetachedDiskRecord) -> list[str]:
    """Names; of a node that has gone its uuid."""
    return [view.nodes[uuid].name if uuid in view.nodes else uuid for uuid in record.nodes]


def _address(view: View, record: DetachedDiskRecord) -> list[Any]:
    """The address but for secrets, which are what a mirrored disk's ends with."""
    found = list(record.disk.logical_id)
    return found[:-1] if record.disk.dev_type == "drbd" else found


TABLE = (
    Field("uuid", "UUID", "text", "UUID", lambda v, r: r.uuid),
    Field("name", "Name", "text", "Name of the disk, if it has one", lambda v, r: r.disk.name),
    Field("size", "Size", "unit", "Size in MiB", lambda v, r: r.disk.size),
    Field("mode", "Mode", "text", "How guests may use it: rw or ro", lambda v, r: r.disk.mode),
    Field("disk_template", "Disk_template", "text", "How it is kept", lambda v, r: r.disk.dev_type),
    Field("nodes", "Nodes", "other", "Nodes that have it, or a side of it; primary first", _nodes),
    Field("logical_id", "Logical_ID", "other", "Its address, as the disk template has it", _address),
    Field("spindles", "Spindles", "number", "Spindles", lambda v, r: r.disk.spindles),
    Field(
        "instance",
        "Instance",
        "text",
        "Name the instance had that it was detached from",
        lambda v, r: r.instance,
    ),
    Field("detached", "Detached", "timestamp", "When it was detached", lambda v, r: r.ctime),
    Field("ctime", "CTime", "timestamp", "When it was made", lambda v, r: r.disk.ctime),
    Field("mtime", "MTime", "timestamp", "When it was changed last", lambda v, r: r.disk.mtime),
    Field("serial_no", "SerialNo", "number", "Counts its changes", lambda v, r: r.disk.serial_no),
)
