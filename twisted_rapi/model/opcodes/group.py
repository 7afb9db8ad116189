"""Opcodes about node groups; parameters as in opcodes.json ("newest")."""

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode
from twisted_rapi.model.opcodes.words import AllocPolicy, DiskTemplate
from twisted_rapi.model.records import Params


class GroupValues(Opcode, frozen=True, kw_only=True):
    """The parameters that a node group is made with, and that can be changed."""

    SUMMARY = "group_name"

    group_name: NonEmpty
    alloc_policy: AllocPolicy | None = None
    ndparams: Params | None = None
    diskparams: dict[DiskTemplate, Params] | None = None
    hv_state: Params | None = None
    disk_state: Params | None = None
    ipolicy: Params | None = None


class GroupAdd(GroupValues, frozen=True, kw_only=True):
    """Create a node group."""

    OP_ID = "OP_GROUP_ADD"


class GroupAssignNodes(Opcode, frozen=True, kw_only=True):
    """Put nodes into a group."""

    OP_ID = "OP_GROUP_ASSIGN_NODES"
    SUMMARY = "group_name"

    group_name: NonEmpty
    force: bool = False
    nodes: list[NonEmpty]
    node_uuids: list[NonEmpty] | None = None


class GroupRemove(Opcode, frozen=True, kw_only=True):
    """Delete an empty node group."""

    OP_ID = "OP_GROUP_REMOVE"
    SUMMARY = "group_name"

    group_name: NonEmpty


class GroupRename(Opcode, frozen=True, kw_only=True):
    """Rename a node group."""

    OP_ID = "OP_GROUP_RENAME"

    group_name: NonEmpty
    new_name: NonEmpty


class GroupSetParams(GroupValues, frozen=True, kw_only=True):
    """Change a node group."""

    OP_ID = "OP_GROUP_SET_PARAMS"


class GroupEvacuate(Opcode, frozen=True, kw_only=True):
    """Plan and submit jobs that move all instances of a group to other groups."""

    OP_ID = "OP_GROUP_EVACUATE"
    SUMMARY = "group_name"

    group_name: NonEmpty
    early_release: bool = False
    iallocator: NonEmpty | None = None
    target_groups: list[NonEmpty] | None = None
    sequential: bool = False
    force_failover: bool = False
