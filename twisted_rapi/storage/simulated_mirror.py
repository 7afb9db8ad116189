"""
Simulated DRBD: two nodes with a data and a metadata volume each, and notes of how far each side is.

The notes are on a shelf that all nodes share, in place of the network between them.  A side's `left` is what
it still has to get from the other one, in MiB; 0 means its data is current.  It shrinks with time while both
sides are attached to each other and the other one is current.
"""

from collections.abc import Callable
from math import ceil
from typing import Any

import attrs

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.shelf import Shelf
from twisted_rapi.storage.simulated import Volumes

_MAJOR = 147  # of DRBD devices
_USUAL_RATE = 61440  # KiB/s, constants.json diskparams
_NOTHING = 1e-3  # MiB, less than a sector: what rounding leaves
_MISSED = 100  # a side that was away has missed one part in so many


@attrs.define(kw_only=True)
class _Side:
    """
    One side.

    :ivar since: when `left` was so; ``None`` while it does not shrink.
    :ivar rate: MiB a second.
    :ivar used: whether a guest has ever used it here.
    :ivar token: of the last renewal.
    :ivar serial: of the disk when it was made or attached, as is `secret`.
    """

    size: int
    left: float
    since: float | None = None
    active: bool = False
    primary: bool = False
    used: bool = False
    peer: str = ""
    rate: float = 60.0
    token: str = ""
    serial: int = 0
    secret: str = ""

    def newer(self, disk: DiskSpec) -> bool:
        """Whether it is a side of what the disk became later, or of another attempt to change it."""
        return self.serial > disk.serial or (self.serial == disk.serial and self.secret != disk.logical_id[5])

    def settle(self, now: float) -> None:
        """Bring `left` up to date."""
        if self.since is not None:
            left = self.left - max(0.0, now - self.since) * self.rate
            self.left = left if left > _NOTHING else 0.0
            self.since = now if self.left > 0 else None

    @property
    def ldisk(self) -> str:
        """The state of its own data."""
        if self.left == 0:
            return "okay"
        return "faulty" if self.since is None else "sync"


def address(disk: DiskSpec) -> tuple[str, int]:
    """
    The other side's node, and the minor on this one.

    :raises StepFailed: the disk is not one of two sides, or this node has none of it.
    """
    match tuple(disk.logical_id):
        case (str(one), str(two), int(), int(first), int(second), str()) if (
            one != two and len(disk.children) == 2
        ):
            if disk.node == one:
                return two, first
            if disk.node == two:
                return one, second
    raise StepFailed(f"disk {disk.uuid} is no drbd disk of this node", "storage")


