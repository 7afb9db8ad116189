"""The record of what sessions are signed with."""

from twisted_rapi.model.record_base import SingleRecord


class SessionKeyRecord(SingleRecord, frozen=True, kw_only=True):
    """
    What sessions of the API are signed with; it is in the store, so they go on under the next master.

    :ivar key: 32 random bytes in hex.
    """

    KIND = "sessionkey"

    key: str
