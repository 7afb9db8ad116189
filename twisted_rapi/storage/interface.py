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
        """``{path, size, allocated}``, or ``None`` when it is not there."""

    async def space() -> tuple[int, int]:
        """Total and free MiB of where volumes are kept."""
