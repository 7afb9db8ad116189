"""What every `IFloatingAddress` does that moves its address itself."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from twisted_rapi.errors import AddressError, AddressInUse
from twisted_rapi.net.interface import IFloatingAddress


class FloatingAddressContract:
    """
    Mixed into a test case with two hosts and a client on one link.

    :ivar certain: what `take` and `hold` are told.
    """

    certain = True

    async def address(self, host: str) -> Any:
        """The address as host ``a`` or ``b`` sees it; each time as a process of its own."""
        raise NotImplementedError

    async def done(self, work: Any) -> Any:
        """Let time pass until a coroutine has ended; what it answers."""
        raise NotImplementedError

    async def has(self, host: str) -> bool:
        """Whether the host has the address now."""
        raise NotImplementedError

    async def remove(self, host: str) -> None:
        """Take the address from the host behind its back."""
        raise NotImplementedError

    async def leave(self, host: str) -> None:
        """Give the host the address, for good, as an earlier process may have."""
        raise NotImplementedError

    async def left(self, host: str) -> float:
        """Seconds until the host loses the address by itself."""
        raise NotImplementedError

    def now(self) -> float:
        """Seconds since some moment."""
        raise NotImplementedError

    async def live(self, seconds: float) -> None:
        """Let so much time pass."""
        raise NotImplementedError

    async def reached(self) -> str:
        """The host that a client, who has talked to the address before, reaches with one packet."""
        raise NotImplementedError

    def _certain(self) -> bool:
        return self.certain

    async def _taken(self: Any, host: str) -> Any:
        address = await self.address(host)
        await self.done(address.take(self._certain))
        return address

    async def test_interface(self: Any) -> None:
        """It offers what it should."""
        verifyObject(IFloatingAddress, await self.address("a"))

    async def test_able(self: Any) -> None:
        """A host that could have it says so, once; who asks no longer is told no more."""
        address, told = await self.address("a"), list[str]()
        looking = Deferred.fromCoroutine(address.able(told.append))
        await self.done(address.take(self._certain))
        await self.live(0.2)
        looking.cancel()
        await self.assertFailure(looking, CancelledError)
        await self.done(address.release())
        self.assertEqual(told, [""])

    async def test_take(self: Any) -> None:
        """Who takes it has it; taking it again does nothing; others learn of it and do not have it."""
        arrival = Deferred.fromCoroutine((await self.address("a")).arrival())
        address = await self._taken("a")
        await self.done(arrival)
        await self.done(address.take(self._certain))
        self.assertEqual((await self.has("a"), await self.has("b")), (True, False))

    async def test_duplicate(self: Any) -> None:
        """What another host has is not taken; once that gave it up it is."""
        first, second = await self._taken("a"), await self.address("b")
        await self.done(self.assertFailure(_begun(second.take(self._certain)), AddressInUse))
        self.assertEqual((await self.has("a"), await self.has("b")), (True, False))
        self.assertEqual(second.conflicts, 1)
        await self.done(first.release())
        await self.done(second.take(self._certain))
        self.assertEqual((await self.has("a"), await self.has("b")), (False, True))

    async def test_look(self: Any) -> None:
        """What was looked for early is known; who took the address meanwhile, too, and who gave it up."""
        first, second = await self.address("a"), await self.address("b")
        looking = [_begun(second.look())]
        await self.live(0.3)
        await self.done(first.take(self._certain))
        await self.done(self.assertFailure(_begun(second.take(self._certain)), AddressInUse))
        looking.append(_begun(second.look()))
        await self.live(0.3)
        await self.done(first.release())
        for _ in range(2):
            try:
                await self.done(second.take(self._certain))
            except AddressInUse:  # it was there when that was looked for
                continue
        self.assertEqual((await self.has("a"), await self.has("b")), (False, True))
        await self.done(second.look())
        for each in looking:
            await self.done(each)

    async def test_release(self: Any) -> None:
        """Giving it up is well when it was never had, and more than once; it can be taken anew."""
        address = await self.address("a")
        await self.done(address.release())
        await self.done(address.take(self._certain))
        departure = Deferred.fromCoroutine(address.departure())
        for _ in range(2):
            await self.done(address.release())
            self.assertFalse(await self.has("a"))
        await self.done(departure)
        await self.done(address.take(self._certain))
        self.assertTrue(await self.has("a"))

    async def test_release_wins(self: Any) -> None:
        """Given up while it is being taken, it is not had, then or later."""
        address = await self.address("a")
        taking = Deferred.fromCoroutine(address.take(self._certain))
        taking.addErrback(lambda f: f.trap(AddressError) and None)
        await self.done(address.release())
        await self.done(taking)
        await self.live(0.5)
        self.assertFalse(await self.has("a"))

    async def test_cancelled(self: Any) -> None:
        """Taking it can be cancelled and released at once."""
        address = await self.address("a")
        taking = Deferred.fromCoroutine(address.take(self._certain))
        taking.cancel()
        await self.assertFailure(taking, CancelledError)
        await self.done(address.release())
        await self.live(0.5)
        self.assertFalse(await self.has("a"))

    async def test_not_certain(self: Any) -> None:
        """Who is no longer to have it does not get it."""
        self.certain = False
        address = await self.address("a")
        await self.done(self.assertFailure(_begun(address.take(self._certain)), AddressError))
        self.assertFalse(await self.has("a"))

    async def test_hold(self: Any) -> None:
        """Held, it stays, for longer than it would by itself; it is no longer held when that is not sure."""
        address = await self._taken("a")
        until = await self.left("a") + self.now()
        holding = Deferred.fromCoroutine(address.hold(self._certain))
        while await self.left("a") + self.now() < until + 1.5:
            await self.live(0.25)
        self.assertNoResult(holding)
        self.certain = False
        self.assertTrue(await self.done(holding))

    async def test_removed(self: Any) -> None:
        """That somebody removed it is told at once; then it can be taken again."""
        address = await self._taken("a")
        holding = Deferred.fromCoroutine(address.hold(self._certain))
        await self.remove("a")
        self.assertTrue(await self.done(holding))
        await self.done(address.take(self._certain))
        self.assertTrue(await self.has("a"))

    async def test_ends_by_itself(self: Any) -> None:
        """Of a process that no longer holds it, and does nothing, it is taken; another one can have it."""
        address = await self._taken("a")
        holding = Deferred.fromCoroutine(address.hold(self._certain))
        holding.cancel()
        await self.assertFailure(holding, CancelledError)
        await self.done(address.departure())
        await self._taken("b")

    async def test_leftover(self: Any) -> None:
        """What an earlier process left is removed, and nothing where it left nothing."""
        await self.leave("a")
        self.assertTrue(await self.has("a"))
        address = await self.address("a")
        for _ in range(2):
            await self.done(address.clean())
            self.assertFalse(await self.has("a"))

    async def test_taken_over_leftover(self: Any) -> None:
        """What is there already is taken, and given up, like any other."""
        await self.leave("a")
        address = await self._taken("a")
        await self.done(address.release())
        self.assertFalse(await self.has("a"))

    async def test_announced(self: Any) -> None:
        """A client reaches the host that announced it last, at once."""
        for host in ("a", "b", "a"):
            address = await self._taken(host)
            announcing = Deferred.fromCoroutine(address.announce())
            await self.live(0.1)
            self.assertEqual(await self.reached(), host)
            announcing.cancel()
            await self.assertFailure(announcing, CancelledError)
            await self.done(address.release())

    async def test_announced_to_end(self: Any) -> None:
        """Announcements end by themselves."""
        await self.done((await self._taken("a")).announce())


def _begun(work: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(work)
