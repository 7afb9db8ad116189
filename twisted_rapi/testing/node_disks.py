"""The disks of a node in memory: files, logical volumes, mirrors, shared storage."""

from collections.abc import Callable, Mapping
from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.storage.simulated import Volumes
from twisted_rapi.storage.simulated_driver import SHARED, cores
from twisted_rapi.storage.simulated_mirror import Mirrors
from twisted_rapi.testing.volumes import MemoryShelf

if TYPE_CHECKING:
    from twisted_rapi.testing.nodes import FakeNode

DISK = 1048576  # MiB of each node


@attrs.define(eq=False)
class Shared:
    """
    What the nodes of a cluster have in common.

    :ivar time: seconds, for disks that are being filled; it goes on only while that is awaited.
    :ivar nodes: all of them by uuid, for guests that migrate.
    :ivar abroad: nodes of other clusters.
    :ivar files: sizes in MiB of files that all nodes see, by path.
    :ivar mirrored: the sides of mirrored disks; `shelves`: volumes of shared storage by template.
    :ivar ceph: what there is of Ceph beside its volumes.
    """

    time: float = 0.0
    nodes: "dict[str, FakeNode]" = attrs.field(factory=dict)
    abroad: "list[FakeNode]" = attrs.field(factory=list)
    files: dict[str, int] = attrs.field(factory=dict)
    mirrored: MemoryShelf = attrs.field(factory=MemoryShelf)
    ceph: MemoryShelf = attrs.field(factory=MemoryShelf)
    shelves: dict[str, MemoryShelf] = attrs.field(
        factory=lambda: {template: MemoryShelf() for template in (*SHARED, "blockdev")}
    )

    def fork(self) -> "Shared":
        """What is as it is here now, without nodes."""
        shelves = {template: _copy(shelf) for template, shelf in self.shelves.items()}
        return Shared(**{**copies(self), "shelves": shelves, "nodes": {}})


_COPIES: Mapping[type, Callable[[Any], Any]] = {
    MemoryShelf: lambda shelf: MemoryShelf(dict(shelf.values)),
    **dict.fromkeys((dict, set, list), copy),
}
"""What changes of its own is another one; what shelves hold never changes."""


def _copy(value: Any) -> Any:
    made = _COPIES.get(type(value))
    return value if made is None else made(value)


@cache
def _fields(cls: Any) -> tuple[tuple[str, str], ...]:
    return tuple((field.alias, field.name) for field in attrs.fields(cls) if field.init)


def copies(thing: Any) -> dict[str, Any]:
    """What another thing of this class is made with to be as this one is now."""
    return {alias: _copy(getattr(thing, name)) for alias, name in _fields(thing.__class__)}


