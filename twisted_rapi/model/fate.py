"""The records of what is done about guests and nodes that have died."""

from typing import Literal

from msgspec import Struct

from twisted_rapi.model.fault import FaultsRecord
from twisted_rapi.model.record_base import Record, SingleRecord

Fate = Literal["suspect", "fencing", "fenced", "recovering"]


class WatchdogRecord(Record, frozen=True, kw_only=True):
    """
    When the watchdog started an instance, seconds since the epoch.

    :ivar uuid: the instance's.
    """

    KIND = "watchdog"

    uuid: str
    starts: tuple[float, ...] = ()


class FenceAttempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One attempt to switch a node off.

    :ivar at: when it began, seconds since the epoch; `by`: uuid of the node that does it.
    :ivar error: why it failed; empty while it is under way, and where the master ended meanwhile.
    """

    at: float
    by: str
    error: str = ""


class NodeFateRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    What has become of a node that fell silent; a node without one is well.

    :ivar uuid: the node's; `since`: when it came to this `fate`, seconds since the epoch.
    :ivar proof: what says that it is dead: who confirmed it, or has seen it off; empty for a suspicion.
    :ivar tried: uuids of the instances that were to be restarted elsewhere.
    :ivar tries: how often it was tried to switch it off; `attempts`: the last of them.
    :ivar role: what it was before it was marked offline: ``candidate``, ``drained`` or ``regular``.
    :ivar stopped: uuids of the instances whose old copies were stopped on it since it answers again; `back`:
        whether it was seen to be online since then.
    """

    KIND = "fate"

    uuid: str
    fate: Fate
    since: float
    proof: str = ""
    tried: tuple[str, ...] = ()
    tries: int = 0
    attempts: tuple[FenceAttempt, ...] = ()
    role: str = ""
    stopped: tuple[str, ...] = ()
    back: bool = False


class FencingsRecord(SingleRecord, frozen=True, kw_only=True):
    """When the master began to fence nodes, seconds since the epoch; the latest are enough."""

    KIND = "fencings"

    begun: tuple[float, ...] = ()


FATES: tuple[type[Record], ...] = (WatchdogRecord, NodeFateRecord, FencingsRecord, FaultsRecord)
"""The records of what goes wrong."""
