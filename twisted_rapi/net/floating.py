"""
The floating address on Linux: one that is ours to move (`OwnAddress`), and one that others move
(`FollowedAddress`).

Note [Lifetime].  The address is given to the interface for `lifetime` seconds, and again for as long every
quarter of that while the term is certain.  So the kernel removes it from a host whose daemon was killed, or
is stopped and could not do so itself; the one who is master next finds it in use until then, and tries
again.

Note [Detection].  RFC 5227 asks for three probes a second apart, RFC 4862 for one.  A link of hosts answers
within a millisecond, a bridge that begins to forward late is waited for by trying again: two probes a tenth
of a second apart, and a tenth more for the answer.

That can be begun when the mastership was won, while what else the master needs is loaded (`look`): the link
is listened to from then until the address is taken.

Note [Turns].  What changes the kernel's addresses takes turns, and a turn is not given up when who waits for
it is cancelled: what `release` removes cannot be added by a request that was on its way.  Whether the address
is still to be had is looked at in the thread, right before the kernel is asked: a process that was stopped in
between does not add what another one has by now.
"""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.deadline import first_of
from twisted_rapi.errors import AddressElsewhere, AddressError, AddressInUse
from twisted_rapi.net.inquiry import Inquiry
from twisted_rapi.net.interface import IFloatingAddress
from twisted_rapi.net.kernel import Kernel, MakeSocket
from twisted_rapi.net.packets import announcements, claim_of, mac_text
from twisted_rapi.net.rtnetlink import Assigned, Link
from twisted_rapi.net.sockets import open_link, watch_addresses

FRESH = 1.0  # seconds for which what was looked for early is listened to after it was asked
ANNOUNCED = (0.0, 0.1, 0.4, 1.5)  # seconds before each
DEFENDED = 10.0  # seconds between answers to who claims the address, too (RFC 5227 §2.4)

InThread = Callable[..., Awaitable[Any]]


class _OnThisHost:
    """Whether an address is here, and the events of its coming and going."""

    def __init__(
        self, reactor: Any, in_thread: InThread, make: MakeSocket, address: str, interface: str
    ) -> None:
        self.text = address
        self._address, self._interface = ip_address(address), interface
        self._reactor, self._in_thread, self._make = reactor, in_thread, make
        self._kernel = Kernel(make)
        self.conflicts = 0

    def _hindrance(self) -> str:
        """Why the address cannot be had here, "" if it can; asks the kernel and belongs in a thread."""
        raise NotImplementedError

    async def able(self, tell: Callable[[str], None]) -> None:
        """See `IFloatingAddress.able`."""
        changes = _Changes(self._reactor, self._make)
        told: str | None = None
        try:
            while True:
                waiting = changes.next
                why = await self._in_thread(self._hindrance)
                if why != told:
                    told = why
                    tell(why)
                await waiting
        finally:
            changes.close()

    async def arrival(self) -> None:
        """See `IFloatingAddress.arrival`."""
        await self._until(here=True)

    async def departure(self) -> None:
        """See `IFloatingAddress.departure`."""
        await self._until(here=False)

    async def _until(self, here: bool) -> None:
        changes = _Changes(self._reactor, self._make)
        try:
            while True:
                waiting = changes.next
                if bool(await self._in_thread(self._kernel.find, self._address)) is here:
                    return
                await waiting
        finally:
            changes.close()


class _Changes:
    """
    What the kernel tells of addresses and interfaces, to be looked at after it is watched: nothing is missed.

    :ivar next: fires with the next change.
    """

    def __init__(self, reactor: Any, make: MakeSocket) -> None:
        self.next: Deferred[None] = Deferred()
        self._watching = watch_addresses(reactor, make, self._told)

    def _told(self, _: bytes) -> None:
        before, self.next = self.next, Deferred()
        if not before.called:  # who waited may have been cancelled
            before.callback(None)

    def close(self) -> None:
        """No longer watch."""
        self._watching.close()


@implementer(IFloatingAddress)
class FollowedAddress(_OnThisHost):
    """
    An address that somebody else puts on this host and takes from it.

    :param make: makes sockets.
    """

    def _hindrance(self) -> str:
        return "" if self._kernel.find(self._address) else f"{self.text} is not on this host"

    async def clean(self) -> None:
        """It is not ours to remove."""

    async def take(self, certain: Callable[[], bool]) -> None:
        """See `IFloatingAddress.take`."""
        if not await self._in_thread(self._kernel.find, self._address):
            raise AddressElsewhere(f"{self.text} is not on this host")

    async def look(self) -> None:
        """Who moves it does that."""

    async def announce(self) -> None:
        """Who moves it does that."""

    async def hold(self, certain: Callable[[], bool]) -> str:
        """See `IFloatingAddress.hold`."""
        await self.departure()
        return f"{self.text} has been moved away"

    async def release(self) -> None:
        """It is not ours to remove."""


