"""Steps about the Ceph cluster that a node reaches: on any such node, of an OSD on the one it is on."""

from twisted_rapi.model.ceph import AnyChange, Subject
from twisted_rapi.model.step_base import Step


class LookAtCeph(Step, frozen=True, kw_only=True, tag="ceph.look", omit_defaults=True):
    """
    Say what there is in Ceph.  Nothing waits for it.

    Outcome ``units``: as `twisted_rapi.storage.ceph_interface.ICeph.look` answers; ``reason``: that what is
    named is not there.
    """

    subject: Subject
    pool: str = ""
    volume: str = ""


class ChangeCeph(Step, frozen=True, kw_only=True, tag="ceph.change", omit_defaults=True):
    """
    Change something of Ceph; `turn` of the change is its ``instance``.

    Outcome ``text``: of an OSD that was made its number.
    """

    change: AnyChange


class AwaitDrained(Step, frozen=True, kw_only=True, tag="ceph.drained", omit_defaults=True):
    """
    Wait until an OSD can be removed, but at most so many seconds.  Nothing else waits for it.

    Outcome ``text``: ``yes`` if it can.
    """

    osd: int
    at_most: float = 60.0


def turn(change: AnyChange) -> str:
    """What steps are called by that a node is to carry out one after the other: of one volume, one OSD …"""
    parts = (getattr(change, name, None) for name in ("pool", "volume", "osd", "device"))
    return " ".join(("ceph", *(str(part) for part in parts if part is not None)))
