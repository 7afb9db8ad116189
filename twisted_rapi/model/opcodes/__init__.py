"""The opcodes: what jobs are made of."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.model.opcodes import cluster, instance
from twisted_rapi.model.opcodes.base import InvalidParameter, Opcode, decode, summary, to_wire

__all__ = ["OPCODES", "InvalidParameter", "Opcode", "decode", "from_wire", "summary", "to_wire"]

OPCODES: Mapping[str, type[Opcode]] = {
    cls.OP_ID: cls
    for cls in (
        instance.InstanceCreate,
        instance.InstanceRemove,
        instance.InstanceStartup,
        instance.InstanceShutdown,
        instance.InstanceReboot,
        instance.InstanceReinstall,
        instance.InstanceRename,
        instance.InstanceSetParams,
        instance.InstanceQueryData,
        instance.InstanceActivateDisks,
        instance.InstanceDeactivateDisks,
        cluster.TagsSet,
        cluster.TagsDel,
        cluster.OsDiagnose,
    )
}


def from_wire(wire: Mapping[str, Any]) -> Opcode:
    """
    The opcode of a stored or submitted wire form.

    :raises BadRequest: ``OP_ID`` is unknown, or a parameter does not fit.
    """
    values = dict(wire)
    cls = OPCODES[values.pop("OP_ID")]
    return decode(cls, values)
