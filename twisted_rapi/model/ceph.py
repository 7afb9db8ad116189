"""What is asked of a Ceph cluster, as values; sizes are bytes."""

from typing import Literal

from msgspec import Struct

from twisted_rapi.model import rbd

Subject = Literal[
    "status", "utilization", "options", "osds", "pools", "volumes", "images", "snapshots", "locks"
]
"""What can be looked at; see `twisted_rapi.storage.ceph_interface.ICeph.look`."""

OPTIONS = (
    "full",
    "nobackfill",
    "nodeep-scrub",
    "nodown",
    "noin",
    "noout",
    "norebalance",
    "norecover",
    "nosnaptrim",
    "noscrub",
    "notieragent",
    "noup",
    "pause",
)
"""The flags of the whole cluster that can be set and taken away (``ceph osd set``)."""


TIERS = ("hdd", "ssd", "nvme")
"""Classes of devices."""


class Change(Struct, frozen=True, kw_only=True, tag_field="change", omit_defaults=True):
    """Something done to Ceph.  Done already is well: what is asked for twice ends as when asked once."""


class SetOption(Change, frozen=True, kw_only=True, tag="option", omit_defaults=True):
    """Set a flag of the cluster (`OPTIONS`), or take it away."""

    name: str
    on: bool


class AddOsd(Change, frozen=True, kw_only=True, tag="osd.add", omit_defaults=True):
    """
    Make an OSD of a block device of this node, whatever is on it, and have it run.

    A device that belongs to an OSD already is that OSD.

    :ivar weight: of the OSD among others; 0: by its size.
    """

    device: str
    weight: float = 0.0


class RemoveOsd(Change, frozen=True, kw_only=True, tag="osd.remove", omit_defaults=True):
    """
    End an OSD of this node for good and free its device.

    It fails while Ceph says that data would be lost or would have too few copies.
    """

    osd: int


class MoveOsd(Change, frozen=True, kw_only=True, tag="osd.move", omit_defaults=True):
    """Have an OSD take part (`into`), or have its data go to others."""

    osd: int
    into: bool


class AddPool(Change, frozen=True, kw_only=True, tag="pool.add", omit_defaults=True):
    """
    Make a pool for images.

    :ivar copies: of each object, 0: as is usual there; `least`: below which nothing is written, likewise.
    :ivar tier: the class of the devices it is to be on (``ssd`` …), on different hosts; empty: any, as is
        usual there.
    """

    pool: str
    pgs: int
    copies: int = 0
    least: int = 0
    tier: str = ""


class RemovePool(Change, frozen=True, kw_only=True, tag="pool.remove", omit_defaults=True):
    """Remove a pool with all that is in it."""

    pool: str


class SetPgs(Change, frozen=True, kw_only=True, tag="pool.pgs", omit_defaults=True):
    """Set the number of a pool's placement groups; Ceph goes there by and by."""

    pool: str
    pgs: int


class AddVolume(Change, frozen=True, kw_only=True, tag="volume.add", omit_defaults=True):
    """Make an image of this size; one that is there with another is a failure."""

    pool: str
    volume: str
    size: int


class ResizeVolume(Change, frozen=True, kw_only=True, tag="volume.resize", omit_defaults=True):
    """Give an image this size.  It never becomes smaller."""

    pool: str
    volume: str
    size: int


class RenameVolume(Change, frozen=True, kw_only=True, tag="volume.rename", omit_defaults=True):
    """Call an image otherwise, in its pool."""

    pool: str
    volume: str
    name: str


class CopyVolume(Change, frozen=True, kw_only=True, tag="volume.copy", omit_defaults=True):
    """
    Copy an image, without its snapshots, in its pool.

    A copy that was not finished is begun anew; a finished one is kept.
    """

    pool: str
    volume: str
    name: str


class RemoveVolume(Change, frozen=True, kw_only=True, tag="volume.remove", omit_defaults=True):
    """Remove an image with its snapshots; one that somebody uses stays."""

    pool: str
    volume: str


class AddSnapshot(Change, frozen=True, kw_only=True, tag="snapshot.add", omit_defaults=True):
    """Keep how an image is now."""

    pool: str
    volume: str
    snapshot: str


class RenameSnapshot(Change, frozen=True, kw_only=True, tag="snapshot.rename", omit_defaults=True):
    """Call a snapshot otherwise."""

    pool: str
    volume: str
    snapshot: str
    name: str


class RemoveSnapshot(Change, frozen=True, kw_only=True, tag="snapshot.remove", omit_defaults=True):
    """Forget a snapshot."""

    pool: str
    volume: str
    snapshot: str


class RollBack(Change, frozen=True, kw_only=True, tag="volume.rollback", omit_defaults=True):
    """Have an image be again as its snapshot is."""

    pool: str
    volume: str
    snapshot: str


class BreakLocks(Change, frozen=True, kw_only=True, tag="volume.unlock", omit_defaults=True):
    """
    Take the locks on an image from those who have them.  They are to be off, or fenced, before.

    :ivar addresses: of those whose locks are meant, with OSDs of `host`, which is a node as Ceph has it;
        ``None``: whoever has one.
    """

    pool: str
    volume: str
    addresses: tuple[str, ...] | None = None
    host: str = ""


AnyChange = (
    SetOption
    | AddOsd
    | RemoveOsd
    | MoveOsd
    | AddPool
    | RemovePool
    | SetPgs
    | AddVolume
    | ResizeVolume
    | RenameVolume
    | CopyVolume
    | RemoveVolume
    | AddSnapshot
    | RenameSnapshot
    | RemoveSnapshot
    | RollBack
    | BreakLocks
)


_COPIES = 10  # more than anybody has
_NAMES = ("pool", "volume", "name", "snapshot")


def objection(change: AnyChange) -> str:
    """Which of its names or numbers cannot be meant, and why; empty: they all can."""
    for field in _NAMES if not isinstance(change, SetOption) else ():
        word = getattr(change, field, None)
        if word is not None and not rbd.NAME.fullmatch(word):
            return f"{word[:200]!r} is no name for a {'volume' if field == 'name' else field}"
    match change:
        case SetOption(name=name) if name not in OPTIONS:
            return f"Ceph has no option {name[:200]!r}"
        case AddPool(pgs=pgs) | SetPgs(pgs=pgs) if not 0 < pgs <= 65536:
            return f"a pool cannot have {pgs} placement groups"
        case AddPool(copies=copies, least=least) if (
            not 0 <= least <= (copies or least) <= _COPIES or copies < 0
        ):
            return f"a pool cannot have {copies} copies, {least} at least"
        case AddPool(tier=tier) if tier not in ("", *TIERS):
            return f"there is no class of devices {tier[:200]!r}"
        case AddVolume(size=size) | ResizeVolume(size=size) if not 0 < size < 1 << 63:
            return f"a volume cannot have {size} bytes"
        case AddOsd(weight=weight) if not 0 <= weight < 1e6:
            return f"an OSD cannot have the weight {weight}"
    return ""


def is_device(path: str) -> bool:
    """Whether this is the full path of something below ``/dev``."""
    parts = path.split("/")
    known = path.startswith("/dev/") and path.isprintable() and len(path) < 4096
    return known and not {"", ".", ".."} & set(parts[1:])
