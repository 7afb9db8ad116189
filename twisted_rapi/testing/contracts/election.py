"""What holds of every election."""

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from twisted_rapi.errors import StaleTerm, StoreError
from twisted_rapi.ha.election import IElection
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import Commit, IStateStore


class ElectionContract:
    """
    `IElection`; mixed into a test case that sets `store` and says how to make a candidate and have it win.

    :ivar store: where terms are kept.
    """

    store: IStateStore

    def candidate(self, node: str) -> IElection:
        """A candidate over `store`."""
        raise NotImplementedError

    async def win(self, candidate: Any) -> int:
        """Have it win; answers the term."""
        term: int = await candidate.win()
        return term

    async def _stored(self) -> ElectionRecord:
        entry = (await self.store.get([ElectionRecord.KIND]))[ElectionRecord.KIND]
        record = decode(ElectionRecord.KIND, entry.value)
        assert isinstance(record, ElectionRecord)
        return record

    async def test_interface(self: Any) -> None:
        """It offers what it should."""
        verifyObject(IElection, self.candidate("n1"))

    async def test_in_store(self: Any) -> None:
        """Once it is won, the term and who has it are in the store."""
        term = await self.win(self.candidate("n1"))
        self.assertGreater(term, 0)
        self.assertEqual(await self._stored(), ElectionRecord(term=term, node="n1"))

    async def test_rises(self: Any) -> None:
        """Each term is higher than all before, whoever wins, and however often one candidate does."""
        first, second = self.candidate("n1"), self.candidate("n2")
        terms = []
        for candidate in (first, second, first, first):
            terms.append(await self.win(candidate))
            await candidate.resign()
        self.assertEqual(terms, sorted(set(terms)))
        self.assertEqual((await self._stored()).node, "n1")

    async def test_fences(self: Any) -> None:
        """Who was master before can write nothing any more."""
        first = self.candidate("n1")
        before = await self.win(first)
        await self.store.commit(Commit(puts={"cluster": b"{}"}, term=before))
        await first.resign()
        now = await self.win(self.candidate("n2"))
        with self.assertRaises(StaleTerm):
            await self.store.commit(Commit(puts={"cluster": b"{}"}, term=before))
        await self.store.commit(Commit(puts={"cluster": b"{}"}, term=now))

    async def test_holds(self: Any) -> None:
        """A term is held from when it is won until it is given up, which who waits for its end is told."""
        candidate = self.candidate("n1")
        self.assertFalse(candidate.holds())
        await self.win(candidate)
        self.assertTrue(candidate.holds())
        over = Deferred.fromCoroutine(candidate.over())
        self.assertNoResult(over)
        await candidate.resign()
        self.assertFalse(candidate.holds())
        self.assertTrue(self.successResultOf(over))
        await candidate.resign()

    async def test_no_store(self: Any) -> None:
        """Without a store nobody wins."""
        candidate = self.candidate("n1")
        await self.store.close()
        with self.assertRaises(StoreError):
            await self.win(candidate)
