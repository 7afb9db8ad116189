"""A stand-in for the tool ``rbd`` of Ceph 16.2: its answers were recorded of the real one."""

import json
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import succeed

from twisted_rapi.storage.program import Ended

MIB = 1024 * 1024
_FEATURES = ["layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"]
_OPENING = "rbd: error opening image {}: (2) No such file or directory\n"
_FULL = (
    "rbd: image has snapshots - these must be deleted with 'rbd snap purge'"
    " before the image can be removed.\n"
)
_WATCHED = (
    "rbd: error: image still has watchers\n"
    "This means the image is still open or the client using it crashed. Try again after closing/unmapping it"
    " or waiting 30s for the crashed client to timeout.\n"
)
_SHRINKING = "rbd: shrinking an image is only allowed with the --allow-shrink flag\n"


def _json(value: object) -> Ended:
    return Ended(0, json.dumps(value).encode())


@attrs.define
class RbdTool:
    """
    `twisted_rapi.storage.program.Run` that keeps images in memory, with answers at once.

    Mapping is by the form that the tool's documentation has; a kernel that can was not there to record.

    :ivar images: bytes of each, by ``pool/image``; `snapshots`: their names, `mapped`: their devices.
    :ivar commands: what was run.
    """

    pools: tuple[str, ...] = ("rbd",)
    total: int = 1 << 40
    images: dict[str, int] = attrs.field(factory=dict)
    snapshots: dict[str, list[str]] = attrs.field(factory=dict)
    mapped: dict[str, str] = attrs.field(factory=dict)
    commands: list[tuple[str, ...]] = attrs.field(factory=list)

    async def run(self, command: Sequence[str], seconds: float) -> Ended:
        """See `twisted_rapi.storage.program.Run`."""
        self.commands.append(tuple(command))
        words = [word for word in command if word not in ("--no-progress", "--format", "json")]
        for option in ("--conf", "--id"):
            if option in words:
                at = words.index(option)
                del words[at : at + 2]
        return await succeed(self._answer(words))

    def _answer(self, words: list[str]) -> Ended:
        match words:
            case ["ceph", "df"]:
                free = self.total - sum(self.images.values())
                return _json({"stats": {"total_bytes": self.total, "total_avail_bytes": free}, "pools": []})
            case ["rbd", "create", "--size", size, spec]:
                return self._create(spec, int(size.removesuffix("M")) * MIB)
            case ["rbd", "device", "list"]:
                return self._devices()
            case ["rbd", "device", "unmap", device]:
                self.mapped = {spec: there for spec, there in self.mapped.items() if there != device}
                return Ended(0)
            case ["rbd", "rename", spec, to]:
                return self._rename(spec, to)
            case ["rbd", "resize", "--size", size, spec]:
                return self._with(spec, lambda: self._resize(spec, int(size.removesuffix("M")) * MIB))
            case ["rbd", "device", "map", spec]:
                return self._with(spec, lambda: self._map(spec))
            case ["rbd", "info", spec]:
                return self._with(spec, lambda: self._info(spec))
            case ["rbd", "du", spec]:
                return self._with(spec, lambda: self._usage(spec))
            case ["rbd", "snap", "purge", spec]:
                return self._with(spec, lambda: self._purge(spec))
            case ["rbd", "rm", spec]:
                return self._remove(spec)
        raise AssertionError(f"not recorded: {words}")

    def _with(self, spec: str, work: Callable[[], Ended]) -> Ended:
        pool, _, name = spec.partition("/")
        if pool not in self.pools:
            return Ended(2, b"", f"rbd: error opening pool '{pool}': (2) No such file or directory\n")
        return work() if spec in self.images else Ended(2, b"", _OPENING.format(name))

    def _create(self, spec: str, size: int) -> Ended:
        pool, _, name = spec.partition("/")
        if pool not in self.pools:
            return Ended(2, b"", f"rbd: error opening pool '{pool}': (2) No such file or directory\n")
        if spec in self.images:
            told = f"2026-11-21T14:56:42.856+0000 7f437b491380 -1 librbd: rbd image {name} already exists\n\n"
            return Ended(17, b"", f"{told}rbd: create error: (17) File exists\n")
        self.images[spec] = size
        return Ended(0)

    def _info(self, spec: str) -> Ended:
        size = self.images[spec]
        return _json(
            {
                "name": spec.partition("/")[2],
                "id": "10251551f359",
                "size": size,
                "objects": size >> 22,
                "order": 22,
                "object_size": 4194304,
                "snapshot_count": len(self.snapshots.get(spec, ())),
                "block_name_prefix": "rbd_data.10251551f359",
                "format": 2,
                "features": _FEATURES,
                "op_features": [],
                "flags": [],
                "create_timestamp": "Sat Nov 21 14:56:42 2026",
            }
        )

    def _usage(self, spec: str) -> Ended:
        one = {"name": spec.partition("/")[2], "id": "106cc41a0e2a", "provisioned_size": self.images[spec]}
        lines = [{**one, "snapshot": name, "used_size": 0} for name in self.snapshots.get(spec, ())]
        return _json({"images": [*lines, {**one, "used_size": 0}]})

    def _resize(self, spec: str, size: int) -> Ended:
        if size < self.images[spec]:
            return Ended(22, b"", _SHRINKING)
        self.images[spec] = size
        return Ended(0)

    def _rename(self, spec: str, to: str) -> Ended:
        if spec not in self.images:
            told = "librbd: error opening source image: (2) No such file or directory\n\n"
            return Ended(2, b"", f"{told}rbd: rename error: (2) No such file or directory\n")
        if to in self.images:
            told = f"librbd::Operations: rbd image {to.partition('/')[2]} already exists\n\n"
            return Ended(17, b"", f"{told}rbd: rename error: (17) File exists\n")
        self.images[to] = self.images.pop(spec)
        return Ended(0)

    def _remove(self, spec: str) -> Ended:
        if spec not in self.images:
            return Ended(2, b"", "rbd: delete error: (2) No such file or directory\n")
        if self.snapshots.get(spec):
            return Ended(39, b"", _FULL)
        if spec in self.mapped:
            return Ended(16, b"", _WATCHED)
        del self.images[spec]
        return Ended(0)

    def _purge(self, spec: str) -> Ended:
        self.snapshots.pop(spec, None)
        return Ended(0)

    def _map(self, spec: str) -> Ended:
        device = self.mapped.setdefault(spec, f"/dev/rbd{len(self.mapped)}")
        return Ended(0, f"{device}\n".encode())

    def _devices(self) -> Ended:
        found = []
        for n, (spec, device) in enumerate(self.mapped.items()):
            pool, _, name = spec.partition("/")
            one = {"id": str(n), "pool": pool, "namespace": "", "name": name, "snap": "-", "device": device}
            found.append(one)
        return _json(found)
