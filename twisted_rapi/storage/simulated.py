"""
Simulated volumes: what they are called and how large they are is noted, nothing else.

Those of one node are on a shelf of its own, those of shared storage on one that all nodes of a trial cluster
have in common.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from zlib import crc32

import attrs

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.shelf import Shelf

_NAME = re.compile(r"[\w.+-]{1,255}", re.ASCII)
_PATH = re.compile(r"/?[\w.+:@-]+(/[\w.+:@-]+)*", re.ASCII)
_MAPPER = 253  # major number of mapped devices


@attrs.frozen(kw_only=True)
class Form:
    """
    How volumes of a template are addressed.

    :ivar first: what the first part of an address has to be, where that is fixed.
    :ivar rest: the form of the second part.
    :ivar path: the path here of an address.
    :ivar device: whether it is a device with a number.
    """

    path: Callable[[str, str], str]
    first: tuple[str, ...] = ()
    rest: re.Pattern[str] = _NAME
    device: bool = True


FORMS: Mapping[str, Form] = {
    "plain": Form(path=lambda group, name: f"/dev/{group}/{name}"),
    "rbd": Form(path=lambda pool, name: f"/dev/rbd/{pool}/{name}"),
    "ext": Form(path=lambda provider, name: f"/dev/{provider}/{name}"),
    "blockdev": Form(path=lambda _, path: path, first=("manual",), rest=_PATH),
    "gluster": Form(
        path=lambda _, path: f"/var/run/ganeti/gluster/{path}", first=("loop",), rest=_PATH, device=False
    ),
}


class Volumes:
    """
    The volumes of one template; `twisted_rapi.storage.interface.IVolumeDriver`, at once.

    :param total: MiB there are for all that is on the shelf.
    """

    def __init__(self, template: str, shelf: Shelf, total: int) -> None:
        self.template = template
        self.shelf = shelf
        self.total = total
        self._form = FORMS[template]

    def _parts(self, logical_id: tuple[Any, ...]) -> tuple[str, str]:
        match tuple(logical_id):
            case (str(first), str(rest)) if (
                _NAME.fullmatch(first)
                and first not in (".", "..")
                and (not self._form.first or first in self._form.first)
                and self._form.rest.fullmatch(rest)
                and not {".", ".."} & set(rest.split("/"))
            ):
                return first, rest
        raise StepFailed(f"{logical_id!r} is no address of a {self.template} volume", "storage")

    def name(self, logical_id: tuple[Any, ...]) -> str:
        """
        What a volume is called on the shelf.

        :raises StepFailed: the address is none.
        """
        return "/".join(self._parts(logical_id))

    def path(self, disk: DiskSpec) -> str:
        """Where the volume is on the node."""
        return self._form.path(*self._parts(disk.logical_id))

    def _size(self, disk: DiskSpec) -> int:
        found = self.shelf.read(self.name(disk.logical_id))
        if found is None:
            raise StepFailed(f"{self.path(disk)} does not exist", "storage")
        return int(found["size"])

    def _check_size(self, disk: DiskSpec) -> None:
        size = self._size(disk)
        if size != disk.size:
            raise StepFailed(f"{self.path(disk)} has {size} MiB instead of {disk.size}", "storage")

    def _put(self, disk: DiskSpec, size: int, had: int, note: Mapping[str, Any]) -> None:
        if size - had > self.space()[1]:
            raise StepFailed(f"no space is left for {self.path(disk)}", "storage")
        self.shelf.write(self.name(disk.logical_id), {**note, "size": size})

    def create(self, disk: DiskSpec, fresh: bool = False) -> str:
        """Note its size."""
        found = self.shelf.read(self.name(disk.logical_id))
        if found is not None and not fresh:
            self._check_size(disk)
        else:
            self._put(disk, disk.size, 0 if found is None else found["size"], {})
        return self.path(disk)

    def delete(self, disk: DiskSpec) -> None:
        """Forget it."""
        self.shelf.remove(self.name(disk.logical_id))

    def grow(self, disk: DiskSpec) -> None:
        """Note the larger size."""
        size = self._size(disk)
        if size < disk.size:
            self._put(disk, disk.size, size, self.shelf.read(self.name(disk.logical_id)) or {})

    def activate(self, disk: DiskSpec, ignore_size: bool = False) -> str:
        """Check that it is there, and of which size."""
        if not ignore_size:
            self._check_size(disk)
        self._size(disk)
        return self.path(disk)

    def deactivate(self, disk: DiskSpec) -> None:
        """Nothing is in use."""

    def move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """Note it under another name."""
        source, target = self.name(disk.logical_id), self.name(to)
        if source == target:
            return
        found, there = self.shelf.read(source), self.shelf.read(target)
        if found is not None and there is not None:
            raise StepFailed(f"{target} exists already", "storage")
        if there is not None:
            return
        if found is None:
            raise StepFailed(f"{self.path(disk)} does not exist", "storage")
        self.shelf.write(target, found)
        self.shelf.remove(source)

    def inspect(self, disk: DiskSpec) -> dict[str, Any] | None:
        """All of it counts as allocated."""
        name = self.name(disk.logical_id)
        found = self.shelf.read(name)
        if found is None:
            return None
        size = int(found["size"])
        seen: dict[str, Any] = {"path": self.path(disk), "size": size, "allocated": size}
        if self._form.device:
            seen |= {"major": _MAPPER, "minor": crc32(name.encode()) % 4096}
        return seen

    def sizes(self) -> dict[str, int]:
        """MiB of each volume there is, by name."""
        notes = {name: self.shelf.read(name) for name in self.shelf.names()}
        return {name: int(note["size"]) for name, note in notes.items() if note is not None}

    def space(self) -> tuple[int, int]:
        """What volumes leave of `total`."""
        return self.total, max(0, self.total - sum(self.sizes().values()))


class Devices(Volumes):
    """Devices that are there before and after: an instance adopts one, and leaves it."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__("blockdev", shelf, 0)

    def create(self, disk: DiskSpec, fresh: bool = False) -> str:
        """It has to be there."""
        return self.activate(disk)

    def delete(self, disk: DiskSpec) -> None:
        """It stays."""
        self.name(disk.logical_id)

    def grow(self, disk: DiskSpec) -> None:
        """It cannot grow."""
        if self._size(disk) < disk.size:
            raise StepFailed(f"{self.path(disk)} cannot grow", "storage")

    def move(self, disk: DiskSpec, to: tuple[Any, ...]) -> None:
        """It is where it is."""
        if self.name(disk.logical_id) != self.name(to):
            raise StepFailed(f"{self.path(disk)} cannot have another address", "storage")
        self._size(disk)