@attrs.define(eq=False)
class NodeDisks:
    """
    Disks of one node.

    :ivar shared: what it has in common with other nodes.
    :ivar volumes: sizes in MiB of files, by path; `shelf`: of the node's logical volumes, by ``group/name``.
    """

    shared: Shared = attrs.field(factory=Shared)
    volumes: dict[str, int] = attrs.field(factory=dict)
    shelf: MemoryShelf = attrs.field(factory=MemoryShelf)
    _drivers: dict[str, Volumes | Mirrors] | None = attrs.field(default=None, init=False)

    @property
    def drivers(self) -> dict[str, Volumes | Mirrors]:
        """What keeps the disks that are no files."""
        if self._drivers is None:
            shared = self.shared
            self._drivers = cores(self.shelf, shared.mirrored, shared.shelves, DISK, lambda: shared.time)
        return self._drivers

    def disk_free(self) -> int:
        """MiB that files and logical volumes leave."""
        used = sum(int(note["size"]) for note in self.shelf.values.values())
        return max(0, DISK - used) - sum(self.volumes.values())

    def on_disks(self, step: Step) -> Outcome:
        """Carry out a step that is about disks; any other does nothing."""
        match step:
            case steps.InspectDisks():
                return Outcome(disks=tuple(self._look(disk) for disk in step.disks))
            case steps.AwaitSync():
                return self._await(step)
            case steps.CreateVolume() if self._filed(step.disk):
                return self._create(step)
            case steps.DeleteVolume() if self._filed(step.disk):
                self._files(step.disk).pop(step.disk.logical_id[1], None)
            case steps.ActivateVolume() if self._filed(step.disk):
                return Outcome(path=self.path_of(step.disk))
            case steps.MoveVolume() if self._filed(step.disk):
                self._move(step)
            case steps.GrowVolume() if self._filed(step.disk):
                path = self.path_of(step.disk)
                files = self._files(step.disk)
                files[path] = max(step.disk.size, files[path])
            case steps.DeactivateVolume() if self._filed(step.disk):
                pass
            case _ if hasattr(step, "disk"):
                return self._by_driver(step)
        return Outcome()

    def _filed(self, disk: steps.DiskSpec) -> bool:
        return disk.template in ("file", "sharedfile")

    def _files(self, disk: steps.DiskSpec) -> dict[str, int]:
        """The files the disk is one of."""
        return self.shared.files if disk.template == "sharedfile" else self.volumes

    def _by_driver(self, step: Any) -> Outcome:
        driver = self.drivers[step.disk.template]
        match step:
            case steps.CreateVolume():
                return Outcome(path=driver.create(step.disk, step.fresh))
            case steps.DeleteVolume():
                driver.delete(step.disk)
            case steps.GrowVolume():
                driver.grow(step.disk)
            case steps.MoveVolume():
                driver.move(step.disk, step.to)
            case steps.DeactivateVolume():
                driver.deactivate(step.disk)
            case steps.ActivateVolume() if isinstance(driver, Mirrors):
                return Outcome(path=driver.attach(step.disk, step.primary, step.ignore_size, step.force))
            case steps.ActivateVolume():
                return Outcome(path=driver.activate(step.disk, step.ignore_size))
            case _:
                assert isinstance(driver, Mirrors)
                self._by_mirror(driver, step)
        return Outcome()

    def _by_mirror(self, driver: Mirrors, step: Step) -> None:
        match step:
            case steps.RenewVolume():
                driver.renew(step.disk, step.token)
            case steps.AdoptVolume():
                driver.adopt(step.disk)
            case steps.ReleaseVolume():
                driver.release(step.disk)
            case _:
                raise AssertionError(f"not a step: {step!r}")

    def _await(self, step: steps.AwaitSync) -> Outcome:
        """The nodes' own clock goes on as far as is waited."""
        drivers = [(self.drivers[d.template], d) for d in step.disks if not self._filed(d)]
        waits = [driver.remaining(disk) for driver, disk in drivers if isinstance(driver, Mirrors)]
        self.shared.time += min(max(waits, default=0.0), step.at_most)
        return Outcome(disks=tuple(self._look(disk) for disk in step.disks))

    def path_of(self, disk: steps.DiskSpec) -> str:
        """
        Where the disk is, which has to be there.

        :raises StepFailed: it is not.
        """
        if not self._filed(disk):
            return self.drivers[disk.template].activate(disk)
        path: str = disk.logical_id[1]
        if path not in self._files(disk):
            raise StepFailed(f"{path} does not exist", "storage")
        return path

    def _create(self, step: steps.CreateVolume) -> Outcome:
        path = step.disk.logical_id[1]
        self._files(step.disk)[path] = step.disk.size
        return Outcome(path=path)

    def _move(self, step: steps.MoveVolume) -> None:
        source, target = step.disk.logical_id[1], step.to[1]
        files = self._files(step.disk)
        if source in files:
            files[target] = files.pop(source)
        elif target not in files:
            raise StepFailed(f"{source} does not exist", "storage")

    def _look(self, disk: steps.DiskSpec) -> dict[str, object] | None:
        if not self._filed(disk):
            return self.drivers[disk.template].inspect(disk)
        path = disk.logical_id[1]
        size = self._files(disk).get(path)
        return None if size is None else {"path": path, "size": size, "allocated": 0}
