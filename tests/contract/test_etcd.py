"""The contract of `IStateStore` on a real etcd of three members."""

from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.contract.etcd import shared_etcd
from tests.contract.test_state_model import KEYS, PREFIXES
from tests.requirements import missing
from twisted_rapi.errors import Compacted, RapiError, StoreClosed, StoreError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import encode
from twisted_rapi.state.etcd import EtcdStore, open_etcd
from twisted_rapi.state.interface import Commit, IStateStore
from twisted_rapi.testing.contracts.state import StateStoreContract, put
from twisted_rapi.testing.etcd_model import FakeGateway
from twisted_rapi.testing.memory_store import MemoryStore

any_reactor: Any = reactor


async def _told(work: Any) -> Any:
    """What it answers, an error as its class and text."""
    try:
        return await work
    except RapiError as e:
        return type(e), str(e)


class Earlier:
    """What a process is told of the time before it began to watch; mixed into the contract's tests."""

    async def test_earlier(self: Any) -> None:
        """A watch from before the process followed shows all since, in order, and then what comes, once."""
        revisions = [await self.store.commit(put(a=str(n))) for n in range(4)]
        feed = self.store._feed
        follower = self.store.watch(["k/"], revisions[-1])
        watches = [self.store.watch(["k/"], revisions[n]) for n in (2, 0, 1)]
        found = [await self.taken(watch, n) for watch, n in zip(watches, (1, 3, 2), strict=True)]
        self.assertEqual(found, [revisions[3:], revisions[1:], revisions[2:]])
        for n in range(2):
            # The first of these is told by the stream of those who came late, the second by everybody's.
            last = await self.store.commit(put(b=str(n)))
            self.assertEqual([await self.taken(watch, 1) for watch in (*watches, follower)], [[last]] * 4)
        for watch in watches:
            watch.close()
        self.assertEqual(([each.running for each in feed._earlier if each.running], feed.running), ([], True))
        follower.close()

    async def taken(self, watch: Any, count: int) -> list[int]:
        """So many of a watch's revisions."""
        found: list[int] = []
        while len(found) < count:
            found += [change.revision for change in await watch.next()]
        return found

    async def test_earlier_closed(self: Any) -> None:
        """Who watches from before is told that the store was closed."""
        first = await self.store.commit(put(a="1"))
        last = await self.store.commit(put(a="2"))
        follower, watch = (self.store.watch(["k/"], after) for after in (last, first))
        self.assertEqual(await self.taken(watch, 1), [last])
        waiting = Deferred.fromCoroutine(watch.next())
        await self.store.close()
        await self.assertFailure(waiting, StoreClosed)
        watch.close()
        follower.close()

    async def test_earlier_forgotten(self: Any) -> None:
        """Where etcd has compacted that says so."""
        await self.forget()
        follower = self.store.watch(["k/"], self.store.revision)
        watch = self.store.watch(["k/"], 1)
        await self.fails(Compacted, watch.next())
        watch.close()
        follower.close()


class FakeEtcdStoreTests(Earlier, StateStoreContract, TestCase):
    """The same over a gateway in memory, which so is like the real one."""

    kept = 300

    async def make(self) -> IStateStore:
        self.etcd = FakeGateway()
        return await open_etcd(self.etcd, any_reactor, "writer", history=self.kept)

    async def many(self) -> None:
        for n in range(self.kept + 50):
            await self.store.commit(put(a=str(n)))

    async def forget(self) -> None:
        for n in range(5):
            await self.store.commit(put(a=str(n)))
        await self.etcd.call("kv/compaction", {"revision": self.etcd.revision}, 1.0)


class EtcdStoreTests(Earlier, StateStoreContract, TestCase):
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

    async def test_as_in_memory(self) -> None:
        """Whatever is done to it and to the store in memory, they answer alike."""
        chance = Random(20261121)
        for _ in range(40):
            memory, store = MemoryStore(), await self.etcd.store(any_reactor)
            try:
                for _ in range(chance.randint(1, 12)):
                    await self._both(chance, memory, store)
                every = (*KEYS, "election")
                self.assertEqual(await store.get(every), await memory.get(every))
                self.assertEqual(store.revision, memory.revision)
            finally:
                await store.close()

    async def _both(self, chance: Random, memory: MemoryStore, store: EtcdStore) -> None:
        if chance.random() < 0.3:
            asked = (chance.choice(PREFIXES), chance.choice(("", *KEYS)), chance.randint(1, 4))
            self.assertEqual(await store.list(*asked), await memory.list(*asked), asked)
            return
        keys = chance.sample(KEYS, 4)
        found = await memory.get(keys)
        off = [0, 0, 0, 0, 1]
        change = Commit(
            expect={k: (found[k].revision if k in found else 0) + chance.choice(off) for k in keys[:2]},
            puts={key: chance.randbytes(chance.randint(0, 3)) for key in keys[1:3]},
            deletes=frozenset(keys[2:4]) if chance.random() < 0.4 else frozenset(),
            term=chance.choice([None, 1, 2, 3]),
        )
        if chance.random() < 0.2:
            won = encode(ElectionRecord(term=chance.randint(1, 3), node="n"))
            change = Commit(puts={"election": won})
        self.assertEqual(await _told(store.commit(change)), await _told(memory.commit(change)))

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
