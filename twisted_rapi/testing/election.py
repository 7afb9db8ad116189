"""An election whose end the test decides."""

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_rapi.ha.election import IElection
from twisted_rapi.model.records import ElectionRecord, key_of
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.interface import Commit, IStateStore


@implementer(IElection)
class ScriptedElection:
    """
    `IElection` that waits for the test's word.

    :ivar asked: one Deferred for each time it was sought; fired with a term, the election is won with that
        one, or the next if it was had before; fired with an error, it could not be held.
    """

    def __init__(self, store: IStateStore, node: str = "test") -> None:
        self._store, self._node = store, node
        self.asked: list[Deferred[int]] = []

    async def win(self) -> int:
        """See `IElection.win`."""
        word: Deferred[int] = Deferred()
        self.asked.append(word)
        wanted = await word
        key = ElectionRecord.KIND
        entry = (await self._store.get([key])).get(key)
        before = 0
        if entry is not None:
            record = decode(key, entry.value)
            assert isinstance(record, ElectionRecord)
            before = record.term
        won = ElectionRecord(term=max(wanted, before + 1), node=self._node)
        await self._store.commit(Commit(puts={key_of(won): encode(won)}))
        return won.term
