"""Steps about the volumes of disks."""

from typing import Any

from twisted_rapi.model.step_base import DiskSpec, Step


class CreateVolume(Step, frozen=True, kw_only=True, tag="volume.create", omit_defaults=True):
    """
    Make a disk's volume.  One that exists with this size is kept, unless `fresh` asks for an empty one.

    Outcome ``path``: where it is on this node.
    """

    disk: DiskSpec
    fresh: bool = False


class DeleteVolume(Step, frozen=True, kw_only=True, tag="volume.delete", omit_defaults=True):
    """Remove a disk's volume; one that is not there is well."""

    disk: DiskSpec


class GrowVolume(Step, frozen=True, kw_only=True, tag="volume.grow", omit_defaults=True):
    """Make a disk's volume `disk.size` MiB large; one that is at least as large is kept."""

    disk: DiskSpec


class ActivateVolume(Step, frozen=True, kw_only=True, tag="volume.activate", omit_defaults=True):
    """
    Make a disk's volume usable here.  Outcome ``path``.

    The rest is about mirrored disks, which are connected to their other side as `disk` names it.

    :ivar ignore_size: do not compare its size.
    :ivar primary: the guest is to run here; ``False``: this side only follows the other.
    :ivar force: use this side's data although it may be old, and fill the other from it.
    """

    disk: DiskSpec
    ignore_size: bool = False
    primary: bool = True
    force: bool = False


class DeactivateVolume(Step, frozen=True, kw_only=True, tag="volume.deactivate", omit_defaults=True):
    """Stop using a disk's volume here."""

    disk: DiskSpec


class MoveVolume(Step, frozen=True, kw_only=True, tag="volume.move", omit_defaults=True):
    """Give a volume the address `to`, as when its instance is renamed.  Done already is well."""

    disk: DiskSpec
    to: tuple[Any, ...]


class RenewVolume(Step, frozen=True, kw_only=True, tag="volume.renew", omit_defaults=True):
    """
    Put new, empty storage below this node's side of a mirrored disk and fill it from the other side.

    :ivar token: names this renewal; one that was carried out before is not repeated.
    """

    disk: DiskSpec
    token: str


class AdoptVolume(Step, frozen=True, kw_only=True, tag="volume.adopt", omit_defaults=True):
    """
    Make this node's side of a mirrored disk from the ``plain`` volume that is its data volume.

    Its data is current; done already is well.
    """

    disk: DiskSpec


class ReleaseVolume(Step, frozen=True, kw_only=True, tag="volume.release", omit_defaults=True):
    """End this node's side of a mirrored disk but keep its data volume; done already is well."""

    disk: DiskSpec


class AwaitSync(Step, frozen=True, kw_only=True, tag="volume.sync", omit_defaults=True):
    """
    Wait until no disk is being filled any more, but at most so many seconds.  Nothing else waits for it.

    Outcome ``disks`` as of `InspectDisks`, at the end.
    """

    disks: tuple[DiskSpec, ...]
    at_most: float = 60.0


class InspectDisks(Step, frozen=True, kw_only=True, tag="volume.inspect", omit_defaults=True):
    """
    Say how volumes are.

    Outcome ``disks``: per disk ``None`` when absent, else ``{path, size, allocated}`` in MiB, and where there
    is such a thing ``major`` and ``minor`` of the device.  Of a mirrored disk also ``active``, ``degraded``,
    ``ldisk`` (``okay``, ``sync``, ``unknown``, ``faulty``), and while it is filled ``percent`` and
    ``estimate`` (seconds).
    """

    disks: tuple[DiskSpec, ...]
