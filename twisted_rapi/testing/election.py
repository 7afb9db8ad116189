"""An election whose end the test decides."""

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_rapi.ha.election import IElection, next_term
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import key_of
from twisted_rapi.state.codec import encode
from twisted_rapi.state.interface import Commit, IStateStore


@implementer(IElection)
class ScriptedElection:
    """
    `IElection` that waits for the test's word.

    :ivar asked: one Deferred for each time it was sought; fired with a term, the election is won with that
        one, or the next if it was had before; fired with an error, it could not be held.
    :ivar certain: whether a term that was won is held for certain.
    :ivar ends: while there is a term, fired with a reason to end it.
    """

    def __init__(self, store: IStateStore, node: str = "test") -> None:
        self._store, self._node = store, node
        self.asked: list[Deferred[int]] = []
        self.certain = True
        self.ends: Deferred[str] | None = None

    async def win(self) -> int:
        """See `IElection.win`."""
        word: Deferred[int] = Deferred()
        self.asked.append(word)
        wanted = await word
        self.ends = Deferred()
        found, before = await next_term(self._store, self._node)
        won = ElectionRecord(term=max(wanted, found.term), node=self._node)
        key = key_of(won)
        await self._store.commit(Commit(expect={key: before}, puts={key: encode(won)}))
        return won.term

    def holds(self) -> bool:
        """See `IElection.holds`."""
        return self.ends is not None and self.certain

    async def over(self) -> str:
        """See `IElection.over`."""
        return "there is no term" if self.ends is None else await self.ends

    async def resign(self) -> None:
        """See `IElection.resign`."""
        ends, self.ends = self.ends, None
        if ends is not None and not ends.called:
            ends.callback("it was given up")
