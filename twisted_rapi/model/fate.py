"""The records of what is done about guests and nodes that have died."""

from twisted_rapi.model.record_base import Record


class WatchdogRecord(Record, frozen=True, kw_only=True):
    """
    When the watchdog started an instance, seconds since the epoch.

    :ivar uuid: the instance's.
    """

    KIND = "watchdog"

    uuid: str
    starts: tuple[float, ...] = ()
