"""The records of what is done about guests and nodes that have died."""

from typing import Literal

from twisted_rapi.model.record_base import Record

Fate = Literal["suspect", "fenced", "recovering"]


class WatchdogRecord(Record, frozen=True, kw_only=True):
    """
    When the watchdog started an instance, seconds since the epoch.

    :ivar uuid: the instance's.
    """

    KIND = "watchdog"

    uuid: str
    starts: tuple[float, ...] = ()


class NodeFateRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    What has become of a node that fell silent; a node without one is well.

    :ivar uuid: the node's; `since`: when it came to this `fate`, seconds since the epoch.
    :ivar proof: what says that it is dead: who confirmed it; empty for a suspicion.
    :ivar tried: uuids of the instances that were to be restarted elsewhere.
    """

    KIND = "fate"

    uuid: str
    fate: Fate
    since: float
    proof: str = ""
    tried: tuple[str, ...] = ()
