"""
What happened in a lab, as values; a file of them has one a line, as JSON.

All times are seconds of the machine's monotonic clock, which all processes of the lab share.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Literal, TypeVar

import attrs
import msgspec
from msgspec import Struct

FINAL = ("success", "error", "canceled")
"""What a job that has ended can be."""

Outcome = Literal["answered", "refused", "silent"]


class Event(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Something that was seen."""


class Asked(Event, frozen=True, kw_only=True):
    """
    A client asked once.

    :ivar at: when it asked; `until`: when it had the answer, or gave up.
    :ivar address: whom it asked.
    :ivar idempotent: whether it could have been asked again without harm.
    :ivar outcome: ``answered``: by the cluster; ``refused``: with 503; ``silent``: not at all, or half.
    :ivar master: who the answer says is master.
    :ivar job: which job was acknowledged, or asked for; `ended`: how the answer says that it ended.
    :ivar mark: what the job that was to be made can be known by; different for each request for one.
    """

    at: float
    until: float
    address: str
    method: str
    path: str
    outcome: Outcome
    status: int = 0
    idempotent: bool = False
    master: str = ""
    job: int | None = None
    ended: str = ""
    mark: str = ""


class JobSeen(Struct, frozen=True):
    """A job: what it is, and by what it can be known."""

    status: str
    marks: tuple[str, ...] = ()


class Committed(Event, frozen=True, kw_only=True):
    """
    A transaction of the store.

    :ivar at: when it was seen, which is after it was made.
    :ivar writer: who made it.
    :ivar kinds: what kinds of records it changed.
    :ivar term: the term that began with it, and `node`, its master.
    :ivar jobs: those it wrote; `gone`: those it removed without archiving them.
    """

    at: float
    revision: int
    writer: str
    kinds: tuple[str, ...] = ()
    term: int | None = None
    node: str = ""
    jobs: dict[int, JobSeen] = {}
    gone: tuple[int, ...] = ()


class Held(Event, frozen=True, kw_only=True):
    """Nodes that certainly had the floating address, all of them, at one moment."""

    at: float
    nodes: tuple[str, ...]


class Ran(Event, frozen=True, kw_only=True):
    """Nodes on which a machine certainly ran, all of them, at one moment."""

    at: float
    instance: str
    nodes: tuple[str, ...]


class Stepped(Event, frozen=True, kw_only=True):
    """An agent began a step; those of one node are in their order."""

    node: str
    term: int
    step: str
    instance: str = ""


class Served(Event, frozen=True, kw_only=True):
    """A daemon took itself for the master of a term."""

    node: str
    term: int


class Listed(Event, frozen=True, kw_only=True):
    """The jobs that the cluster had at the end."""

    jobs: dict[int, JobSeen]


class Caused(Event, frozen=True, kw_only=True):
    """A fault was caused, or (`mended`) all were mended."""

    at: float
    fault: str
    node: str = ""
    mended: bool = False


AnyEvent = Asked | Committed | Held | Ran | Stepped | Served | Listed | Caused
_Kind = TypeVar("_Kind", bound=Event)
_DECODER = msgspec.json.Decoder(AnyEvent)


@attrs.frozen
class History:
    """Events; those of one source are in their order."""

    events: tuple[AnyEvent, ...]

    def of(self, kind: type[_Kind]) -> Iterator[_Kind]:
        """Those of a kind."""
        return (event for event in self.events if isinstance(event, kind))

    def with_more(self, more: Iterable[AnyEvent]) -> "History":
        """These, and then more."""
        return History((*self.events, *more))


def note(event: AnyEvent, out: IO[bytes]) -> None:
    """Append an event to a file."""
    out.write(msgspec.json.encode(event) + b"\n")
    out.flush()


def events(lines: bytes) -> list[AnyEvent]:
    """
    What is in whole lines.

    :raises msgspec.DecodeError: one is no event.
    """
    return [_DECODER.decode(line) for line in lines.splitlines()]


def read(*files: Path) -> History:
    """
    What is in files; the last line of one whose writer was killed may be half, and is left out.

    :raises msgspec.DecodeError: another line is no event.
    """
    found: list[AnyEvent] = []
    for file in files:
        whole, _, _ = file.read_bytes().rpartition(b"\n")
        found += events(whole)
    return History(tuple(found))


def outage(asked: Iterable[Asked], since: float, until: float) -> float:
    """
    The longest time between two answers that came one after the other, in a stretch of time.

    The stretch's own ends count as answers.
    """
    came = sorted(a.until for a in asked if a.outcome == "answered" and since <= a.until <= until)
    points = [since, *came, until]
    return max(b - a for a, b in pairwise(points))


def failures(asked: Iterable[Asked], since: float, until: float) -> list[Asked]:
    """Requests of a stretch of time that could be repeated, and had to be."""
    return [a for a in asked if a.idempotent and a.outcome != "answered" and since <= a.at <= until]
