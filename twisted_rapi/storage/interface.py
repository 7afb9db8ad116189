"""What keeps disks on a node, and its contract."""

from typing import Any

from zope.interface import Attribute, Interface

from twisted_rapi.model.steps import DiskSpec


class IVolumeDriver(Interface):
    """
    One disk template on this node.  Sizes are MiB.

    A volume is addressed by its disk's ``logical_id``, which the master chose.  Every method may raise
    `StepFailed` of kind ``storage``; an address outside of what the driver may touch is one such failure.
    """

    template = Attribute("The disk template it keeps.")

    async def create(disk: DiskSpec, fresh: bool = False) -> str:
        """
        Make the volume and answer its path here; one that exists with this size is kept.

        A volume appears whole or not at all.

        :param fresh: an existing one is replaced by an empty one.
        """

    async def delete(disk: DiskSpec) -> None:
        """Remove the volume, and the directory it leaves empty; one that is not there is well."""

    async def grow(disk: DiskSpec) -> None:
        """Make the volume `disk.size` MiB large; one that is at least as large is kept."""

    async def activate(disk: DiskSpec, ignore_size: bool = False) -> str:
        """Make it usable here and answer its path.  Fails if it is missing, or of another size."""

    async def deactivate(disk: DiskSpec) -> None:
        """Stop using it here; done already is well."""

    async def move(disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """Give it another address.  Done already is well; fails if something else is there."""

    async def inspect(disk: DiskSpec) -> dict[str, Any] | None:
        """What `twisted_rapi.model.steps.InspectDisks` says of a disk, or ``None`` when it is not there."""

    async def space() -> tuple[int, int]:
        """Total and free MiB of where volumes are kept."""


class IMirrorDriver(IVolumeDriver):
    """
    A template whose disks are kept on two nodes, this one being ``disk.node``.

    The other side's address is in ``disk.logical_id``.  A side whose data is not current is filled from the
    other one as soon as both are attached to each other; `activate` is `attach` as primary.  A side that was
    made or attached for a later ``disk.serial``, or for the same with another secret, is not removed.
    """

    async def attach(disk: DiskSpec, primary: bool, ignore_size: bool = False, force: bool = False) -> str:
        """
        Connect this side to the one `disk` names, whatever it was connected to, and answer its path here.

        :param primary: the guest is to use this side.  Its data has to be current; that of a disk that no
            side was primary of yet counts as current where it is first.
        :param force: take this side's data for current.
        """

    async def renew(disk: DiskSpec, token: str) -> None:
        """
        Put new, empty storage below this side; it is filled from the other one.

        Fails where the other side is not attached with current data.  Done already under this token is well.
        """

    async def remaining(disk: DiskSpec) -> float:
        """Seconds until this disk is filled as it goes now; 0 when neither side is being filled."""

    async def adopt(disk: DiskSpec) -> None:
        """
        Make this side from a ``plain`` volume that is its data volume already; its data is current.

        Done already is well.
        """

    async def release(disk: DiskSpec) -> None:
        """End this side but keep its data volume, as a ``plain`` one; done already is well."""
