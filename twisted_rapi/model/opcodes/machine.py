"""Opcodes about machines as PVC's API knows them: this project's own."""

from typing import Annotated, Literal

from msgspec import Meta, field

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode
from twisted_rapi.model.safe_xml import LONGEST

Selector = Literal["", "mem", "memprov", "vcpus", "load", "vms"]
Method = Literal["", "live", "shutdown"]
Profile = Annotated[str, Meta(max_length=1024)]
Downtime = Annotated[int, Meta(ge=1, le=3_600_000)]


Definition = Annotated[str, Meta(min_length=1, max_length=LONGEST)]


class MachineDefine(Opcode, frozen=True, kw_only=True):
    """Make a machine from libvirt's XML; its disks are there already, and it is not started."""

    OP_ID = "OP_MACHINE_DEFINE"

    xml: Definition
    node_name: NonEmpty | None = None
    tags: list[str] = field(default_factory=list)
    node_limit: list[str] | None = None
    node_selector: Selector | None = None
    node_autostart: bool | None = None
    profile: Profile | None = None
    migration_method: Method | None = None
    migration_max_downtime: Downtime | None = None
    protected_tags: list[str] | None = None


class MachineModify(Opcode, frozen=True, kw_only=True):
    """Have a machine be as libvirt's XML says, from its next start on."""

    OP_ID = "OP_MACHINE_MODIFY"
    SUMMARY = "instance_name"

    instance_name: NonEmpty
    xml: Definition


class MachineUndefine(Opcode, frozen=True, kw_only=True):
    """Stop a machine at once and forget it; its disks stay unless they are to be removed."""

    OP_ID = "OP_MACHINE_UNDEFINE"
    SUMMARY = "instance_name"

    instance_name: NonEmpty
    delete_disks: bool = False


class MachineSetParams(Opcode, frozen=True, kw_only=True):
    """Change what is kept of a machine beside its instance; what is not given stays as it is."""

    OP_ID = "OP_MACHINE_SET_PARAMS"
    SUMMARY = "instance_name"

    instance_name: NonEmpty
    last_node: str | None = None
    node_limit: list[str] | None = None
    node_selector: Selector | None = None
    node_autostart: bool | None = None
    profile: Profile | None = None
    migration_method: Method | None = None
    migration_max_downtime: Downtime | None = None
    protected_tags: list[str] | None = None
