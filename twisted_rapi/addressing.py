"""The floating address as the configuration has it, with what the kernel is asked through."""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from socket import socket
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from twisted_rapi.config import AddressSection, StoreSection, listen_address
from twisted_rapi.ha.address import AddressDuty, BoundElection, Door
from twisted_rapi.ha.election import IElection
from twisted_rapi.listening import covers
from twisted_rapi.net.floating import FollowedAddress, OwnAddress
from twisted_rapi.net.interface import IFloatingAddress
from twisted_rapi.net.kernel import Kernel
from twisted_rapi.net.packets import Address
from twisted_rapi.net.passage import InThread, Passage
from twisted_rapi.net.rtnetlink import Assigned

FAILED = 70  # exit status: an address could not be removed in time


class Addressing(Service):
    """
    What a candidate does with the floating address.

    It has a thread of its own: releasing the address must not wait behind other work.

    :param lease: seconds after which a master that is not heard of is replaced.
    """

    _log = Logger()

    def __init__(self, section: AddressSection, lease: int, reactor: Any) -> None:
        self._section, self._lease, self._reactor = section, lease, reactor
        self._pool = ThreadPool(0, 1, "address")
        self._address = self._made()
        self._duty: AddressDuty | None = None
        self._looking: Deferred[None] | None = None

    def _made(self) -> IFloatingAddress | None:
        section, found = self._section, self._section.ip and ip_interface(self._section.ip)
        if section.mode == "none" or not found:
            return None
        text, place = str(found.ip), section.interface
        if section.mode == "follow":
            return FollowedAddress(self._reactor, self._in_thread, socket, text, place)
        return OwnAddress(
            self._reactor,
            self._in_thread,
            socket,
            text,
            place,
            found.network.prefixlen,
            max(1, self._lease * 2 // 3),
        )

    def _in_thread(self, work: Any, *args: Any) -> Any:
        return deferToThreadPool(self._reactor, self._pool, work, *args)

    @property
    def text(self) -> str:
        """The address; empty where there is none."""
        return "" if self._address is None else self._address.text

    def startService(self) -> None:
        """Have the thread."""
        super().startService()
        self._pool.start()
        self._reactor.addSystemEventTrigger("after", "shutdown", self._pool.stop)

    async def clean(self) -> None:
        """
        Remove what an earlier process left; before anybody seeks the mastership.

        :raises AddressError: that could not be.
        """
        if self._address is not None:
            await self._address.clean()

    def bound(self, election: IElection) -> IElection:
        """The election as this candidate takes part in it."""
        if self._address is None or self._section.mode != "follow":
            return election
        return BoundElection(election, self._address)

    def duty(self, door: Door, certain: Callable[[], bool], ours: Callable[[], bool]) -> AddressDuty | None:
        """What has the address for one term; ``None`` where there is none."""
        if self._address is None:
            return None
        self._duty = AddressDuty(
            self._address,
            door,
            self._reactor,
            certain=certain,
            ours=ours,
            margin=self._lease / 6,
            die=_die,
        )
        return self._duty

    def look(self, tell: Callable[[str], None]) -> None:
        """Tell why this host could not have the address, "" if it could; until the daemon ends."""
        if self._address is None:
            return
        self._looking = Deferred.fromCoroutine(self._address.able(tell))
        self._looking.addErrback(lambda f: f.trap(CancelledError) and None)
        self._looking.addErrback(
            lambda f: self._log.failure("nobody is told whether the address could be had", f)
        )

    def stopService(self) -> None:
        """Look no longer."""
        super().stopService()
        if self._looking is not None:
            self._looking.cancel()

    def measured(self) -> dict[tuple[str, ...], float]:
        """
        Whether the address is served here, for how many seconds, and how often it was another's, too.

        Nothing where there is none.
        """
        if self._address is None:
            return {}
        since = None if self._duty is None else self._duty.since
        seconds = 0.0 if since is None else self._reactor.seconds() - since
        conflicts = float(self._address.conflicts)
        return {("here",): float(since is not None), ("seconds",): seconds, ("conflicts",): conflicts}

    def guarded(self, store: StoreSection) -> dict[str, Any]:
        """What `ha.guard` is started with: etcd, and the address if it is ours to take away."""
        kept = ("endpoints", "authority", "certificate", "key")
        own = self.text if self._section.mode == "own" else ""
        return {name: getattr(store, name) for name in kept} | {"address": own}

    async def passage(self, listen: str, in_thread: InThread) -> Passage | None:
        """What leads to who listens on this what arrives for the address; ``None`` for nothing."""
        section = self._section
        if section.mode != "own" or not section.redirect:
            return None
        listener: Address | None = None
        host, port = listen_address(listen, "listen")
        wanted = ip_interface(section.ip)
        if covers(listen, str(wanted.ip)):
            listener = listener_among(await in_thread(Kernel().addresses), wanted)
        else:
            with suppress(ValueError):
                listener = ip_address(host)
            if listener is None or listener.version != wanted.version:
                return None
        return Passage(self._reactor, in_thread, wanted.ip, port, listener)

    def term_begins(self) -> None:
        """A term was won: the address is soon to be taken."""
        if self._address is not None:
            Deferred.fromCoroutine(self._address.look())

    def shown(self) -> dict[str, Any]:
        """What the cluster's record says of it; nothing where there is none."""
        if self._address is None:
            return {}
        found = ip_interface(self._section.ip)
        values: dict[str, Any] = {
            "master_ip": str(found.ip),
            "master_netmask": found.network.prefixlen,
            "use_external_mip_script": self._section.mode == "follow",
        }
        if self._section.interface:
            values["master_netdev"] = self._section.interface
        return values


def listener_among(addresses: Iterable[Assigned], wanted: IPv4Interface | IPv6Interface) -> Address | None:
    """An address of this host that stays when the floating one goes, best one of its network."""
    found = [at.address for at in addresses if at.address.version == wanted.version]
    stay = [a for a in found if a != wanted.ip and not a.is_loopback and not a.is_link_local]
    return min(stay, key=lambda a: (a not in wanted.network, int(a)), default=None)


def _die() -> None:
    """End now: nothing in this process is to be waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(FAILED)
