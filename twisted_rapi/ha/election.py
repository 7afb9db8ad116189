"""
Who is master, and for which term.

With the embedded store there is one candidate: it wins at once, with a term higher than all before, so that
agents refuse whatever an earlier process of it may still be sending.
"""

from zope.interface import Interface, implementer

from twisted_rapi.model.records import ElectionRecord, key_of
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.interface import Commit, IStateStore


class IElection(Interface):
    """How this candidate becomes master."""

    async def win() -> int:
        """
        Wait until this node is master and answer the term; it is in the store then.

        :raises StoreError: the store cannot be read or written.
        """


@implementer(IElection)
class SoleCandidate:
    """
    The election of a cluster with one candidate.

    :param node: uuid of this node.
    """

    def __init__(self, store: IStateStore, node: str) -> None:
        self._store = store
        self._node = node

    async def win(self) -> int:
        """Take the next term."""
        key = ElectionRecord.KIND
        entry = (await self._store.get([key])).get(key)
        before = 0
        if entry is not None:
            record = decode(key, entry.value)
            assert isinstance(record, ElectionRecord)
            before = record.term
        won = ElectionRecord(term=before + 1, node=self._node)
        expect = {key: entry.revision if entry is not None else 0}
        await self._store.commit(Commit(expect=expect, puts={key_of(won): encode(won)}))
        return won.term
