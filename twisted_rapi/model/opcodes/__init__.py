"""The opcodes: what jobs are made of."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import (
    backup,
    ceph,
    cluster,
    disk,
    domain,
    group,
    instance,
    machine,
    moving,
    network,
    node,
    query,
    verify,
)
from twisted_rapi.model.opcodes.base import InvalidParameter, Opcode, decode, summary, to_wire

__all__ = ["OPCODES", "InvalidParameter", "Opcode", "decode", "from_wire", "summary", "to_wire"]

OPCODES: Mapping[str, type[Opcode]] = {
    cls.OP_ID: cls
    for module in (
        *(backup, ceph, cluster, disk, domain, group, instance, machine, moving),
        *(network, node, query, verify),
    )
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Opcode) and "OP_ID" in vars(cls)
}


def from_wire(wire: Mapping[str, Any]) -> Opcode:
    """
    The opcode of a stored or submitted wire form.

    :raises BadRequest: ``OP_ID`` is unknown, or a parameter does not fit.
    """
    values = dict(wire)
    name = values.pop("OP_ID", None)
    if not isinstance(name, str) or name not in OPCODES:
        raise BadRequest(f"Unknown opcode {name!r}")
    return decode(OPCODES[name], values)
