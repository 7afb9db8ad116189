"""The records of who is master, and of who may follow."""

from msgspec import field

from twisted_rapi.model.record_base import Record, SingleRecord


class ElectionRecord(SingleRecord, frozen=True, kw_only=True):
    """Who is master: every commit of a master is fenced by this record's `term`."""

    KIND = "election"

    term: int
    node: str  # uuid


class CandidateRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    A daemon that is there to take over; it hangs on a lease and vanishes with the daemon.

    :ivar since: when it began, seconds since the epoch; `version`: of its program.
    :ivar proxy: ``host:port`` where other candidates hand on what they are asked; "" for nowhere.
    :ivar alike: digests of what all candidates are to have alike (`twisted_rapi.alike.digests`), by its name.
    :ivar hindered: why its host could not have the floating address now; "" if it could, or there is none.
    """

    KIND = "candidate"

    uuid: str  # the node's
    since: float
    version: str
    proxy: str = ""
    alike: dict[str, str] = field(default_factory=dict)
    hindered: str = ""


class SwitchRecord(SingleRecord, frozen=True, kw_only=True, omit_defaults=True):
    """
    The wish that another candidate be master; it means nothing in a later term.

    :ivar term: the term that is to end; `target`: uuid of the node that is to follow, "" for any.
    :ivar asked: when, seconds since the epoch; `who`: the user or tool that asked.
    :ivar refused: why the master does not follow it.
    """

    KIND = "switch"

    term: int
    target: str
    asked: float
    who: str
    refused: str = ""


class DistributionRecord(SingleRecord, frozen=True, kw_only=True, omit_defaults=True):
    """
    What candidates take over from one of them.

    :ivar at: when it was asked for, in seconds since the epoch; later ones are above earlier ones.
    :ivar source: uuid of the node whose files are to be everywhere.
    :ivar users: the text of its users file; ``None`` until its daemon has put it here.
    :ivar files: the texts of its other files by name.
    """

    KIND = "distribution"

    at: float
    source: str
    users: str | None = None
    files: dict[str, str] = {}
