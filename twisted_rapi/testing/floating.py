"""A link in memory: hosts, the addresses they have, and what a client on it believes."""

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from twisted_rapi.errors import AddressElsewhere, AddressError, AddressInUse
from twisted_rapi.net.interface import IFloatingAddress

LIFETIME = 2.0  # seconds
_PROBING = 0.1  # seconds


@attrs.define(eq=False)
class Segment:
    """
    What hosts are connected to, with one floating address.

    :ivar text: the address.
    :ivar owners: the hosts that have it, each with when it loses it by itself.
    :ivar believed: the host that a client sends to.
    :ivar heard: the hosts that announced it, one after the other.
    :ivar broken: hosts whose kernel refuses everything at present.
    :ivar stuck: hosts whose kernel does not answer at present.
    """

    clock: IReactorTime
    text: str = "192.0.2.100"
    owners: dict[str, float] = attrs.field(factory=dict)
    believed: str | None = None
    heard: list[str] = attrs.field(factory=list)
    broken: set[str] = attrs.field(factory=set)
    stuck: set[str] = attrs.field(factory=set)
    _waiting: list[Deferred[None]] = attrs.field(factory=list)

    def has(self, host: str) -> bool:
        """Whether a host has the address now."""
        return self.clock.seconds() < self.owners.get(host, -1.0)

    def put(self, host: str, seconds: float = float("inf")) -> None:
        """Give it to a host."""
        self.owners[host] = self.clock.seconds() + seconds
        if seconds != float("inf"):
            self.clock.callLater(seconds, self._tell)
        self._tell()

    def remove(self, host: str) -> None:
        """Take it from a host."""
        self.owners.pop(host, None)
        self._tell()

    def changed(self) -> Deferred[None]:
        """Fires when a host may have got or lost it."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.called:
                one.callback(None)


@attrs.define(eq=False)
class _Host:
    segment: Segment
    host: str
    conflicts: int = 0

    def _hindrance(self) -> str:
        return ""

    async def able(self, tell: Callable[[str], None]) -> None:
        """See `IFloatingAddress.able`."""
        told: str | None = None
        while True:
            why = self._hindrance()
            if why != told:
                told = why
                tell(why)
            await self.segment.changed()

    @property
    def text(self) -> str:
        """See `IFloatingAddress`."""
        return self.segment.text

    async def arrival(self) -> None:
        """See `IFloatingAddress.arrival`."""
        while not self.segment.has(self.host):
            await self.segment.changed()

    async def departure(self) -> None:
        """See `IFloatingAddress.departure`."""
        while self.segment.has(self.host):
            await self.segment.changed()


@implementer(IFloatingAddress)
@attrs.define(eq=False)
class PassedAround(_Host):
    """An address that the test moves, by `Segment.put` and `Segment.remove`."""

    def _hindrance(self) -> str:
        return "" if self.segment.has(self.host) else f"{self.text} is not on this host"

    async def clean(self) -> None:
        """Nothing."""

    async def look(self) -> None:
        """Nothing."""

    async def take(self, certain: Callable[[], bool]) -> None:
        """See `IFloatingAddress.take`."""
        if not self.segment.has(self.host):
            raise AddressElsewhere("it is elsewhere")

    async def announce(self) -> None:
        """Nothing."""

    async def hold(self, certain: Callable[[], bool]) -> str:
        """See `IFloatingAddress.hold`."""
        await self.departure()
        return "it was moved"

    async def release(self) -> None:
        """Nothing."""


@implementer(IFloatingAddress)
@attrs.define(eq=False)
class OwnedInMemory(_Host):
    """An address that one host takes from the others."""

    _holding: bool = False
    _releases: int = 0

    async def clean(self) -> None:
        """See `IFloatingAddress.clean`."""
        await self.release()

    async def look(self) -> None:
        """Nothing: others are known at once."""

    async def take(self, certain: Callable[[], bool]) -> None:
        """See `IFloatingAddress.take`."""
        if self._holding:
            return
        releases = self._releases
        await self._kernel()
        await deferLater(self.segment.clock, _PROBING)
        for other in self.segment.owners:
            if other != self.host and self.segment.has(other):
                self.conflicts += 1
                raise AddressInUse(self.text, f"the host {other}")
        if releases != self._releases or not certain():
            raise AddressError("it is no longer to be had")
        self.segment.put(self.host, LIFETIME)
        self._holding = True

    async def announce(self) -> None:
        """See `IFloatingAddress.announce`."""
        for pause in (0.0, 1.0):
            await deferLater(self.segment.clock, pause)
            if self._holding:
                self.segment.heard.append(self.host)
                self.segment.believed = self.host

    async def hold(self, certain: Callable[[], bool]) -> str:
        """See `IFloatingAddress.hold`."""
        left: Deferred[Any] = Deferred.fromCoroutine(self.departure())
        left.addErrback(lambda f: f.trap(CancelledError) and None)
        releases = self._releases
        try:
            while True:
                if left.called:
                    return "it was removed"
                if not certain() or releases != self._releases:
                    return "the mastership is no longer certain"
                await self._kernel()
                if self.segment.has(self.host):
                    self.segment.put(self.host, LIFETIME)
                await self._pause(left)
        finally:
            left.cancel()
            self._holding = False

    async def _pause(self, left: Deferred[Any]) -> None:
        """Until it is time to renew it, or it has gone."""
        waiting: Deferred[None] = Deferred()
        timer = self.segment.clock.callLater(LIFETIME / 4, waiting.callback, None)
        left.addCallback(lambda _: None if waiting.called else waiting.callback(None))
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()

    async def release(self) -> None:
        """See `IFloatingAddress.release`."""
        self._releases += 1
        self._holding = False
        await self._kernel()
        self.segment.remove(self.host)

    async def _kernel(self) -> None:
        while self.host in self.segment.stuck:
            await self.segment.changed()
        if self.host in self.segment.broken:
            raise AddressError("the kernel refuses")
