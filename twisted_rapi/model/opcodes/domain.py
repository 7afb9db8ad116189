"""Opcodes about where machines are, as PVC's API has it: this project's own."""

from typing import Literal

from msgspec import field

from twisted_rapi.model.opcodes.base import Natural, NonEmpty, Opcode


class MachineMigrate(Opcode, frozen=True, kw_only=True):
    """Move a machine, live where possible, and note where it was."""

    OP_ID = "OP_MACHINE_MIGRATE"
    SUMMARY = "instance_name"

    instance_name: NonEmpty
    instance_uuid: NonEmpty | None = None
    target_node: NonEmpty
    target_node_uuid: NonEmpty | None = None
    permanent: bool = False
    force_live: bool = False
    shutdown_timeout: Natural = 90


class MachineLeave(Opcode, frozen=True, kw_only=True):
    """Move a machine off a node that is flushed; where it can go nowhere, shut it down until it is back."""

    OP_ID = "OP_MACHINE_LEAVE"
    SUMMARY = "instance_name"

    instance_name: NonEmpty
    instance_uuid: NonEmpty | None = None
    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    begun: Natural
    shutdown_timeout: Natural = 90


class MachineReturn(Opcode, frozen=True, kw_only=True):
    """Bring a machine back to a node that is made ready, or start it there."""

    OP_ID = "OP_MACHINE_RETURN"
    SUMMARY = "instance_name"

    instance_name: NonEmpty
    instance_uuid: NonEmpty | None = None
    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    begun: Natural
    shutdown_timeout: Natural = 90


class NodeSetDomainState(Opcode, frozen=True, kw_only=True):
    """Have all machines leave a node, or come back, by jobs it submits."""

    OP_ID = "OP_NODE_SET_DOMAIN_STATE"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    state: Literal["flush", "ready"]


class NodeEndDomainState(Opcode, frozen=True, kw_only=True):
    """Note that all machines have left a node, or are back; where more have to, submit jobs again."""

    OP_ID = "OP_NODE_END_DOMAIN_STATE"
    SUMMARY = "node_name"

    node_name: NonEmpty
    node_uuid: NonEmpty | None = None
    begun: Natural
    tried: list[str] = field(default_factory=list)