class Mirrors:
    """
    The drbd disks of a node; `twisted_rapi.storage.interface.IMirrorDriver`, at once.

    :param lower: keeps the data and metadata volumes.
    :param now: seconds, the same for both sides.
    """

    template = "drbd"

    def __init__(self, lower: Volumes, shelf: Shelf, now: Callable[[], float]) -> None:
        self._lower, self._shelf, self._now = lower, shelf, now

    # Notes.

    def _side(self, disk: DiskSpec, node: str) -> _Side | None:
        found = self._shelf.read(f"{disk.uuid}@{node}")
        if found is None:
            return None
        side = _Side(**found)
        side.settle(self._now())
        return side

    def _both(self, disk: DiskSpec) -> tuple[_Side, _Side | None]:
        peer, _ = address(disk)
        own = self._side(disk, disk.node)
        if own is None:
            raise StepFailed(f"{self._path(disk)} does not exist", "storage")
        return own, self._side(disk, peer)

    def _linked(self, disk: DiskSpec, own: _Side | None, other: _Side | None) -> bool:
        if own is None or other is None:
            return False
        return own.active and other.active and own.peer == address(disk)[0] and other.peer == disk.node

    def _write(self, disk: DiskSpec, own: _Side | None, other: _Side | None) -> None:
        """Note both sides; one is being filled if they are linked and the other is current."""
        linked, now = self._linked(disk, own, other), self._now()
        for side, source in ((own, other), (other, own)):
            if side is not None:
                fills = linked and source is not None and source.left == 0 and side.left > 0
                side.since = now if fills else None
        for node, side in ((disk.node, own), (address(disk)[0], other)):
            if side is not None:
                self._shelf.write(f"{disk.uuid}@{node}", attrs.asdict(side))

    def _new(self, disk: DiskSpec, left: float) -> _Side:
        return _Side(size=disk.size, left=left, used=left == 0, serial=disk.serial, secret=disk.logical_id[5])

    def _path(self, disk: DiskSpec) -> str:
        return f"/dev/drbd{address(disk)[1]}"

    # The driver.

    def create(self, disk: DiskSpec, fresh: bool = False) -> str:
        """Make both volumes below, and note a side without data."""
        with self._shelf.locked():
            peer, _ = address(disk)
            own = self._side(disk, disk.node)
            if own is not None and not fresh:
                self._check_size(disk, own)
                return self._path(disk)
            for child in disk.children:
                self._lower.create(child, fresh=True)
            made = self._new(disk, float(disk.size))
            self._write(disk, made, self._side(disk, peer))
        return self._path(disk)

    def adopt(self, disk: DiskSpec) -> None:
        """Note a side whose data volume was a disk of its own and is current; done already is well."""
        with self._shelf.locked():
            own = self._side(disk, disk.node)
            if own is None or own.secret != disk.logical_id[5]:
                data, meta = disk.children
                self._lower.activate(data)
                self._lower.create(meta, fresh=True)
                made = self._new(disk, 0.0)
                self._write(disk, made, self._side(disk, address(disk)[0]))

    def delete(self, disk: DiskSpec) -> None:
        """Remove the volumes below and the note."""
        with self._shelf.locked():
            if not self._forget(disk):
                return
            for child in disk.children:
                self._lower.delete(child)

    def release(self, disk: DiskSpec) -> None:
        """Remove the metadata and the note; the data volume stays, as a disk of its own."""
        with self._shelf.locked():
            if not self._forget(disk):
                return
            self._lower.delete(disk.children[1])

    def _forget(self, disk: DiskSpec) -> bool:
        """Remove the note, unless it is of another disk by now; answers that."""
        peer, _ = address(disk)
        own = self._side(disk, disk.node)
        if own is not None and own.newer(disk):
            return False
        self._shelf.remove(f"{disk.uuid}@{disk.node}")
        self._write(disk, None, self._side(disk, peer))
        return True

    def grow(self, disk: DiskSpec) -> None:
        """Grow the data; a side that follows gets what is new from the other."""
        with self._shelf.locked():
            own, other = self._both(disk)
            more = disk.size - own.size
            if more <= 0:
                return
            self._lower.grow(disk.children[0])
            own.size = disk.size
            if own.active and not own.primary:
                own.left += more
            self._write(disk, own, other)

    def _check_size(self, disk: DiskSpec, own: _Side) -> None:
        if own.size != disk.size:
            raise StepFailed(f"{self._path(disk)} has {own.size} MiB instead of {disk.size}", "storage")

    def activate(self, disk: DiskSpec, ignore_size: bool = False) -> str:
        """Attach as primary."""
        return self.attach(disk, True, ignore_size)

    def attach(self, disk: DiskSpec, primary: bool, ignore_size: bool = False, force: bool = False) -> str:
        """Connect this side to the other one."""
        with self._shelf.locked():
            own, other = self._both(disk)
            for child in disk.children:
                self._lower.activate(child, ignore_size)
            if not ignore_size:
                self._check_size(disk, own)
            in_use = other is not None and other.active and other.primary
            if own.left == 0 and in_use and not self._linked(disk, own, other):
                own.left = float(ceil(own.size / _MISSED))
            own.active, own.peer = True, address(disk)[0]
            own.serial, own.secret = disk.serial, disk.logical_id[5]
            own.rate = max(1, int(disk.params.get("resync-rate", _USUAL_RATE))) / 1024
            if primary:
                self._judge(disk, own, other, force)
            own.primary, own.used = primary, own.used or primary
            self._write(disk, own, other)
        return self._path(disk)

    def _judge(self, disk: DiskSpec, own: _Side, other: _Side | None, force: bool) -> None:
        """Whether a guest can use this side; one that is filled reads from the other what it has not got."""
        if own.left == 0:
            return
        unused = not own.used and (other is None or not other.used)
        if force and other is not None:
            other.left = float(other.size)
        if force or unused:
            own.left = 0.0
        elif not (self._linked(disk, own, other) and other is not None and other.left == 0):
            raise StepFailed(f"{self._path(disk)} has no current data", "storage")

    def deactivate(self, disk: DiskSpec) -> None:
        """Let go of the other side."""
        with self._shelf.locked():
            peer, _ = address(disk)
            own, other = self._side(disk, disk.node), self._side(disk, peer)
            if own is not None and own.active:
                own.active = own.primary = False
                self._write(disk, own, other)

    def move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """A drbd disk is not called by a name that could change."""
        address(disk)
        if tuple(to) != tuple(disk.logical_id):
            raise StepFailed("a drbd disk has no other address to move to", "storage")
        self._both(disk)

    def renew(self, disk: DiskSpec, token: str) -> None:
        """Make the volumes below anew."""
        with self._shelf.locked():
            own, other = self._both(disk)
            if own.token == token:
                return
            if not self._linked(disk, own, other) or other is None or other.left > 0:
                raise StepFailed(f"{self._path(disk)}: the other side has no current data", "storage")
            for child in disk.children:
                self._lower.create(child, fresh=True)
            own.left, own.token = float(own.size), token
            self._write(disk, own, other)

    def remaining(self, disk: DiskSpec) -> float:
        """The longer of both sides' times."""
        with self._shelf.locked():
            own, other = self._both(disk)
        filled = [side for side in (own, other) if side is not None and side.since is not None]
        return max((side.left / side.rate for side in filled), default=0.0)

    def inspect(self, disk: DiskSpec) -> dict[str, Any] | None:
        """Both sides' notes as this one sees them."""
        with self._shelf.locked():
            peer, minor = address(disk)
            own, other = self._side(disk, disk.node), self._side(disk, peer)
        if own is None:
            return None
        linked = self._linked(disk, own, other)
        seen: dict[str, Any] = {
            "path": self._path(disk),
            "size": own.size,
            "allocated": own.size,
            "major": _MAJOR,
            "minor": minor,
            "active": own.active,
            "degraded": not linked or own.left > 0 or (other is not None and other.left > 0),
            "ldisk": own.ldisk,
        }
        filled = [side for side in (own, other) if side is not None and side.since is not None]
        if filled:
            left = max(side.left for side in filled)
            seen["percent"] = round(100 * (1 - left / max(1, own.size)), 2)
            seen["estimate"] = ceil(max(side.left / side.rate for side in filled))
        return seen

    def space(self) -> tuple[int, int]:
        """Of the volumes below."""
        return self._lower.space()
