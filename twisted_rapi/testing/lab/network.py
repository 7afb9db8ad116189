"""The lab's namespaces, its links, and what the switch does to them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterable

from twisted_rapi.testing.lab.commands import LabError, inside, run, within
from twisted_rapi.testing.lab.cutting import Cut, ruleset, wire_of
from twisted_rapi.testing.lab.layout import Layout, Place
from twisted_rapi.testing.lab.offloading import complete_frames
from twisted_rapi.testing.lab.removal import processes

BRIDGE = "br0"


class Network:
    """The network of one lab."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    # Making it.

    def set_up(self) -> None:
        """
        Make namespaces and links.

        :raises LabError: something of it is there, or this is not root.
        """
        switch = self._layout.switch
        self._add(switch)
        self._ip(switch, f"link add {BRIDGE} type bridge mcast_snooping 0", f"link set {BRIDGE} up")
        for place in self._layout.places:
            self._add(place.namespace)
            run(
                *("ip", "link", "add", "eth0", "netns", place.namespace, "type", "veth"),
                *("peer", "name", place.port, "netns", switch),
            )
            within(place.namespace, lambda: complete_frames("eth0"))
            self._ip(
                place.namespace,
                f"address add {place.address}/24 dev eth0",
                f"address add {place.address6}/64 dev eth0 nodad",
                "link set eth0 up",
            )
            self._ip(switch, f"link set {place.port} master {BRIDGE}", f"link set {place.port} up")

    def _add(self, namespace: str) -> None:
        run("ip", "netns", "add", namespace)
        self._ip(namespace, "link set lo up")

    def _ip(self, namespace: str, *lines: str) -> None:
        run("ip", "-n", namespace, "-batch", "-", told="\n".join(lines) + "\n")

    # Faults.

    def cut(self, cuts: Iterable[Cut]) -> None:
        """Have these in force, and no other."""
        run(*inside(self._layout.switch), "nft", "-f", "-", told=ruleset(cuts))

    def plug(self, place: Place, in_it: bool) -> None:
        """Put a place's cable in, or pull it."""
        self._ip(self._layout.switch, f"link set {place.port} {'up' if in_it else 'down'}")

    def delay(self, place: Place, seconds: float, jitter: float = 0.0) -> str:
        """
        Have frames from and to a place take longer; answers what does it, ``netem`` or ``wire``.

        :raises LabError: neither can.
        """
        self.hasten(place)
        if has_netem(self._layout.switch):
            told = ("delay", f"{seconds * 1000:.3f}ms", f"{jitter * 1000:.3f}ms")
            run("tc", "-n", place.namespace, "qdisc", "replace", "dev", "eth0", "root", "netem", *told)
            run(
                "tc", "-n", self._layout.switch, "qdisc", "replace", "dev", place.port, "root", "netem", *told
            )
            return "netem"
        self._lay_wire(place, seconds, jitter)
        return "wire"

    def _lay_wire(self, place: Place, seconds: float, jitter: float) -> None:
        switch, wire = self._layout.switch, wire_of(place.port)
        self._ip(
            switch,
            f"tuntap add dev {wire} mode tap",
            f"link set {wire} master {BRIDGE}",
            f"link set {wire} up",
        )
        command = (
            sys.executable,
            "-m",
            "twisted_rapi.testing.lab.wire",
            place.port,
            str(seconds),
            str(jitter),
        )
        with (self._layout.directory / f"{wire}.log").open("ab") as log:
            carrier = subprocess.Popen(
                [*inside(switch), *command], stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        assert carrier.stdout is not None
        with carrier.stdout as told:
            if not told.readline():
                raise LabError(f"the wire did not start, see {log.name}")
        self._ip(switch, f"link set {place.port} nomaster")

    def hasten(self, place: Place) -> None:
        """End what `delay` began."""
        switch, wire = self._layout.switch, wire_of(place.port)
        if wire in self._devices():
            self._ip(switch, f"link set {place.port} master {BRIDGE}", f"link delete {wire}")
        for namespace, device in ((place.namespace, "eth0"), (switch, place.port)):
            if "netem" in run("tc", "-n", namespace, "qdisc", "show", "dev", device):
                run("tc", "-n", namespace, "qdisc", "delete", "dev", device, "root")

    def _devices(self) -> set[str]:
        return {name for _, name in within(self._layout.switch, socket.if_nameindex)}

    def restore(self) -> None:
        """Have everything pass as in the beginning."""
        self.cut(())
        for place in self._layout.places:
            self.hasten(place)
            self.plug(place, True)


def has_netem(namespace: str) -> bool:
    """Whether this kernel can delay and lose packets by itself."""
    try:
        run("tc", "-n", namespace, "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "1ms")
        run("tc", "-n", namespace, "qdisc", "delete", "dev", "lo", "root")
    except LabError:
        return False
    return True


def await_gone(namespace: str, pids: Iterable[int], seconds: float = 10.0) -> None:
    """
    Wait until these processes have ended.

    :raises LabError: they have not after `seconds`.
    """
    wanted, deadline = set(pids), time.monotonic() + seconds
    while left := wanted & set(processes(namespace)):
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(left)} do not end")
        time.sleep(0.02)
