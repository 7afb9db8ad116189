"""
New disks: from what a client gives to records, for every disk template.

Addresses are laid out as in the field: a uuid, here the disk's own, with the template and the index.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.records import DiskRecord
from twisted_rapi.plan.devices import device_name, disk_mode
from twisted_rapi.plan.view import View

MAX_DISKS = 16
META_SIZE = 128  # MiB of a drbd disk's metadata, constants.json limits
FIRST_PORT, LAST_PORT = 11000, 14999  # constants.json cluster_defaults

FILE_TEMPLATES = ("file", "sharedfile")
LVM_TEMPLATES = ("plain", "drbd")
MIRRORED = ("drbd",)
ADOPTING = ("plain", "blockdev")
GROWABLE = ("drbd", "ext", "file", "gluster", "plain", "rbd", "sharedfile")  # constants.json disk_templates
LOCAL = ("file", *LVM_TEMPLATES)
"""Templates whose disks take space of the node."""
TEMPLATES = ("diskless", *FILE_TEMPLATES, *LVM_TEMPLATES, "rbd", "ext", "blockdev", "gluster")
"""The templates this release can keep."""

_PATH = re.compile(r"[\w.+-]+(/[\w.+-]+)*", re.ASCII)
_NAME = re.compile(r"[\w.+-]{1,128}", re.ASCII)
_DEVICE = re.compile(r"/dev(/[\w.+:@-]+)+", re.ASCII)

_COMMON = frozenset({"size", "mode", "name", "adopt", "spindles", "dev_type"})
_OWN: Mapping[str, frozenset[str]] = {
    "plain": frozenset({"vg"}),
    "drbd": frozenset({"vg", "metavg"}),
    "rbd": frozenset({"access"}),
    "gluster": frozenset({"access"}),
}
_FOREIGN = frozenset({"vg", "metavg", "access"})
"""What a disk of another template may have; it means nothing then, as in the field."""


@attrs.frozen(kw_only=True)
class Layout:
    """
    How disks of an instance are to be kept.

    :ivar instance: the instance's name.
    :ivar folder: of files; `driver`: of files.
    """

    instance: str
    template: str
    folder: str = ""
    driver: str = "loop"


def file_folder(view: View, template: str, folder: str | None) -> str:
    """
    Where files of this template are kept; empty for others.

    :param folder: a relative folder below it.
    :raises OpPrereqError: ``wrong_input``: it does not stay below.
    """
    if template not in FILE_TEMPLATES:
        return ""
    cluster = view.cluster
    base = cluster.file_storage_dir if template == "file" else cluster.shared_file_storage_dir
    if folder is None:
        return base
    if not _PATH.fullmatch(folder) or ".." in folder.split("/"):
        raise prereq(f"File storage directory path not relative or not below its base: {folder!r}")
    return f"{base}/{folder}"


# One disk.


def size_of(given: Mapping[str, Any]) -> int:
    """
    The size a client gives.

    :raises OpPrereqError: ``wrong_input``.
    """
    if "size" not in given:
        raise prereq("Missing disk size")
    try:
        size = params.mebibytes(given["size"])
    except ValueError as e:
        raise prereq(f"Invalid disk size: {e}") from e
    if size < 1:
        raise prereq("Invalid disk size: a disk has at least 1 MiB")
    return size


def spindles_of(given: Mapping[str, Any]) -> int | None:
    """
    The spindles a client gives.

    :raises OpPrereqError: ``wrong_input``.
    """
    value = given.get("spindles")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1000:
        raise prereq(f"Invalid number of spindles {value!r}")
    return value


def _word(given: Mapping[str, Any], key: str, usual: str) -> str:
    value = given.get(key, usual)
    if not isinstance(value, str) or not _NAME.fullmatch(value) or value in (".", ".."):
        raise prereq(f"Invalid disk parameter '{key}': {value!r}")
    return value


def _access(given: Mapping[str, Any]) -> dict[str, Any]:
    if "access" not in given:
        return {}
    if given["access"] not in ("kernelspace", "userspace"):
        raise prereq(f"Invalid disk access mode '{given['access']}' (expected: kernelspace, userspace)")
    return {"access": given["access"]}


def check_keys(template: str, given: Mapping[str, Any]) -> None:
    """
    Whether a disk of this template may be described so.

    :raises OpPrereqError: ``wrong_input``.
    """
    if template == "ext":
        if not given.get("provider"):
            raise prereq("Disks of the template 'ext' need the parameter 'provider'")
        return
    if "provider" in given:
        raise prereq(f"The 'provider' option is only valid for the ext disk template, not {template}")
    unknown = set(given) - _COMMON - _OWN.get(template, frozenset()) - _FOREIGN
    if unknown:
        raise prereq(f"Unknown disk parameter '{min(unknown)}'")


def group_name(view: View, given: Mapping[str, Any], key: str = "vg", usual: str | None = None) -> str:
    """
    The volume group a disk is to be in.

    :raises OpPrereqError: ``wrong_state``: the cluster has none; ``wrong_input``: it cannot be one.
    """
    cluster = view.cluster.volume_group_name
    if not cluster:
        raise prereq("Cluster does not support lvm-based instances", "wrong_state")
    return _word(given, key, cluster if usual is None else usual)


def new_disk(view: View, layout: Layout, index: int, given: Mapping[str, Any]) -> DiskRecord:
    """
    A disk as a client describes it.

    What depends on its nodes is still open: see `placed`.  The size of an adopted one may be given later.

    :raises OpPrereqError: ``wrong_input``, ``wrong_state``.
    """
    template = layout.template
    check_keys(template, given)
    adopted = "adopt" in given
    if adopted != (template == "blockdev") and template not in ("plain",):
        raise prereq(
            f"Disk adoption is not supported for the '{template}' disk template"
            if adopted
            else f"Disk template {template} requires disk adoption, but no 'adopt' parameter given"
        )
    disk = DiskRecord(
        uuid=view.new_uuid(),
        size=1 if adopted and "size" not in given else size_of(given),
        name=device_name(given.get("name")),
        mode=disk_mode(given.get("mode", "rw")),
        dev_type=template,
        spindles=spindles_of(given),
        ctime=view.now,
        mtime=view.now,
    )
    return addressed(view, layout, index, disk, given)


def addressed(
    view: View, layout: Layout, index: int, disk: DiskRecord, given: Mapping[str, Any], name: str = ""
) -> DiskRecord:
    """
    The disk with a new address of the layout's template, and what goes with it.

    :param name: a uuid to call it by, in place of the disk's own.
    :raises OpPrereqError: ``wrong_input``, ``wrong_state``.
    """
    name, template = name or disk.uuid, layout.template
    disk = replace(disk, dev_type=template, children=(), params=_access(given) if template != "ext" else {})
    match template:
        case "plain":
            return replace(disk, logical_id=(group_name(view, given), f"{name}.disk{index}"))
        case "drbd":
            group, meta = group_name(view, given), given.get("metavg", "")
            group_name(view, {"metavg": meta} if meta else {}, "metavg")
            data = _child(view, disk, disk.size, (group, f"{name}.disk{index}_data"))
            return replace(
                disk,
                logical_id=(),
                children=(data, _child(view, disk, META_SIZE, (meta, f"{name}.disk{index}_meta"))),
            )
        case "rbd":
            return replace(disk, logical_id=("", f"{name}.rbd.disk{index}"))
        case "ext":
            more = {k: v for k, v in given.items() if k not in _COMMON and k != "provider"}
            provider = _word(given, "provider", "")
            return replace(disk, logical_id=(provider, f"{name}.ext.disk{index}"), params=more)
        case "blockdev":
            return replace(disk, logical_id=("manual", device(given)))
        case "gluster":
            return replace(disk, logical_id=("loop", f"ganeti/{name}.{index}"))
    path = f"{layout.folder}/{layout.instance}/{name}.{template}.disk{index}"
    return replace(disk, logical_id=(layout.driver, path))


def device(given: Mapping[str, Any]) -> str:
    """
    The block device a client gives for adoption.

    :raises OpPrereqError: ``wrong_input``: it is none.
    """
    path = given.get("adopt")
    if not isinstance(path, str) or not _DEVICE.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise prereq(f"Device node(s) {path!r} lie outside /dev and cannot be adopted")
    return path


def adopted_volume(view: View, given: Mapping[str, Any]) -> tuple[str, str]:
    """
    The address a volume has that is to be adopted.

    :raises OpPrereqError: ``wrong_input``.
    """
    if "adopt" in given and given.get("adopt") != "":
        return group_name(view, given), _word(given, "adopt", "")
    raise prereq("Invalid volume name given for adoption")


def _child(view: View, disk: DiskRecord, size: int, logical_id: tuple[str, str]) -> DiskRecord:
    return DiskRecord(
        uuid=view.new_uuid(),
        size=size,
        dev_type="plain",
        logical_id=logical_id,
        ctime=disk.ctime,
        mtime=disk.mtime,
    )


# What depends on nodes.


def nodes_of(disk: DiskRecord) -> tuple[str, ...]:
    """The uuids of the two nodes of a mirrored disk; none for others."""
    return tuple(disk.logical_id[:2]) if disk.dev_type in MIRRORED else ()


def all_of(view: View) -> Iterator[DiskRecord]:
    """Every disk there is, detached ones included."""
    for instance in view.instances.values():
        yield from instance.disks
    yield from (record.disk for record in view.detached.values())


def minors(disks: Iterable[DiskRecord], node: str) -> set[int]:
    """The minors of drbd disks on a node."""
    return {disk.logical_id[3 + nodes_of(disk).index(node)] for disk in disks if node in nodes_of(disk)}


def free_port(view: View, taken: Iterable[int] = ()) -> int:
    """
    A TCP port that no console and no mirrored disk has.

    :raises OpPrereqError: ``insufficient_resources``.
    """
    used = {*taken, *(instance.network_port or 0 for instance in view.instances.values())}
    used |= {disk.logical_id[2] for disk in all_of(view) if nodes_of(disk)}
    used_here = sorted(port for port in used if FIRST_PORT <= port <= LAST_PORT)
    free = LAST_PORT - FIRST_PORT + 1 - len(used_here)
    if not free:
        raise prereq("No network port is free", "insufficient_resources")
    # Not the lowest: instances that are made at the same time would all want that one.
    port = FIRST_PORT + view.chance.randrange(free)
    for taken_port in used_here:
        port += taken_port <= port
    return port


def _free_minor(view: View, node: str, taken: Sequence[DiskRecord]) -> int:
    used = minors((*all_of(view), *taken), node)
    return next(n for n in range(len(used) + 1) if n not in used)


def placed(
    view: View, disks: Iterable[DiskRecord], nodes: Sequence[str], taken_port: int | None = None
) -> tuple[DiskRecord, ...]:
    """
    New disks with what their nodes say: ports, minors and secrets, pools and volume groups by default.

    :param nodes: uuids, primary first.
    :param taken_port: one that is not in the records yet.
    """
    found: list[DiskRecord] = []
    for new in disks:
        disk = new
        filled = params.disk_parameters(view.cluster, view.groups[view.nodes[nodes[0]].group], new)
        if disk.dev_type == "rbd" and not disk.logical_id[0]:
            disk = replace(disk, logical_id=(filled["pool"], disk.logical_id[1]))
        if disk.dev_type in MIRRORED and not disk.logical_id:
            disk = _connected(view, disk, nodes, found, filled["metavg"], taken_port)
        found.append(disk)
    return tuple(found)


def _connected(
    view: View,
    disk: DiskRecord,
    nodes: Sequence[str],
    others: Sequence[DiskRecord],
    meta_group: str,
    taken_port: int | None,
) -> DiskRecord:
    data, meta = disk.children
    if not meta.logical_id[0]:
        meta = replace(meta, logical_id=(meta_group, meta.logical_id[1]))
    ports = [d.logical_id[2] for d in others if nodes_of(d)]
    port = free_port(view, ports if taken_port is None else [taken_port, *ports])
    at = tuple(_free_minor(view, node, others) for node in nodes)
    return replace(disk, logical_id=(*nodes, port, *at, _new_secret(view)), children=(data, meta))


def _new_secret(view: View) -> str:
    return view.chance.getrandbits(160).to_bytes(20, "big").hex()


def reconnected(
    view: View, disk: DiskRecord, primary: str, secondary: str, others: Sequence[DiskRecord] = ()
) -> DiskRecord:
    """
    A mirrored disk between these nodes; a side that stays keeps its minor, and the port stays.

    The secret is another one and the serial number grows: by them nodes know what is meant for the disk as
    it was.

    :param others: disks that are reconnected with it.
    """
    old = nodes_of(disk)
    at = [
        disk.logical_id[3 + old.index(node)] if node in old else _free_minor(view, node, others)
        for node in (primary, secondary)
    ]
    address = (primary, secondary, disk.logical_id[2], *at, _new_secret(view))
    return replace(disk, logical_id=address, serial_no=disk.serial_no + 1, mtime=view.now)


# Space.


def demand(disks: Iterable[DiskRecord]) -> dict[str, int]:
    """MiB that disks take of each volume group, and under ``""`` of the node's file system."""
    needed: dict[str, int] = {}
    for disk in disks:
        if disk.dev_type in FILE_TEMPLATES:
            needed[""] = needed.get("", 0) + disk.size
        for volume in disk.children or ((disk,) if disk.dev_type == "plain" else ()):
            group = volume.logical_id[0]
            needed[group] = needed.get(group, 0) + volume.size
    return needed


def usage(template: str, disks: Iterable[DiskRecord]) -> int:
    """MiB an instance's disks take on a node, as ``disk_usage`` tells it."""
    extra = {"drbd": META_SIZE, "plain": 0, "file": 0, "sharedfile": 0, "gluster": 0}
    if template not in extra:
        return 0
    return sum(disk.size + extra[template] for disk in disks)
