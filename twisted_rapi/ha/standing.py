"""Whether a candidate may go for a free seat: its node may not be allowed to, or it is another one's turn."""

from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface, implementer

from twisted_rapi.deadline import within
from twisted_rapi.errors import Compacted
from twisted_rapi.model.mastership import ElectionRecord, SwitchRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.succession import may_be_master
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import IStateStore

GRACE = 3.0
"""Seconds a seat that was given up for another candidate is left to it."""


class IStanding(Interface):
    """What keeps a candidate from a seat that nobody has."""

    async def ready() -> Mapping[str, int] | None:
        """
        The revisions that keys must still have when the seat is taken now; ``None`` when it may not be, once
        that may have changed.

        :raises StoreError: the store cannot be read.
        """


@implementer(IStanding)
class Anyone:
    """Nothing keeps this one back."""

    async def ready(self) -> Mapping[str, int] | None:
        """See `IStanding.ready`."""
        return {}


class _Quiet(Exception):
    """Nothing has changed for so long."""


@implementer(IStanding)
class StoredStanding:
    """
    `IStanding` by what the store says of a node.

    The node has to be a master candidate and neither offline nor drained.  When the term that ended was given
    up for another node (`SwitchRecord`), the seat is left to that one for `GRACE` seconds.

    :param node: uuid of the candidate's node.
    :param seat: the key whose change means that somebody has taken the seat.
    """

    def __init__(self, store: IStateStore, node: str, clock: IReactorTime, seat: str) -> None:
        self._store, self._node, self._clock, self._seat = store, node, clock, seat
        self._left: tuple[int, float] | None = None

    async def ready(self) -> Mapping[str, int] | None:
        """See `IStanding.ready`."""
        node_key = f"{NodeRecord.KIND}/{self._node}"
        after = self._store.revision
        keys = [node_key, SwitchRecord.KIND, ElectionRecord.KIND]
        entries = await self._store.get(keys)
        found = {key: decode(key, entry.value) for key, entry in entries.items()}
        node = found.get(node_key)
        if not isinstance(node, NodeRecord) or not may_be_master(node):
            await self._change([node_key], after, None)
            return None
        left = self._others_turn(found.get(SwitchRecord.KIND), found.get(ElectionRecord.KIND))
        if left > 0:
            await self._change([self._seat, SwitchRecord.KIND], after, left)
            return None
        return {node_key: entries[node_key].revision}

    def _others_turn(self, switch: object, election: object) -> float:
        """Seconds that the seat is to be left to another one."""
        if (
            not isinstance(switch, SwitchRecord)
            or not isinstance(election, ElectionRecord)
            or switch.term != election.term
            or switch.refused
            or switch.target in ("", self._node)
        ):
            return 0.0
        now = self._clock.seconds()
        if self._left is None or self._left[0] != switch.term:
            self._left = (switch.term, now + GRACE)
        return self._left[1] - now

    async def _change(self, keys: list[str], after: int, patience: float | None) -> None:
        watch = self._store.watch(keys, after)
        try:
            changed = Deferred.fromCoroutine(watch.next())
            if patience is not None:
                await within(changed, patience, self._clock, _Quiet)
            else:
                await changed
        except (Compacted, _Quiet):
            return
        finally:
            watch.close()
