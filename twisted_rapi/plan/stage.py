"""
What a plan answers: the next stage of carrying an opcode out.

A plan is a pure function ``(opcode, progress, view) -> Stage``.  The executor carries the stage out and asks
again, until the answer is `Finish` or the plan raises `twisted_rapi.errors.JobError`.  A plan decides from
what is wanted (records), what is seen (reports) and how far the opcode has come (`Progress`), so a master
that takes over simply asks again: nothing is replayed.

Rules a plan keeps:

* The first answer (stage ``""``) comes after all prerequisites were judged; nothing was changed before.
* What nodes are about to make is in the store (`Change`) before a node is asked to make it.
* A stage may be carried out again after a crash; its steps are idempotent.
"""

from collections.abc import Generator, Iterator
from typing import Any

import attrs

from twisted_rapi.errors import JobError
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import Params
from twisted_rapi.model.steps import Outcome, Step


@attrs.frozen
class Do:
    """One step on the node with this uuid."""

    node: str
    step: Step


@attrs.frozen
class InSequence:
    """One after the other; the first that fails ends it."""

    works: tuple["Work", ...] = ()


@attrs.frozen
class InParallel:
    """All begun together; fails when all have ended, if any failed."""

    works: tuple["Work", ...] = ()


Work = Do | InSequence | InParallel


def steps_of(work: Work) -> Iterator[Do]:
    """The single steps, in the order outcomes are given."""
    if isinstance(work, Do):
        yield work
    else:
        for part in work.works:
            yield from steps_of(part)


@attrs.frozen(kw_only=True)
class Progress:
    """
    How far an opcode has come.

    :ivar stage: the word its plan gave to the last stage that was carried out; ``""`` at the beginning.
    :ivar kept: what its plan noted with `Change`.
    :ivar outcomes: of the last `Perform`, one a step in the order of `steps_of`; ``None`` for a step that
        failed or was not reached.  Lost when the master changes: a plan must not rely on them across a
        `Change`.
    :ivar error: why the last `Perform` failed, where it named a stage for that.
    :ivar job: the id of the job.
    """

    stage: str = ""
    kept: Params = attrs.field(factory=dict)
    outcomes: tuple[Outcome | None, ...] = ()
    error: JobError | None = None
    job: int = 0


@attrs.frozen
class Entry:
    """An entry of a job's log of another type than ``message`` (behaviour.md §3); `value` is its JSON."""

    type: str
    value: Any


@attrs.frozen(kw_only=True)
class Change:
    """
    Commit these records and this progress, in one commit with the revisions the plan has seen.

    When one of them was changed meanwhile nothing is written and the plan is asked again.

    :ivar names: names to reserve (``name_key`` -> uuid).
    :ivar free: name keys to free.
    :ivar entries: further ones of the log, after it.
    :ivar filled: parameters the opcode did not give and its job shows from now on.
    """

    stage: str
    puts: tuple[Record, ...] = ()
    deletes: tuple[Record, ...] = ()
    names: dict[str, str] = attrs.field(factory=dict)
    free: tuple[str, ...] = ()
    kept: Params = attrs.field(factory=dict)
    log: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    filled: Params = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Perform:
    """
    Have nodes carry out work.

    :ivar stage: the stage after it succeeded.
    :ivar failed: the stage after it failed; ``None``: the opcode fails with the error, no change is made.
    :ivar check: it only looks (it belongs to the prerequisites): done even for a dry run.
    :ivar patience: seconds to wait for a node that stops answering to come back before it is a failure.
    :ivar kept: values noted along with the outcomes, and lost where those are.
    :ivar endless: whether it only waits, maybe for very long: the job can be cancelled meanwhile.
    """

    work: Work
    stage: str
    failed: str | None = None
    check: bool = False
    patience: float = 30.0
    log: tuple[str, ...] = ()
    kept: Params = attrs.field(factory=dict)
    endless: bool = False


@attrs.frozen(kw_only=True)
class Finish:
    """
    Commit these records and the end of the opcode, in one commit.

    :ivar error: the opcode ends with this error; ``None``: with success and `result`.
    :ivar jobs: further jobs, each of these opcodes, submitted in the same commit.  The result is then an
        object with ``jobs``, a list of ``[true, id]``, beside what `result` has.  A negative id in an
        opcode's ``depends`` counts back from its own job in this list.
    :ivar filled: parameters the opcode did not give and its job shows from now on.
    """

    result: Any = None
    puts: tuple[Record, ...] = ()
    deletes: tuple[Record, ...] = ()
    names: dict[str, str] = attrs.field(factory=dict)
    free: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    error: JobError | None = None
    jobs: tuple[tuple[Opcode, ...], ...] = ()
    filled: Params = attrs.field(factory=dict)


@attrs.frozen
class ArchivedJob:
    """Asks for the archived job of this id; answered with its record, ``None`` if there is none."""

    id: int


@attrs.frozen
class ArchivedAfter:
    """Asks for some archived jobs; answered with them, and after what to ask next (``None``: no more)."""

    after: str


Asked = ArchivedJob | ArchivedAfter | None


@attrs.frozen(kw_only=True)
class Gather:
    """
    Look at many things bit by bit, and go on with what comes out.

    :ivar work: yields ``None`` as often as others may be let work, and is sent the view as of then (the same
        one if nobody worked); or yields what it wants of the archive, and is sent that.  What it returns is
        the stage.
    """

    work: Generator[Asked, Any, "Finish | Perform"]


@attrs.frozen(kw_only=True)
class DryRun:
    """
    What a plan's first answer is wrapped in when a dry run of it has a result of its own.

    :ivar result: the result of the dry run.
    :ivar then: the stage that is carried out otherwise.
    """

    result: Any
    then: "Stage"


Stage = Change | Perform | Finish | DryRun | Gather


def judges(stage: Stage) -> bool:
    """Whether a stage belongs to the prerequisites, so that a dry run goes through it."""
    match stage:
        case Perform():
            return stage.check
        case Finish():
            return stage.error is not None
    return False
