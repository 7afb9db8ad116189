"""The record of what PVC's API wants of a node: whether machines are to be there."""

from typing import Literal

from twisted_rapi.model.record_base import Record

DomainState = Literal["flush", "flushed", "unflush"]


class DomainStateRecord(Record, frozen=True, kw_only=True):
    """
    That machines are to leave a node, have left it, or come back; a node without one is ready.

    It is a wish of its own: RAPI's flag ``drained`` is another one.

    :ivar uuid: the node's.
    :ivar job: the id of the job that brought it about; what an earlier one has begun is over.
    """

    KIND = "domains"

    uuid: str
    state: DomainState
    job: int
