"""The contract of `IStateStore` on a real etcd of three members."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.contract.etcd import shared_etcd
from tests.requirements import missing
from twisted_rapi.errors import StoreError
from twisted_rapi.state.etcd import EtcdStore
from twisted_rapi.state.interface import Commit, IStateStore
from twisted_rapi.testing.contracts.state import StateStoreContract, put

any_reactor: Any = reactor


class EtcdStoreTests(StateStoreContract, TestCase):
    """The one that candidates share."""

    skip = missing("etcd")
    timeout = 60
    store: EtcdStore
    kept = 300

    async def make(self) -> IStateStore:
        self.etcd = shared_etcd()
        return await self.etcd.store(any_reactor, history=self.kept)

    async def forget(self) -> None:
        """Commit, and have etcd compact."""
        for n in range(5):
            await self.store.commit(put(a=str(n)))
        answer = await self.store._asker.insist("kv/range", {"key": "AA=="})
        await self.store._asker.insist("kv/compaction", {"revision": answer["header"]["revision"]})

    async def many(self) -> None:
        for n in range(self.kept + 50):  # those made at the same time would be one change
            await self.store.commit(put(a=str(n)))

    async def told(self) -> None:
        while self.store._feed.revision < self.store.revision:
            await deferLater(any_reactor, 0.02)

    async def test_kept(self) -> None:
        """Who opens it later finds everything, at its revisions."""
        revision = await self.store.commit(put(a="1"))
        prefix = self.store._space.prefix.decode()
        other = await self.etcd.store(any_reactor, prefix)
        self.addCleanup(lambda: Deferred.fromCoroutine(other.close()))
        found = await other.get(["k/a"])
        self.assertEqual((found["k/a"].revision, other.revision), (revision, revision))

    async def test_bad_key(self) -> None:
        """What cannot be a key is refused; the store goes on."""
        await self.fails(StoreError, self.store.commit(Commit(puts={"k/\ud800": b""})))
        await self.fails(StoreError, self.store.get(["k/\ud800"]))
        await self.store.commit(put(a="1"))

    async def test_no_marks_left(self) -> None:
        """A store that was closed leaves nothing but what was committed."""
        await self.store.commit(put(a="1"))
        space = self.store._space
        await self.store.close()
        other = await self.etcd.store(any_reactor, space.prefix.decode())
        self.addCleanup(lambda: Deferred.fromCoroutine(other.close()))
        from twisted_rapi.state.etcd_wire import pairs, range_of

        answer = await other._asker.insist("kv/range", range_of(space.prefix, space.end))
        self.assertEqual([p.key for p in pairs(answer)], [space.base, space.entry("k/a")])
