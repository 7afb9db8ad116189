"""
Who is master, and for which term.

With the embedded store there is one candidate: it wins at once, with a term higher than all before, so that
agents refuse whatever an earlier process of it may still be sending.
"""

from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import key_of
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.interface import Commit, IStateStore


class IElection(Interface):
    """
    How this candidate becomes master, and how it learns that it no longer is.

    At no time does `holds` answer true to two candidates.
    """

    async def win() -> int:
        """
        Wait until this node is master and answer the term; it is in the store then.

        A term won before has been given up.

        :raises StoreError: the store cannot be read or written.
        """

    def holds() -> bool:
        """
        Whether the term won last is this candidate's for certain, now.

        To be asked at each use of the term: a process that was stopped for a while finds out here, before it
        does anything, that others may be master meanwhile.
        """

    async def over() -> str:
        """Wait until the term won last is over, and answer why."""

    async def resign() -> None:
        """
        Give the term up, so that another can win at once; all that used it has ended.

        May be called without a term.
        """


async def next_term(store: IStateStore, node: str) -> tuple[ElectionRecord, int]:
    """
    The record of the term after the store's, with `node` as master, and the revision that it replaces.

    :raises StoreError: the store cannot be read.
    """
    key = ElectionRecord.KIND
    entry = (await store.get([key])).get(key)
    if entry is None:
        return ElectionRecord(term=1, node=node), 0
    record = decode(key, entry.value)
    assert isinstance(record, ElectionRecord)
    return ElectionRecord(term=record.term + 1, node=node), entry.revision


@implementer(IElection)
class SoleCandidate:
    """
    The election of a cluster with one candidate.

    :param node: uuid of this node.
    """

    def __init__(self, store: IStateStore, node: str) -> None:
        self._store = store
        self._node = node
        self._term: Deferred[str] | None = None

    async def win(self) -> int:
        """Take the next term."""
        won, before = await next_term(self._store, self._node)
        key = key_of(won)
        await self._store.commit(Commit(expect={key: before}, puts={key: encode(won)}))
        self._term = Deferred()
        return won.term

    def holds(self) -> bool:
        """Nobody else could have it."""
        return self._term is not None

    async def over(self) -> str:
        """Only when it is given up."""
        return "there is no term" if self._term is None else await self._term

    async def resign(self) -> None:
        """See `IElection.resign`."""
        term, self._term = self._term, None
        if term is not None and not term.called:
            term.callback("it was given up")
