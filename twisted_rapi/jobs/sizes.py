"""
How large the record of a job may be, and what is left out of one that would be larger.  Pure.

Note [A job can always end].  The store takes commits of a limited size.  What would be too large must not
end the term: the next master would come to the same.  So a job is accepted only while its record is well
below the limit; what opcodes come to (results, log lines) is cut where the record would no longer fit; room
is left for the ends of the opcodes that are still to run.  Where the store refuses a record all the same, as
one that is set up to take less does, more is left out until it takes it.
"""

from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import CommitTooLarge
from twisted_rapi.model.records import FINAL, JobRecord, LogEntry, OpRecord, job_status
from twisted_rapi.state.codec import encode

RESERVE = 1024  # bytes kept free for each opcode that has not ended
SMALLEST = 1024  # of a record that is not made smaller
MOST_LOG = 512 * 1024  # bytes of all log lines of a job
MOST_LINE = 16 * 1024  # characters of one
MOST_ERROR = 256 * 1024  # characters of an error's text
FEW_LINES, SHORT = 10, 200  # what stays of a log that has to be cut, and of each line or text
FULL = "Further messages of this job are not kept: there are too many"
LEFT_OUT = "The result was too large to be kept: {} bytes"


@attrs.frozen
class Sizes:
    """
    Parts of the largest commit (`twisted_rapi.state.interface.IStateStore.largest`), in bytes.

    :ivar record: what a job's record may have; `accepted`: the same when it is submitted; `submitted`: what
        all jobs that one job submits at once may have.
    """

    largest: int

    @property
    def record(self) -> int:
        """Half: the other half is for what is changed in the same commit."""
        return self.largest // 2

    @property
    def accepted(self) -> int:
        """A quarter."""
        return self.largest // 4

    @property
    def submitted(self) -> int:
        """A quarter."""
        return self.largest // 4


def size_of(job: JobRecord) -> int:
    """The bytes of its record."""
    return len(encode(job))


def room_for(job: JobRecord, index: int, most: int) -> int:
    """What the record may have as long as the opcodes after this one have not ended."""
    return most - RESERVE * sum(op.status not in FINAL for op in job.ops[index + 1 :])


def fitted(job: JobRecord, index: int, most: int) -> JobRecord:
    """
    The job; with less of what this opcode came to where its record would have more than `most` bytes.

    :raises CommitTooLarge: what is left is still too large.
    """
    room = room_for(job, index, most)
    size = size_of(job)
    for smaller in _SMALLER:
        if size <= room:
            return job
        job = smaller(job, index)
        size = size_of(job)
    if size <= room:
        return job
    raise CommitTooLarge(f"the record of job {job.id} has {size} bytes of {room}")


def cut(text: str, most: int) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} characters left out)"


def cut_error(pair: Any, most: int = MOST_ERROR) -> Any:
    """An error as jobs show it, its texts together no longer than about `most` characters."""
    name, arguments = pair
    if sum(map(len, map(str, arguments))) <= most:
        return pair
    return [name, [cut(str(arguments[0]), most), *arguments[1:]]]


def logged(job: JobRecord, entries: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    """Those of new log entries that are kept; the last one says where others are not."""
    if any(op.log and op.log[-1][3] == FULL for op in job.ops):
        return ()
    used = sum(_size(entry) for op in job.ops for entry in op.log)
    kept: list[LogEntry] = []
    for entry in entries:
        short = _cut_entry(entry, MOST_LINE)
        used += _size(short)
        if used > MOST_LOG:
            return (*kept, (*entry[:2], "message", FULL))
        kept.append(short)
    return tuple(kept)


def _cut_entry(entry: LogEntry, most: int) -> LogEntry:
    """The entry, its text no longer than so many characters; what is no text cannot be cut."""
    return (*entry[:3], cut(entry[3], most)) if isinstance(entry[3], str) else entry


def _size(entry: LogEntry) -> int:
    return 50 + len(msgspec.json.encode(entry[3]))


# What is left out, least important first.


def _worked_on(change: Callable[[OpRecord], OpRecord]) -> Callable[[JobRecord, int], JobRecord]:
    """The change of the opcode that is worked on."""

    def changed(job: JobRecord, index: int) -> JobRecord:
        return replace(job, ops=(*job.ops[:index], change(job.ops[index]), *job.ops[index + 1 :]))

    return changed


def _short_result(op: OpRecord) -> OpRecord:
    if op.status == "error":
        return replace(op, result=cut_error(op.result, SHORT))
    size = size_of(
        JobRecord(id=0, ops=(OpRecord(input={}, summary="", result=op.result),), received_ts=(0, 0))
    )
    return op if size <= RESERVE else replace(op, result=LEFT_OUT.format(size))


def _short_log(op: OpRecord) -> OpRecord:
    if len(op.log) <= FEW_LINES and all(len(str(entry[3])) <= SHORT for entry in op.log):
        return op
    few = [_cut_entry(entry, SHORT) for entry in op.log[:FEW_LINES] if isinstance(entry[3], str)]
    return replace(op, log=(*few, (*op.log[-1][:2], "message", FULL)))


def _bare(job: JobRecord, _: int) -> JobRecord:
    """Of a job that has ended the opcodes without their parameters; others need them."""
    return replace(job, ops=tuple(map(_bare_op, job.ops))) if job_status(job) in FINAL else job


def _bare_op(op: OpRecord) -> OpRecord:
    short = _short_log(_short_result(op))
    return replace(short, input={"OP_ID": op.input["OP_ID"]}, summary=cut(op.summary, SHORT))


_SMALLER = (_worked_on(_short_result), _worked_on(_short_log), _bare)
