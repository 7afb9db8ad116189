"""Hosts on one link, as network namespaces; only root can make them."""

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs

_NEW_NET = 0x40000000
_NUMBER = itertools.count()


def reason_not() -> str | None:
    """Why there can be none on this machine."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    name = f"rapi-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return tried.stderr.strip() or None


@attrs.define
class Link:
    """
    A bridge with hosts on it, each with an interface ``eth0`` and its addresses.

    :ivar label: what their namespaces' names begin with.
    """

    label: str = attrs.field(factory=lambda: f"rapi-{os.getpid()}-{next(_NUMBER)}")
    hosts: list[str] = attrs.field(factory=list)

    def make(self, hosts: dict[str, tuple[str, ...]]) -> None:
        """Make the hosts of these names, with these addresses and prefixes."""
        self._add("link")
        self.run("link", "ip link add br0 type bridge")
        self.run("link", "ip link set br0 up")
        for host, addresses in hosts.items():
            self._add(host)
            peer = f"ip link add eth0 type veth peer name to-{host} netns {self.label}-link"
            self.run(host, peer)
            self.run("link", f"ip link set to-{host} master br0 up")
            self.run(host, "ip link set lo up")
            self.run(host, "ip link set eth0 up")
            for address in addresses:
                plain = " nodad" if ":" in address else ""
                self.run(host, f"ip address add {address} dev eth0{plain}")

    def _add(self, host: str) -> None:
        subprocess.run(["ip", "netns", "add", f"{self.label}-{host}"], check=True)
        self.hosts.append(host)

    def remove(self) -> None:
        """Remove all of it."""
        for host in self.hosts:
            subprocess.run(["ip", "netns", "delete", f"{self.label}-{host}"], check=True)
        self.hosts.clear()

    def run(self, host: str, command: str) -> str:
        """What a command on a host prints; it has to end well."""
        whole = ["ip", "netns", "exec", f"{self.label}-{host}", *command.split()]
        return subprocess.run(whole, check=True, stdout=subprocess.PIPE, text=True).stdout

    def socket(self, host: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of a host; this thread is on it for that moment only."""
        with self.within(host):
            return socket.socket(family, kind, protocol)

    @contextlib.contextmanager
    def within(self, host: str) -> Iterator[None]:
        """This thread is on a host, and what it starts meanwhile stays there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/thread-self/ns/net").open() as home:
            with Path(f"/run/netns/{self.label}-{host}").open() as there:
                _enter(libc, there.fileno())
            try:
                yield
            finally:
                _enter(libc, home.fileno())


def _enter(libc: ctypes.CDLL, handle: int) -> None:
    if libc.setns(handle, _NEW_NET):
        raise OSError(ctypes.get_errno(), "setns")
