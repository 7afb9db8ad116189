"""
The virtual networks of a node: made in threads, served for a time, followed.

Note [Given for a time].  Gateways are put on a bridge for as long as the step says, as the floating address
is (see `floating`): a node whose agent nobody talks to any more loses them by itself.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace
from twisted.internet import inotify
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer

from twisted_rapi.errors import AddressError, StepFailed
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord
from twisted_rapi.net.dnsmasq import LEASES, served
from twisted_rapi.net.kernel_networks import KernelNetworks, NetworkTools
from twisted_rapi.net.virtual_interface import IVirtualNetworks

InThread = Callable[..., Awaitable[Any]]

SETTLED = 0.1  # seconds without a change after which a lease file is whole: dnsmasq writes it in pieces
ANEW = 5.0  # seconds a dnsmasq has to have run to be run again at once when it ends
_WRITTEN = inotify.IN_MODIFY | inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO


@implementer(IReadDescriptor)
class _End:
    """Told by the kernel when a process ends."""

    def __init__(self, reactor: Any, handle: int, ended: Callable[[], None]) -> None:
        self._reactor, self._handle, self._ended = reactor, handle, ended
        reactor.addReader(self)

    def fileno(self) -> int:
        """The pidfd."""
        return self._handle

    def logPrefix(self) -> str:
        """What it is called in the log."""
        return "dnsmasq"

    def doRead(self) -> None:
        """It has ended."""
        self.close()
        self._ended()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has ended."""
        self.close()

    def close(self) -> None:
        """Not be told."""
        if self._handle >= 0:
            self._reactor.removeReader(self)
            os.close(self._handle)
            self._handle = -1


@implementer(IVirtualNetworks)
class NodeNetworks:
    """
    `IVirtualNetworks` on this kernel.

    :param reactor: reads what the kernel tells, and has a clock.
    """

    _log = Logger()

    def __init__(self, tools: NetworkTools, reactor: Any, in_thread: InThread) -> None:
        self._tools, self._reactor, self._in_thread = tools, reactor, in_thread
        self._kernel = KernelNetworks(tools)
        self._turn: DeferredLock = DeferredLock()
        self._step: MakeNetworks | None = None
        self._observers: list[Callable[[], None]] = []
        self._ends: list[_End] = []
        self._notifier: Any = None
        self._settling: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None
        self._begun = -ANEW

    async def make(self, step: MakeNetworks) -> None:
        """See `IVirtualNetworks.make`."""
        async with self._turn:
            await self._make(step)

    async def resume(self, step: MakeNetworks) -> None:
        """See `IVirtualNetworks.resume`."""
        async with self._turn:
            try:
                left = await self._in_thread(self._kernel.served)
            except AddressError as e:
                raise StepFailed(str(e), "network") from e
            await self._make(replace(step, serving=left))

    async def _make(self, step: MakeNetworks) -> None:
        self._forget()
        self._step = step
        self._begun = self._reactor.seconds()
        try:
            await self._in_thread(self._kernel.make, step)
        finally:
            if step.serving:
                self._expiry = self._reactor.callLater(step.serving, self._give_up)
                await self._follow_safely(step)
            self._tell()

    async def check(self, acls: tuple[Acl, ...]) -> str:
        """See `IVirtualNetworks.check`."""
        return str(await self._in_thread(self._kernel.check, acls))

    async def leases(self) -> tuple[DhcpLeaseRecord, ...] | None:
        """See `IVirtualNetworks.leases`."""
        step = self._step
        if step is None or not step.serving:
            return None
        try:
            found: tuple[DhcpLeaseRecord, ...] = await self._in_thread(self._kernel.leases, step)
        except OSError as e:
            raise StepFailed(f"leases cannot be read: {e}", "network") from e
        return found

    async def bridges(self) -> tuple[str, ...]:
        """See `IVirtualNetworks.bridges`."""
        try:
            found: tuple[str, ...] = await self._in_thread(self._kernel.bridges)
        except AddressError as e:
            raise StepFailed(str(e), "network") from e
        return found

    async def forget(self, network: str, addresses: tuple[str, ...]) -> None:
        """See `IVirtualNetworks.forget`."""
        async with self._turn:
            step = self._step
            known = () if step is None or not step.serving else step.networks
            found = next((each for each in known if each.uuid == network and served(each)), None)
            if step is None or found is None:
                raise StepFailed("the leases of the network are not given here", "network")
            kept = (e for e in step.leases if e.network != network or e.address not in addresses)
            self._forget()
            try:
                await self._in_thread(self._kernel.servers.forget, found.vni, addresses)
            finally:
                await self._make(replace(step, leases=tuple(kept)))

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See `IVirtualNetworks.observe`."""
        self._observers.append(changed)
        return lambda: self._observers.remove(changed)

    async def end(self) -> None:
        """See `IVirtualNetworks.end`."""
        async with self._turn:
            self._forget()
            self._step = None

    # What is followed.

    async def _follow_safely(self, step: MakeNetworks) -> None:
        try:
            await self._follow(step)
        except Exception:  # noqa: BLE001 -- too many watches, for one: leases are read when it is asked again
            self._log.failure("changes of leases are not told")

    async def _follow(self, step: MakeNetworks) -> None:
        """Be told of ends and of leases."""
        watched = [network.vni for network in step.networks if served(network)]
        for vni in watched:
            handle = await self._in_thread(self._kernel.servers.handle, vni)
            if handle is not None:
                self._ends.append(_End(self._reactor, handle, lambda vni=vni: self._ended(vni)))  # type: ignore[misc]
        self._notifier = inotify.INotify(self._reactor)
        self._notifier.startReading()
        for vni in watched:
            folder = FilePath(str(self._kernel.servers.folder(vni)))
            if folder.isdir():
                self._notifier.watch(folder, _WRITTEN, callbacks=[self._written])

    def _forget(self) -> None:
        for end in self._ends:
            end.close()
        self._ends.clear()
        if self._notifier is not None:
            self._notifier.connectionLost(Failure(ConnectionDone()))
            self._notifier = None
        for call in (self._settling, self._expiry):
            if call is not None and call.active():
                call.cancel()
        self._settling = self._expiry = None

    def _written(self, _: object, path: FilePath[bytes], __: int) -> None:
        if os.fsdecode(path.basename()) != LEASES:
            return
        if self._settling is not None and self._settling.active():
            self._settling.reset(SETTLED)
        else:
            self._settling = self._reactor.callLater(SETTLED, self._tell)

    def _tell(self) -> None:
        for observer in list(self._observers):
            observer()

    def _ended(self, vni: int) -> None:
        lived = self._reactor.seconds() - self._begun
        self._log.error("the dnsmasq of network {vni} has ended after {lived} s", vni=vni, lived=lived)
        # One that cannot live is not run again and again: the next step does.
        if lived >= ANEW and self._step is not None:
            self._again(self._step)

    def _give_up(self) -> None:
        step = self._step
        if step is not None:
            self._log.warn("nobody says any more that this node has the gateways: they are given up")
            self._again(replace(step, serving=0.0))

    def _again(self, step: MakeNetworks) -> None:
        before = self._step

        async def again() -> None:
            async with self._turn:
                if self._step is before:  # nobody asked for something else meanwhile
                    await self._make(step)

        made = Deferred.fromCoroutine(again())
        made.addErrback(lambda f: self._log.failure("networks could not be made again", f))
