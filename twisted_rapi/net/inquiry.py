"""Finding out whether somebody on a link has an address (`net.floating`, Note [Detection])."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from twisted_rapi.net.kernel import MakeSocket
from twisted_rapi.net.packets import Address, claim_of, probes
from twisted_rapi.net.rtnetlink import Link
from twisted_rapi.net.sockets import open_link

PROBES = 2
PROBE_PAUSE = 0.1  # seconds


class Inquiry:
    """
    Asks whether somebody on a link has an address, and listens to who claims it until it is closed.

    :ivar found: the hardware addresses of those who have it or are about to.
    :raises AddressError: the kernel refused.
    """

    def __init__(self, reactor: Any, make: MakeSocket, link: Link, address: Address) -> None:
        self.link = link
        self._reactor, self._address = reactor, address
        self.found: list[bytes] = []
        self._well: bool | None = None
        self._waiting: list[Deferred[None]] = []
        self._reading = open_link(reactor, make, link, address, self._heard) if link.speaks else None

    def _heard(self, frame: bytes) -> None:
        claim = claim_of(frame, self._address)
        if claim is not None and claim.mac != self.link.mac:
            self.found.append(claim.mac)

    async def probe(self) -> None:
        """
        Ask, and wait for answers.

        :raises AddressError: nothing can be sent; it is closed then.
        """
        well = False
        try:
            for _ in range(PROBES if self._reading is not None else 0):
                assert self._reading is not None
                for frame in probes(self.link.mac, self._address):
                    self._reading.send(frame)
                await deferLater(self._reactor, PROBE_PAUSE)
            well = True
        finally:
            self._well = well
            if not well:
                self.close()
            for waiting in self._waiting:
                if not waiting.called:
                    waiting.callback(None)

    async def probed(self) -> bool:
        """Wait until it has asked; whether it could."""
        if self._well is None:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        return bool(self._well)

    def close(self) -> None:
        """Listen no longer."""
        if self._reading is not None:
            self._reading.close()
