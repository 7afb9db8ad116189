"""Opcodes about tags and OS definitions; parameters as in opcodes.json ("newest")."""

from typing import Literal

from msgspec import field

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode


class TagsSet(Opcode, frozen=True, kw_only=True):
    """Add tags."""

    OP_ID = "OP_TAGS_SET"

    kind: Literal["cluster", "instance", "network", "node", "nodegroup"]
    tags: list[str]
    name: str | None = None


class TagsDel(Opcode, frozen=True, kw_only=True):
    """Remove tags."""

    OP_ID = "OP_TAGS_DEL"

    kind: Literal["cluster", "instance", "network", "node", "nodegroup"]
    tags: list[str]
    name: str | None = None


class OsDiagnose(Opcode, frozen=True, kw_only=True):
    """List OS definitions and their state on all nodes."""

    OP_ID = "OP_OS_DIAGNOSE"

    output_fields: list[NonEmpty]
    names: list[NonEmpty] = field(default_factory=list)
