"""What is known of an opcode that was run in a `twisted_rapi.testing.world.World`."""

from typing import Any

import attrs

from twisted_rapi.errors import JobError
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.plan.stage import Entry


@attrs.define(kw_only=True)
class Ended:
    """
    How an opcode ended.

    :ivar entries: those of its log that are no messages.
    :ivar stages: the words of the stages it went through, in order; those of dry runs are not carried out.
    :ivar steps: the kinds of the steps that were tried, in order.
    :ivar unlocked: keys of objects it changed without having their lock.
    :ivar jobs: what it submitted.
    """

    result: Any = None
    error: JobError | None = None
    log: list[str] = attrs.field(factory=list)
    entries: list[Entry] = attrs.field(factory=list)
    stages: list[str] = attrs.field(factory=list)
    steps: list[str] = attrs.field(factory=list)
    unlocked: set[str] = attrs.field(factory=set)
    jobs: tuple[tuple[Opcode, ...], ...] = ()
