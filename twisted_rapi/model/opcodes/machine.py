"""Opcodes about machines as PVC's API knows them: this project's own."""

from typing import Annotated, Literal

from msgspec import Meta

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode

Selector = Literal["", "mem", "memprov", "vcpus", "load", "vms"]
Method = Literal["", "live", "shutdown"]
Profile = Annotated[str, Meta(max_length=1024)]
Downtime = Annotated[int, Meta(ge=1, le=3_600_000)]


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
