"""Opcodes about a Ceph cluster: this project's own."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from twisted_rapi.errors import BadRequest
from twisted_rapi.model import ceph
from twisted_rapi.model.opcodes.base import InvalidParameter, Natural, NonEmpty, Opcode, Positive

Kind = Literal[
    "option",
    "osd.move",
    "pool.add",
    "pool.pgs",
    "pool.remove",
    "snapshot.add",
    "snapshot.remove",
    "snapshot.rename",
    "volume.add",
    "volume.copy",
    "volume.remove",
    "volume.rename",
    "volume.resize",
    "volume.rollback",
    "volume.unlock",
]
Name = Annotated[str, Meta(min_length=1, max_length=128)]

_OF_KIND: Mapping[str, type[ceph.Change]] = {
    str(cls.__struct_config__.tag): cls for cls in get_args(ceph.AnyChange)
}
_WHAT = ("pool", "volume", "snapshot", "name", "osd", "size", "pgs", "copies", "least", "tier", "on", "into")


class CephChange(Opcode, frozen=True, kw_only=True):
    """Change something of Ceph: an option, a pool, a volume, a snapshot, or whether an OSD takes part."""

    OP_ID = "OP_CEPH_CHANGE"
    SUMMARY = "change"

    change: Kind
    pool: Name | None = None
    volume: Name | None = None
    snapshot: Name | None = None
    name: Name | None = None
    osd: Natural | None = None
    size: Positive | None = None
    pgs: Positive | None = None
    copies: Natural | None = None
    least: Natural | None = None
    tier: str | None = None
    on: bool | None = None
    into: bool | None = None

    @classmethod
    def check(cls, values: dict[str, Any]) -> None:
        """A change has its own parameters, those it needs, and no others; names and numbers can be meant."""
        kind = _OF_KIND[values["change"]]
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        given = {name for name in _WHAT if values.get(name) is not None}
        for name in _WHAT:
            field = fields.get(name)
            if (name in given and field is None) or (field and field.required and name not in given):
                raise InvalidParameter(cls.OP_ID, name)
        wrong = ceph.objection(_change(values))
        if wrong:
            raise BadRequest(wrong)

    def asked(self) -> ceph.AnyChange:
        """What is to be done."""
        return _change({name: getattr(self, name) for name in ("change", *_WHAT)})


def _change(values: Mapping[str, Any]) -> ceph.AnyChange:
    given = {name: values.get(name) for name in ("change", *_WHAT)}
    found: ceph.AnyChange = msgspec.convert(
        {name: value for name, value in given.items() if value is not None}, ceph.AnyChange
    )
    return found


class CephOsdAdd(Opcode, frozen=True, kw_only=True):
    """Make an OSD of a block device of a node, whatever is on it."""

    OP_ID = "OP_CEPH_OSD_ADD"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    device: Annotated[str, Meta(min_length=1, max_length=4095)]
    weight: Annotated[float, Meta(ge=0, lt=1e6)] = 0.0

    @classmethod
    def check(cls, values: dict[str, Any]) -> None:
        """A device is below ``/dev``, by its full path."""
        if not ceph.is_device(values["device"]):
            raise BadRequest(f"{values['device']!r} is no device, such as /dev/sdb")


class CephOsdRemove(Opcode, frozen=True, kw_only=True):
    """Have the data of an OSD go to others, then end it and free its device."""

    OP_ID = "OP_CEPH_OSD_REMOVE"
    SUMMARY = "osd"

    osd: Natural


class InstanceUnlockDisks(Opcode, frozen=True, kw_only=True):
    """Break the locks on the rbd disks of an instance that does not run."""

    OP_ID = "OP_INSTANCE_UNLOCK_DISKS"
    SUMMARY = "instance_name"

    instance_name: NonEmpty
    instance_uuid: NonEmpty | None = None