@implementer(IFloatingAddress)
class OwnAddress(_OnThisHost):
    """
    An address that is put on an interface and taken from it here.

    :param make: makes sockets.
    :param lifetime: seconds for which the kernel keeps it without hearing from us.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        in_thread: InThread,
        make: MakeSocket,
        address: str,
        interface: str,
        prefix: int,
        lifetime: int,
    ) -> None:
        super().__init__(reactor, in_thread, make, address, interface)
        self._prefix, self._lifetime = prefix, lifetime
        self._turn: DeferredLock = DeferredLock()
        self._held: Link | None = None
        self._releases = 0
        self._early: Inquiry | None = None
        self._defended = -DEFENDED

    def _hindrance(self) -> str:
        try:
            self._kernel.link(self._interface)
        except AddressError as e:
            return str(e)
        return ""

    async def clean(self) -> None:
        """See `IFloatingAddress.clean`."""
        if await self._in_thread(self._kernel.find, self._address):
            self._log.warn("{address} was left here by an earlier process", address=self.text)
            await self.release()

    async def take(self, certain: Callable[[], bool]) -> None:
        """See `IFloatingAddress.take`."""
        if self._held is not None:
            return
        releases = self._releases

        def wanted() -> bool:
            return certain() and releases == self._releases

        link = await self._in_thread(self._kernel.link, self._interface)
        # It may be here, on this interface or on another, in a way that is not ours.
        await self._changed(self._kernel.remove, self._address)
        inquiry = await self._inquired(link)
        try:
            self._judge(inquiry)
            await self._put(link, wanted)
        finally:
            inquiry.close()
        self._held = link

    async def look(self) -> None:
        """See `IFloatingAddress.look`."""
        if self._held is not None or self._early is not None:
            return
        try:
            self._early = early = self._inquiry(await self._in_thread(self._kernel.link, self._interface))
            await early.probe()
        except AddressError as e:
            self._log.info("who has {address} is asked later: {reason}", address=self.text, reason=str(e))
            self._early = None
            return
        await deferLater(self._reactor, FRESH)
        if self._early is early:
            self._early = None
            early.close()

    async def hold(self, certain: Callable[[], bool]) -> str:
        """See `IFloatingAddress.hold`."""
        link = self._held
        if link is None:
            return f"{self.text} is not held"
        reading = None
        if link.speaks:
            reading = open_link(
                self._reactor, self._make, link, self._address, lambda f: self._defend(link, f)
            )
        try:
            _, why = await first_of(self._keep(link, certain), self._lost())
        finally:
            self._held = None
            if reading is not None:
                reading.close()
        return str(why)

    async def _keep(self, link: Link, certain: Callable[[], bool]) -> str:
        releases = self._releases

        def wanted() -> bool:
            return certain() and releases == self._releases

        while wanted():
            await deferLater(self._reactor, self._lifetime / 4)
            if wanted():
                await self._put(link, wanted)
        return "the mastership is no longer certain"

    async def _lost(self) -> str:
        await self.departure()
        return f"{self.text} was removed from {self._interface}"

    async def _put(self, link: Link, wanted: Callable[[], bool]) -> None:
        """Have the kernel keep it for a while, if it is still to be had."""
        at = Assigned(link.index, self._address, self._prefix)

        def put() -> bool:
            if not wanted():
                return False
            self._kernel.put(at, self._lifetime)
            return True

        if not await self._changed(put):
            raise AddressError(f"{self.text} is no longer to be had")

    async def _changed(self, change: Callable[..., Any], *args: Any) -> Any:
        """Have a turn, to its end whatever becomes of who waits for it."""
        answer: Deferred[Any] = Deferred()
        Deferred.fromCoroutine(self._in_turn(change, args)).addBoth(
            lambda result: None if answer.called else answer.callback(result)
        )
        return await answer

    async def _in_turn(self, change: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        async with self._turn:
            return await self._in_thread(change, *args)

    async def release(self) -> None:
        """See `IFloatingAddress.release`."""
        self._releases += 1
        self._held = None
        await self._changed(self._kernel.remove, self._address)

    # What is said and heard on the link.

    def _inquiry(self, link: Link) -> Inquiry:
        return Inquiry(self._reactor, self._make, link, self._address)

    def _judge(self, inquiry: Inquiry) -> None:
        if inquiry.found:
            self.conflicts += 1
            raise AddressInUse(self.text, mac_text(inquiry.found[0]))

    async def _inquired(self, link: Link) -> Inquiry:
        """One that has asked; the one that was begun early, if there is one."""
        early, self._early = self._early, None
        if early is not None:
            try:
                if early.link == link and await early.probed():
                    return early
            except BaseException:
                early.close()
                raise
            early.close()
        made = self._inquiry(link)
        await made.probe()
        return made

    async def announce(self) -> None:
        """See `IFloatingAddress.announce`."""
        for pause in ANNOUNCED:
            if pause:
                await deferLater(self._reactor, pause)
            self._announce_once()

    def _defend(self, link: Link, frame: bytes) -> None:
        """Answer who claims what is ours; it may be a master that was stopped and is about to find out."""
        claim = claim_of(frame, self._address)
        now = self._reactor.seconds()
        if claim is None or not claim.owns or claim.mac == link.mac:
            return
        self.conflicts += 1
        if now - self._defended < DEFENDED:
            return
        self._defended = now
        self._log.error("{address} is also claimed by {mac}", address=self.text, mac=mac_text(claim.mac))
        try:
            self._announce_once()
        except AddressError as e:
            self._log.error("{address} cannot be defended: {reason}", address=self.text, reason=str(e))

    def _announce_once(self) -> None:
        link = self._held
        if link is None or not link.speaks:
            return
        reading = open_link(self._reactor, self._make, link, self._address, lambda _: None)
        try:
            for frame in announcements(link.mac, self._address):
                reading.send(frame)
        finally:
            reading.close()
