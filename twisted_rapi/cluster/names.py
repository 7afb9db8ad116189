"""The names of a term's virtual networks, kept up to date by its records."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from twisted.application.service import Service

from twisted_rapi.config import DnsSection, listen_address
from twisted_rapi.net.name_answers import NameAnswers
from twisted_rapi.net.name_listener import NameListener
from twisted_rapi.net.zones import Zone, told_of, zones_of
from twisted_rapi.state.snapshot import Observed, Snapshot


class Names:
    """
    Zones as of now, made anew when they are asked for after something has changed.

    Their number is the store's revision at which they were seen to differ last: it grows also from one master
    to the next.
    """

    def __init__(self, snapshot: Snapshot, address: str) -> None:
        self._snapshot, self._address = snapshot, address
        self._zones: Mapping[str, Zone] = {}
        self._serial = snapshot.revision
        self._stale = True

    def changed(self, told: Observed) -> None:
        """Records have changed."""
        self._stale = self._stale or any(told_of(before) != told_of(after) for _, before, after in told)

    def zones(self) -> tuple[Mapping[str, Zone], int]:
        """The zones and their number."""
        if self._stale:
            self._stale = False
            snapshot = self._snapshot
            found = zones_of(
                snapshot.vnets.values(),
                snapshot.dhcp_leases.values(),
                snapshot.instances.values(),
                self._address,
            )
            if found != self._zones:
                self._zones, self._serial = found, snapshot.revision
        return self._zones, self._serial


def as_dnsmasq(listen: str) -> str:
    """What ``host:port`` is called in dnsmasq's configuration; empty for nowhere."""
    if not listen:
        return ""
    host, port = listen_address(listen, "listen")
    return host if port == 53 else f"{host}#{port}"


def name_service(reactor: Any, section: DnsSection, snapshot: Snapshot) -> Service | None:
    """As it is configured; ``None``: there is none."""
    if not section.listen:
        return None
    host, port = listen_address(section.listen, "listen")
    return NameService(reactor, snapshot, host, port, section.transfer)


class NameService(Service):
    """Answers questions about the names at an address, for one term."""

    def __init__(
        self, reactor: Any, snapshot: Snapshot, address: str, port: int, transfer: Sequence[str] = ()
    ) -> None:
        self._snapshot = snapshot
        self.names = Names(snapshot, address)
        answers = NameAnswers(self.names.zones, [ip_network(text, strict=False) for text in transfer])
        self.listener = NameListener(reactor, address, port, answers)
        self._unobserve = lambda: None

    def startService(self) -> None:
        """Answer."""
        super().startService()
        self._unobserve = self._snapshot.observe(self.names.changed)
        self.listener.startService()

    def stopService(self) -> None:
        """Answer nobody any more."""
        super().stopService()
        self._unobserve()
        self.listener.stopService()
