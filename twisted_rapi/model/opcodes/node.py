"""Opcodes about nodes; parameters as in opcodes.json ("newest")."""

from msgspec import field

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode
from twisted_rapi.model.opcodes.words import EvacMode, MigrationMode, StorageType
from twisted_rapi.model.records import Params


class NodeSetParams(Opcode, frozen=True, kw_only=True):
    """Change flags and parameters of a node."""

    OP_ID = "OP_NODE_SET_PARAMS"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    force: bool = False
    hv_state: Params | None = None
    disk_state: Params | None = None
    master_candidate: bool | None = None
    offline: bool | None = None
    drained: bool | None = None
    auto_promote: bool = False
    ndparams: Params | None = None
    master_capable: bool | None = None
    vm_capable: bool | None = None
    secondary_ip: NonEmpty | None = None
    powered: bool | None = None


class NodePowercycle(Opcode, frozen=True, kw_only=True):
    """Hard reset of a node."""

    OP_ID = "OP_NODE_POWERCYCLE"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    force: bool = False


class NodeEvacuate(Opcode, frozen=True, kw_only=True):
    """Plan (by allocator or fixed target) and submit jobs that move instances off a node."""

    OP_ID = "OP_NODE_EVACUATE"
    SUMMARY = "node_name"

    early_release: bool = False
    node_name: NonEmpty
    remote_node: NonEmpty | None = None
    node_uuid: NonEmpty | None = None
    remote_node_uuid: NonEmpty | None = None
    ignore_soft_errors: bool | None = None
    iallocator: NonEmpty | None = None
    mode: EvacMode


class NodeMigrate(Opcode, frozen=True, kw_only=True):
    """Submit one migration job per primary instance of a node."""

    OP_ID = "OP_NODE_MIGRATE"
    SUMMARY = "node_name"

    node_name: NonEmpty
    mode: MigrationMode | None = None
    live: bool | None = None
    target_node: NonEmpty | None = None
    node_uuid: NonEmpty | None = None
    target_node_uuid: NonEmpty | None = None
    allow_runtime_changes: bool = True
    ignore_ipolicy: bool = False
    iallocator: NonEmpty | None = None


class NodeRemove(Opcode, frozen=True, kw_only=True):
    """Take a node without instances out of the cluster."""

    OP_ID = "OP_NODE_REMOVE"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None


class NodeQueryStorage(Opcode, frozen=True, kw_only=True):
    """List storage units of nodes."""

    OP_ID = "OP_NODE_QUERY_STORAGE"

    output_fields: list[NonEmpty]
    storage_type: StorageType | None = None
    nodes: list[NonEmpty] = field(default_factory=list)
    name: NonEmpty | None = None


class NodeQueryvols(Opcode, frozen=True, kw_only=True):
    """List logical volumes of nodes."""

    OP_ID = "OP_NODE_QUERYVOLS"

    output_fields: list[NonEmpty]
    nodes: list[NonEmpty] = field(default_factory=list)


class NodeModifyStorage(Opcode, frozen=True, kw_only=True):
    """Change attributes of a storage unit of a node."""

    OP_ID = "OP_NODE_MODIFY_STORAGE"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    storage_type: StorageType
    name: NonEmpty | None = None
    changes: Params


class RepairNodeStorage(Opcode, frozen=True, kw_only=True):
    """Repair a volume group."""

    OP_ID = "OP_REPAIR_NODE_STORAGE"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    storage_type: StorageType
    name: NonEmpty | None = None
    ignore_consistency: bool = False
