"""What every `ILeases` does."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import LeaseGone, StoreClosed
from twisted_rapi.state.interface import Commit, ILeases, IStateStore

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object

TTL = 2


class LeasesContract(_Base):
    """Mixed into a test case that makes a store which offers leases, with `make`, and lets time pass."""

    store: Any

    async def make(self) -> IStateStore:
        """A new, empty store."""
        raise NotImplementedError

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]
        """Make the store."""
        self.store = await self.make()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.close()))

    async def fails(self, kind: type[Exception], work: Coroutine[Any, Any, Any]) -> None:
        """Have `work` fail so."""
        await self.assertFailure(Deferred.fromCoroutine(work), kind)

    async def put(self, key: str, lease: int) -> int:
        """Put a key that hangs on a lease."""
        revision: int = await self.store.commit(Commit(puts={key: b"1"}, leased={key: lease}))
        return revision

    async def there(self) -> list[str]:
        """The keys that are there."""
        return list((await self.store.list("k/")).entries)

    async def test_interface(self) -> None:
        """It offers what it should."""
        verifyObject(ILeases, self.store)

    async def test_ends(self) -> None:
        """A key goes with its lease, which watchers are told, and the lease cannot be renewed then."""
        lease = await self.store.grant(TTL)
        revision = await self.put("k/a", lease)
        watch = self.store.watch(["k/"], revision)
        await self.wait(TTL * 0.75)
        self.assertEqual(await self.there(), ["k/a"])
        await self.wait(TTL)
        [gone] = await watch.next()
        self.assertEqual(gone.values, {"k/a": None})
        self.assertEqual(await self.there(), [])
        await self.fails(LeaseGone, self.store.renew(lease, 1.0))
        watch.close()

    async def test_renewed(self) -> None:
        """One that is renewed goes on."""
        lease = await self.store.grant(TTL)
        await self.put("k/a", lease)
        for _ in range(5):
            await self.wait(TTL / 2)
            await self.store.renew(lease, 1.0)
        self.assertEqual(await self.there(), ["k/a"])

    async def test_revoked(self) -> None:
        """One that is revoked is over, and all its keys are gone in one commit; once more is well."""
        lease = await self.store.grant(TTL)
        await self.put("k/a", lease)
        revision = await self.put("k/b", lease)
        await self.store.commit(Commit(puts={"k/c": b"1"}))
        watch = self.store.watch(["k/"], revision + 1)
        await self.store.revoke(lease)
        [gone] = await watch.next()
        self.assertEqual((gone.values, await self.there()), ({"k/a": None, "k/b": None}, ["k/c"]))
        await self.store.revoke(lease)
        watch.close()

    async def test_put_again(self) -> None:
        """A key that is put again without the lease stays."""
        lease = await self.store.grant(TTL)
        await self.put("k/a", lease)
        await self.store.commit(Commit(puts={"k/a": b"2"}))
        await self.store.revoke(lease)
        self.assertEqual(await self.there(), ["k/a"])

    async def test_gone(self) -> None:
        """A commit that names a lease that is over writes nothing."""
        lease = await self.store.grant(TTL)
        await self.store.revoke(lease)
        change = Commit(puts={"k/a": b"1", "k/b": b"1"}, leased={"k/b": lease})
        await self.fails(LeaseGone, self.store.commit(change))
        self.assertEqual(await self.there(), [])

    async def test_closed(self) -> None:
        """A store that is closed grants nothing."""
        await self.store.close()
        await self.fails(StoreClosed, self.store.grant(TTL))
