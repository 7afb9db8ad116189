"""
A wire that frames take their time on, for kernels without netem: ``python -m … PORT SECONDS JITTER``.

It runs in the switch's namespace.  The port is no longer the bridge's; the tap device `wire_of` the port is,
and every frame that comes in at one goes out at the other, both ways, after a while and in order.  The
process ends when the tap device is removed.
"""

import fcntl
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable

from twisted_rapi.testing.lab.cutting import wire_of

_SET = 0x400454CA  # TUNSETIFF of linux/if_tun.h
_TAP, _BARE = 0x0002, 0x1000  # IFF_TAP, IFF_NO_PI
_ALL, _OUTGOING = 3, 4  # ETH_P_ALL, PACKET_OUTGOING
_LONGEST = 65536


def open_tap(name: str) -> int:
    """The end of a tap device that is ours."""
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(handle, _SET, struct.pack("16sH22x", name.encode(), _TAP | _BARE))
    return handle


def open_port(name: str) -> socket.socket:
    """All frames that come in at a device."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    port.bind((name, _ALL))
    port.setblocking(False)
    return port


class Lane:
    """One direction: frames leave in the order they came in."""

    def __init__(self, leave: Callable[[bytes], object], wait: Callable[[], float]) -> None:
        self._leave, self._wait = leave, wait
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._last = 0.0

    def enter(self, frame: bytes, now: float) -> None:
        """A frame comes in."""
        self._last = max(self._last, now + self._wait())
        self._under_way.append((self._last, frame))

    def proceed(self, now: float) -> float | None:
        """Let out what is due; answers when the next is."""
        while self._under_way and self._under_way[0][0] <= now:
            _, frame = self._under_way.popleft()
            try:
                self._leave(frame)
            except (BlockingIOError, OSError):
                continue  # a full or unplugged device loses frames
        return self._under_way[0][0] if self._under_way else None


def carry(port: socket.socket, tap: int, wait: Callable[[], float]) -> None:
    """Carry frames until the tap device is gone."""
    inward, outward = Lane(lambda f: os.write(tap, f), wait), Lane(port.send, wait)
    while True:
        due = [at for lane in (inward, outward) if (at := lane.proceed(time.monotonic())) is not None]
        patience = max(0.0, min(due) - time.monotonic()) if due else 1.0
        ready, _, _ = select.select([port.fileno(), tap], [], [], patience)
        now = time.monotonic()
        if port.fileno() in ready:
            try:
                frame, whence = port.recvfrom(_LONGEST)
            except OSError:
                continue  # the link is down
            if whence[2] != _OUTGOING:
                inward.enter(frame, now)
        if tap in ready:
            try:
                outward.enter(os.read(tap, _LONGEST), now)
            except BlockingIOError:
                continue
            except OSError:
                return


def main(port: str, seconds: float, jitter: float) -> None:
    """Be the wire of a port."""
    chance = random.Random(port)
    with open_port(port) as at:
        tap = open_tap(wire_of(port))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        carry(at, tap, lambda: max(0.0, seconds + chance.uniform(-jitter, jitter)))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
