"""A real etcd of three members whose members are killed, paused and cut off under the store."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.requirements import missing
from twisted_rapi.errors import Compacted, Conflict, StoreError, StoreUnreachable, Unanswered
from twisted_rapi.ha.leased import LeasedCandidate
from twisted_rapi.model.records import GroupRecord, key_of
from twisted_rapi.state.codec import encode
from twisted_rapi.state.etcd import EtcdStore, open_etcd
from twisted_rapi.state.etcd_gateway import Gateway, IGateway
from twisted_rapi.state.etcd_wire import Document, packed, revision_of
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.snapshot import load
from twisted_rapi.testing.etcd import EtcdCluster, Member

any_reactor: Any = reactor


async def sleep(seconds: float) -> None:
    """Let the world go on."""
    await deferLater(any_reactor, seconds)


async def taken(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """What it answers or raises, and after how many seconds."""
    begun = any_reactor.seconds()
    try:
        result = await work
    except StoreError as e:
        result = e
    return result, any_reactor.seconds() - begun


def one(key: str, value: str = "1") -> Commit:
    """A commit of one key that must not be there yet."""
    return Commit(expect={key: 0}, puts={key: value.encode()})


class Writers:
    """
    Commits without pause, each under a key of its own and with a count that is expected to be as it was.

    :ivar acknowledged: what was answered well; `doubtful`: what may or may not have been made.
    """

    def __init__(self, store: EtcdStore, workers: int = 3) -> None:
        self.store, self.acknowledged, self.doubtful, self.failed = store, list[str](), list[str](), 0
        self.twice: list[str] = []
        self._going = True
        self._work = [Deferred.fromCoroutine(self._write(n)) for n in range(workers)]

    async def _write(self, worker: int) -> None:
        number = 0
        while self._going:
            number += 1
            key = f"w/{worker}/{number:06d}"
            try:
                await self.store.commit(one(key))
                self.acknowledged.append(key)
            except Conflict:
                self.twice.append(key)  # nobody else writes these keys
            except Unanswered:
                self.doubtful.append(key)
            except StoreError:
                self.failed += 1
                await sleep(0.05)

    async def more(self, count: int) -> None:
        """Wait for further commits."""
        wanted = len(self.acknowledged) + count
        while len(self.acknowledged) < wanted:
            await sleep(0.02)

    async def stop(self) -> None:
        """Wait for the last ones."""
        self._going = False
        for work in self._work:
            await work


@implementer(IGateway)
class _Forgetting:
    """A gateway that has etcd forget all but its newest revision before the `at`th range."""

    def __init__(self, inner: Gateway, at: int) -> None:
        self._inner, self._left = inner, at
        self.member, self.stream = inner.member, inner.stream

    async def call(self, method: str, body: Document, seconds: float, endpoint: str | None = None) -> Any:
        """See `IGateway.call`."""
        self._left -= method == "kv/range"
        if method == "kv/range" and not self._left:
            put = {"key": packed(b"elsewhere"), "value": packed(b"1")}
            written = await self._inner.call("kv/put", put, seconds)
            await self._inner.call("kv/compaction", {"revision": str(revision_of(written))}, seconds)
        return await self._inner.call(method, body, seconds, endpoint)


class EtcdTests(TestCase):
    """What was acknowledged is there, once; who asks is answered or told why not, in time."""

    skip = missing("etcd")
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.etcd = EtcdCluster(Path(self.mktemp()).resolve())
        self.addCleanup(self.etcd.remove)
        self.etcd.set_up()
        self.etcd.start()
        self.store = await self.open(self.etcd.leader())

    async def open(self, first: Member, prefix: str = "/t", **more: Any) -> EtcdStore:
        """A store that asks this member first."""
        endpoints = [first.endpoint, *(e for e in self.etcd.endpoints if e != first.endpoint)]
        store = await self.etcd.store(any_reactor, prefix, endpoints, **more)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        return store

    async def test_one_moment(self) -> None:
        """All of it is read as of one revision, whatever is committed meanwhile; leases are left out."""
        keys = [f"k/{n:02d}" for n in range(20)]
        await self.store.commit(Commit(puts=dict.fromkeys(keys, b"0")))
        lease = await self.store.grant(30)
        await self.store.commit(Commit(puts={"here": b"1"}, leased={"here": lease}))
        going = [True]

        async def write() -> None:
            made = 0
            while going:
                made += 1
                await self.store.commit(Commit(puts=dict.fromkeys(keys, str(made).encode())))

        writing = Deferred.fromCoroutine(write())
        seen = set[bytes]()
        for _ in range(5):
            found = await self.store.everything(limit=1)
            self.assertEqual(list(found), keys)
            [value] = {entry.value for entry in found.values()}
            seen.add(value)
        going.clear()
        await writing
        self.assertGreater(len(seen), 1)

    async def test_forgotten(self) -> None:
        """Who reads all of it while etcd forgets that revision is told so, and not given a mixture."""
        gateway, end = self.etcd.connect(any_reactor)
        await self.store.commit(Commit(puts={f"k/{n}": b"0" for n in range(9)}))
        reader = await open_etcd(_Forgetting(gateway, at=3), any_reactor, "reader", "/t", end=end)
        self.addCleanup(lambda: Deferred.fromCoroutine(reader.close()))
        with self.assertRaises(Compacted):
            await reader.everything(limit=1)
        self.assertEqual(len(await reader.everything(limit=1)), 9)

    async def everything(self) -> list[str]:
        """All keys of the writers."""
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await self.store.list("w/", after)
            found += page.entries
            after = page.more
        return found

    async def check(self, writers: Writers) -> None:
        """Nothing acknowledged is lost; nothing else was made but what is in doubt; nothing twice."""
        found = set(await self.everything())
        self.assertEqual(set(writers.acknowledged) - found, set())
        self.assertEqual(found - set(writers.acknowledged) - set(writers.doubtful), set())
        self.assertEqual(writers.twice, [])

    async def test_leader_killed(self) -> None:
        """The leader dies in the midst of commits, again and again, and comes back."""
        writers = Writers(self.store)
        for _ in range(3):
            await writers.more(30)
            leader = self.etcd.leader()
            leader.kill()
            await writers.more(30)
            leader.daemon.start()
        await writers.stop()
        await self.check(writers)

    async def test_leader_paused(self) -> None:
        """The leader hangs with commits in its queue; when it goes on they change nothing any more."""
        writers = Writers(self.store)
        await writers.more(30)
        leader = self.etcd.leader()
        leader.pause()
        await writers.more(30)
        leader.go_on()
        await writers.more(30)
        await writers.stop()
        await self.check(writers)

    async def test_member_killed(self) -> None:
        """A watch goes on, without a gap, when the member it is from dies."""
        watch = self.store.watch(["w/"], 0)
        writers = Writers(self.store)
        await writers.more(20)
        self.etcd.leader().kill()
        await writers.more(20)
        await writers.stop()
        seen: list[str] = []
        while len(seen) < len(writers.acknowledged):
            seen += [key for change in await watch.next() for key in change.values]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertEqual(set(writers.acknowledged) - set(seen), set())
        watch.close()

    async def test_member_cut_off(self) -> None:
        """A watch from a member that hangs is taken over by another one within a few seconds."""
        member = self.etcd.followers()[0]
        store = await self.open(member)
        watch = store.watch(["k/"], store.revision)
        await self.store.commit(one("k/a"))
        await watch.next()
        member.pause()
        await self.store.commit(one("k/b"))
        begun = any_reactor.seconds()
        [change] = await watch.next()
        self.assertEqual(dict(change.values), {"k/b": b"1"})
        self.assertLess(any_reactor.seconds() - begun, 20)
        member.go_on()
        watch.close()

    async def test_no_quorum(self) -> None:
        """Reads and commits fail in time and say why; the snapshot goes on and says how old it is."""
        group = GroupRecord(uuid="g", name="group")
        await self.store.commit(Commit(puts={key_of(group): encode(group)}))
        snapshot = await load(self.store, any_reactor)
        snapshot.startService()
        self.addCleanup(snapshot.stopService)
        await sleep(2)
        self.assertLess(snapshot.age(), 2.0)
        lost = self.etcd.followers()
        for member in lost:
            member.kill()
        for work in (self.store.get(["k/a"]), self.store.list("k/"), self.store.commit(one("k/a"))):
            result, seconds = await taken(work)
            self.assertIsInstance(result, (StoreUnreachable, Unanswered))
            self.assertLess(seconds, 7)
        self.assertIn("g", snapshot.groups)
        self.assertGreater(snapshot.age(), 5.0)
        self.etcd.restore()
        # What was in doubt is settled before anything else is made.
        other = one("k/b")
        revision = 0
        while not revision:
            revision = await self._tried(other)
        while snapshot.age() > 2.0:
            await sleep(0.1)

    async def _tried(self, change: Commit) -> int:
        try:
            return await self.store.commit(change)
        except (StoreUnreachable, Unanswered):
            return 0

    async def test_doubt(self) -> None:
        """A commit that is in doubt and arrives much later overwrites nothing newer."""
        leader = self.etcd.leader()
        patient = await self.open(leader, patience=1.0)
        await patient.commit(Commit(puts={"k/count": b"1"}))
        for member in self.etcd.members:
            member.pause()
        result, _ = await taken(patient.commit(Commit(puts={"k/count": b"2"})))
        self.assertIsInstance(result, Unanswered)
        later = Deferred.fromCoroutine(patient.commit(Commit(puts={"k/count": b"3"})))
        later.addErrback(lambda _: None)
        for member in self.etcd.members:
            member.go_on()
        await later
        for _ in range(100):
            if await self._tried_with(patient, Commit(puts={"k/count": b"4"})):
                break
        for _ in range(10):
            await sleep(0.2)
            self.assertEqual((await self.store.get(["k/count"]))["k/count"].value, b"4")

    async def _tried_with(self, store: EtcdStore, change: Commit) -> int:
        try:
            return await store.commit(change)
        except (StoreUnreachable, Unanswered):
            return 0

    async def test_compaction(self) -> None:
        """Etcd compacts while a snapshot follows: it goes on; one that was cut off meanwhile reads anew."""
        snapshot = await load(self.store, any_reactor)
        snapshot.startService()
        self.addCleanup(snapshot.stopService)
        for n in range(5):
            await self._group(f"g{n}")
            answer = await self.store._asker.insist("kv/range", {"key": "AA=="})
            revision = answer["header"]["revision"]
            await self.store._asker.insist("kv/compaction", {"revision": revision})
        while "g4" not in snapshot.groups:
            await sleep(0.05)
        # The feed is put back to before the compaction, as if its member had been away for long.
        self.store._feed.revision = 1
        self.store._feed._running.cancel()
        assert self.store._feed._history is not None
        running = Deferred.fromCoroutine(self.store._feed._run(self.store._feed._history))
        running.addErrback(lambda f: f.trap(CancelledError) and None)
        self.store._feed._running = running
        await self._group("g5")
        while "g5" not in snapshot.groups:
            await sleep(0.05)
        self.assertEqual(len(snapshot.groups), 6)

    async def _group(self, uuid: str) -> None:
        group = GroupRecord(uuid=uuid, name=uuid)
        await self.store.commit(Commit(puts={key_of(group): encode(group)}))

    async def test_mastership(self) -> None:
        """The mastership survives the death of etcd's leader, and ends in time when there is no quorum."""
        candidate = LeasedCandidate(self.store, self.store, "n1", any_reactor)
        term = await candidate.win()
        over = Deferred.fromCoroutine(candidate.over())
        self.etcd.leader().kill()
        await sleep(8)
        if over.called:  # etcd took longer than the lease to elect a leader: the term had to end
            await candidate.resign()
            self.assertGreater(await candidate.win(), term)
            over = Deferred.fromCoroutine(candidate.over())
        self.assertTrue(candidate.holds())
        begun = any_reactor.seconds()
        self.etcd.leader().pause()
        await over
        self.assertFalse(candidate.holds())
        self.assertLess(any_reactor.seconds() - begun, 10.0)
        await candidate.resign()

    async def test_too_large(self) -> None:
        """A commit that is larger than etcd takes says what to raise; one below is made whole."""
        limit = 10_000
        fits = Commit(puts={f"k/{n}": b"" for n in range(limit - 10)})
        await self.store.commit(fits)
        above = Commit(puts={f"k/{n}": b"" for n in range(limit + 10)})
        result, _ = await taken(self.store.commit(above))
        self.assertIn("--max-txn-ops", str(result))
        patient = await self.open(self.etcd.leader(), patience=30.0)
        result, _ = await taken(patient.commit(Commit(puts={"k/large": b"x" * 12_000_000})))
        self.assertIn("--max-request-bytes", str(result))
        await self.store.commit(one("k/z"))
