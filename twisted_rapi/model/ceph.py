"""What is asked of a Ceph cluster, as values; sizes are bytes."""

from typing import Literal

from msgspec import Struct

Subject = Literal["status", "utilization", "options", "osds", "pools", "volumes", "snapshots", "locks"]
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
    """

    pool: str
    pgs: int
    copies: int = 0
    least: int = 0


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
