"""The record of what was found to be wrong with the cluster."""

from msgspec import Struct

from twisted_rapi.model.record_base import SingleRecord


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Something that was found to be wrong.

    :ivar id: eight hexadecimal digits that stand for what it is about; `text`: the same in words.
    :ivar delta: what it takes from the cluster's health of 100 while it lasts.
    :ivar first: when it was first found, `last`: when it was last known, in seconds since the epoch.
    :ivar acknowledged: when somebody said that it is known; 0 for never.
    :ivar over: whether it is no longer so.
    :ivar hidden: whether it was deleted while it lasts: it is not told again before it is over.
    """

    id: str
    text: str
    delta: int
    first: float
    last: float
    acknowledged: float = 0.0
    over: bool = False
    hidden: bool = False


class FaultsRecord(SingleRecord, frozen=True, kw_only=True, omit_defaults=True):
    """All faults that are remembered, the oldest first."""

    KIND = "faults"

    faults: tuple[Fault, ...] = ()
