"""What every `IStateStore` does."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import Compacted, Conflict, StaleTerm, StoreClosed
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import encode
from twisted_rapi.state.interface import Changes, Commit, IStateStore, IWatch


def put(**values: str) -> Commit:
    """A commit that puts these values under ``k/NAME``."""
    return Commit(puts={f"k/{name}": value.encode() for name, value in values.items()})


if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class StateStoreContract(_Base):
    """Mixed into a test case that makes the store with `make`."""

    store: IStateStore
    kept = 10_000  # how many changes are kept for a watcher

    async def make(self) -> IStateStore:
        """A new, empty store."""
        raise NotImplementedError

    async def forget(self) -> None:
        """Have the store not keep its first changes any more."""
        await self.many()

    async def many(self) -> None:
        """Make more changes than are kept."""
        for d in [Deferred.fromCoroutine(self.store.commit(put(a=str(n)))) for n in range(self.kept + 50)]:
            await d

    async def setUp(self) -> None:  # type: ignore[override]
        """Make the store."""
        self.store = await self.make()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.close()))

    async def told(self) -> None:
        """Wait until watchers have been told of all commits."""

    async def values(self, prefix: str = "k/") -> dict[str, bytes]:
        """All that is stored below a prefix."""
        page = await self.store.list(prefix)
        return {key: entry.value for key, entry in page.entries.items()}

    async def fails(self, kind: type[Exception], work: Coroutine[Any, Any, Any]) -> Exception:
        """What `work` raises, which must be of this kind."""
        error: Exception = await self.assertFailure(Deferred.fromCoroutine(work), kind)
        return error

    async def test_interface(self) -> None:
        """It provides the interface, and so do its watches."""
        verifyObject(IStateStore, self.store)
        watch = self.store.watch(["k/"], 0)
        verifyObject(IWatch, watch)
        watch.close()

    async def test_empty(self) -> None:
        """A new store holds nothing at revision 0."""
        page = await self.store.list("")
        self.assertEqual(
            (self.store.revision, page.revision, dict(page.entries), page.more), (0, 0, {}, None)
        )
        self.assertEqual(await self.store.get(["k/a"]), {})

    async def test_commit(self) -> None:
        """What was committed is read back with the revision of its commit."""
        first = await self.store.commit(put(a="1", b="1"))
        second = await self.store.commit(put(b="2"))
        self.assertLess(first, second)
        found = await self.store.get(["k/a", "k/b", "k/c"])
        self.assertEqual(
            {key: (e.value, e.revision) for key, e in found.items()},
            {"k/a": (b"1", first), "k/b": (b"2", second)},
        )
        self.assertEqual(self.store.revision, second)

    async def test_delete(self) -> None:
        """A deleted key is gone; deleting what is not there is well."""
        await self.store.commit(put(a="1"))
        await self.store.commit(Commit(deletes=frozenset({"k/a", "k/never"})))
        self.assertEqual(await self.values(), {})

    async def test_stale(self) -> None:
        """A commit with one stale expectation writes none of its values and names the key."""
        revision = await self.store.commit(put(a="1", b="1"))
        await self.store.commit(put(a="2"))
        change = Commit(expect={"k/a": revision, "k/b": revision}, puts={"k/b": b"3", "k/c": b"3"})
        error = await self.fails(Conflict, self.store.commit(change))
        assert isinstance(error, Conflict)
        self.assertEqual(error.keys, ("k/a",))
        self.assertEqual(await self.values(), {"k/a": b"2", "k/b": b"1"})

    async def test_absent(self) -> None:
        """Expecting revision 0 means that there is no such key, also after it was deleted."""
        await self.store.commit(Commit(expect={"k/a": 0}, puts={"k/a": b"1"}))
        again = Commit(expect={"k/a": 0}, puts={"k/a": b"2"})
        await self.fails(Conflict, self.store.commit(again))
        await self.store.commit(Commit(deletes=frozenset({"k/a"})))
        await self.store.commit(again)
        self.assertEqual(await self.values(), {"k/a": b"2"})

    async def test_together(self) -> None:
        """Of commits made together with one expectation exactly one is made."""
        begun = [
            Deferred.fromCoroutine(
                self.store.commit(Commit(expect={"k/a": 0}, puts={"k/a": str(n).encode(), f"k/n{n}": b""}))
            )
            for n in range(20)
        ]
        results = []
        for d in begun:
            try:
                results.append(await d)
            except Conflict:
                results.append(0)
        self.assertEqual(sum(1 for r in results if r), 1)
        winner = next(n for n, r in enumerate(results) if r)
        self.assertEqual(await self.values(), {"k/a": str(winner).encode(), f"k/n{winner}": b""})

    async def test_order(self) -> None:
        """Commits are made in the order they were asked for."""
        begun = [Deferred.fromCoroutine(self.store.commit(put(a=str(n)))) for n in range(50)]
        revisions = [await d for d in begun]
        self.assertEqual(revisions, sorted(revisions))
        self.assertEqual(await self.values(), {"k/a": b"49"})

    async def test_cancelled(self) -> None:
        """Cancelling who waits for a commit does not take it back."""
        d = Deferred.fromCoroutine(self.store.commit(put(a="1")))
        d.cancel()
        d.addErrback(lambda f: f.trap(CancelledError) and None)
        await self.store.commit(put(b="1"))
        self.assertEqual(await self.values(), {"k/a": b"1", "k/b": b"1"})

    async def test_fence(self) -> None:
        """A commit of an older term than the election's is refused and writes nothing."""
        won = encode(ElectionRecord(term=3, node="n"))
        await self.store.commit(Commit(puts={"election": won}))
        stale = Commit(puts={"k/a": b"1"}, term=2)
        error = await self.fails(StaleTerm, self.store.commit(stale))
        assert isinstance(error, StaleTerm)
        self.assertEqual((error.term, error.newest, await self.values()), (2, 3, {}))
        await self.store.commit(Commit(puts={"k/a": b"1"}, term=3))
        self.assertEqual(await self.values(), {"k/a": b"1"})

    async def test_pages(self) -> None:
        """A listing comes in pages, in order, of this prefix only."""
        await self.store.commit(Commit(puts={f"k/{n:02d}": b"" for n in range(7)} | {"j/x": b"", "l/x": b""}))
        seen: list[str] = []
        after: str | None = ""
        sizes = []
        while after is not None:
            page = await self.store.list("k/", after, 3)
            seen += page.entries
            sizes.append(len(page.entries))
            after = page.more
        self.assertEqual((seen, sizes), ([f"k/{n:02d}" for n in range(7)], [3, 3, 1]))
        self.assertEqual(list((await self.store.list("k/0", "k/04")).entries), ["k/05", "k/06"])
        exact = await self.store.list("k/", "", 7)
        self.assertEqual((len(exact.entries), exact.more), (7, None))

    async def test_watch(self) -> None:
        """A watch shows later commits in order, with only the keys it asked for."""
        first = await self.store.commit(put(a="1"))
        watch = self.store.watch(["k/", "m/"], first)
        waiting = Deferred.fromCoroutine(watch.next())
        self.assertNoResult(waiting)
        second = await self.store.commit(Commit(puts={"k/b": b"2", "z/b": b"2"}, deletes=frozenset({"k/a"})))
        await self.store.commit(Commit(puts={"z/c": b"3"}))
        third = await self.store.commit(Commit(puts={"m/c": b"3"}))
        seen = list(await waiting)
        while len(seen) < 2:
            seen += await watch.next()
        self.assertEqual(seen, [Changes(second, {"k/b": b"2", "k/a": None}), Changes(third, {"m/c": b"3"})])
        watch.close()

    async def test_resume(self) -> None:
        """A watch from an earlier revision shows what came since."""
        first = await self.store.commit(put(a="1"))
        second = await self.store.commit(put(a="2"))
        watch = self.store.watch(["k/"], first)
        self.assertEqual(await watch.next(), [Changes(second, {"k/a": b"2"})])
        watch.close()

    async def test_watch_closed(self) -> None:
        """Closing a watch cancels who waits for it; closing again is well."""
        watch = self.store.watch(["k/"], 0)
        waiting = Deferred.fromCoroutine(watch.next())
        watch.close()
        watch.close()
        self.failureResultOf(waiting, CancelledError)

    async def test_slow_watcher(self) -> None:
        """A watcher that never reads is told that it missed something, and costs no memory without end."""
        watch = self.store.watch(["k/"], 0)
        await self.many()
        await self.told()
        await self.fails(Compacted, watch.next())
        watch.close()

    async def test_too_old(self) -> None:
        """A watch from before what is kept says so."""
        await self.forget()
        watch = self.store.watch(["k/"], 1)
        await self.fails(Compacted, watch.next())
        watch.close()

    async def test_closed(self) -> None:
        """After closing everything says so; commits under way were made; closing again is well."""
        watch = self.store.watch(["k/"], 0)
        waiting = Deferred.fromCoroutine(watch.next())
        begun = Deferred.fromCoroutine(self.store.commit(put(a="1")))
        await self.store.close()
        await self.store.close()
        self.assertEqual(await begun, 1)
        self.assertEqual(await waiting, [Changes(1, {"k/a": b"1"})])
        for work in (
            self.store.get(["k/a"]),
            self.store.list("k/"),
            self.store.commit(put(a="2")),
            watch.next(),
        ):
            await self.fails(StoreClosed, work)
