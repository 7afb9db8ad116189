"""From libvirt's definition of a machine to its records."""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

from msgspec.structs import replace

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model import params, rbd
from twisted_rapi.model.machine_xml import DiskFound, Found, NicFound, disk_of, mark, read, root_of
from twisted_rapi.model.param_tables import HV_DEFAULTS
from twisted_rapi.model.records import DetachedDiskRecord, DiskRecord, InstanceRecord, NicRecord, Params
from twisted_rapi.model.safe_xml import LONGEST, BadXml, write
from twisted_rapi.plan import devices
from twisted_rapi.plan.condition import usable
from twisted_rapi.plan.detached import free
from twisted_rapi.plan.disks import LOCAL, MAX_DISKS
from twisted_rapi.plan.leftover import doomed
from twisted_rapi.plan.naming import host_name
from twisted_rapi.plan.pvc.machine import uuid_of
from twisted_rapi.plan.view import View

MALFORMED = "XML is malformed or incorrect: "
_KINDS = ("rbd", "sharedfile", "file", "blockdev")
"""Templates that a definition's disks can be of; all of an instance are of one, the first that there is."""


def understood(text: str) -> tuple[ET.Element, Found]:
    """
    A definition, and what it says.

    :raises OpPrereqError: ``wrong_input``, with line and reason where it cannot be read.
    """
    try:
        root = root_of(text)
        found = read(root)
    except BadXml as e:
        raise prereq(f"{MALFORMED}{e}") from e
    if host_name(found.name) != found.name:
        raise prereq(f"{MALFORMED}{found.name!r} is no name of a machine: {host_name(found.name)!r} would be")
    if (uuid_of(found.name) or found.uuid) != found.uuid:
        raise prereq(f"{MALFORMED}the name {found.name!r} is another machine's UUID")
    return root, found


def drafted(view: View, root: ET.Element, found: Found, old: InstanceRecord) -> tuple[InstanceRecord, str]:
    """
    The record of the machine as its definition says, and the definition to be kept.

    What it says of no more than before stays as it was: disks, and NICs with the same address.

    :param old: the machine as it was; a new one has its uuid, name and node only.
    :raises OpPrereqError: it cannot be as the definition says.
    """
    template, disks = _disks(view, root, found, old)
    nics = _nics(view, root, found.nics, old)
    filled = params.cluster_hvparams(view.cluster, old.hypervisor)
    hvparams = {**old.hvparams, **_decided(found, old.hypervisor)}
    wanted = {name: value for name, value in hvparams.items() if filled[name] != value}
    backend = {"maxmem": found.memory, "minmem": found.memory, "vcpus": found.vcpus}
    record = replace(
        old,
        disk_template=template,
        disks=disks,
        nics=nics,
        hvparams=params.check_hv(old.hypervisor, wanted),
        beparams={**old.beparams, **params.check_be(backend)},
    )
    try:
        xml = write(root)
    except BadXml as e:
        raise prereq(f"{MALFORMED}{e}") from e
    if len(xml) > LONGEST:  # quotes and the like take more room than before
        raise prereq(f"{MALFORMED}in its canonical form it is longer than {LONGEST} characters")
    return record, xml


def _decided(found: Found, hypervisor: str) -> Params:
    names = HV_DEFAULTS[hypervisor]
    return {name: value for name, value in found.hvparams.items() if name in names}


# Disks.


def _template(view: View, found: DiskFound) -> str:
    """The template of a disk that can be the instance's; "" of one that is only in the definition."""
    if found.device not in ("disk", "lun"):
        return ""
    match found.kind:
        case "rbd":
            return "rbd"
        case "block":
            return "blockdev"
        case "file":
            path = found.place
            for template, folder in (
                ("file", view.cluster.file_storage_dir),
                ("sharedfile", view.cluster.shared_file_storage_dir),
            ):
                if path == posixpath.normpath(path) and path.startswith(f"{folder}/"):
                    return template
    return ""


def _address(template: str, place: str) -> tuple[Any, ...]:
    """
    How a record says where a disk is.

    :raises OpPrereqError: a part of it is no name.
    """
    if template == "rbd":
        parts = tuple(place.split("/"))
        if len(parts) != 2 or not all(rbd.NAME.fullmatch(part) for part in parts):
            raise prereq(f"{MALFORMED}{place[:200]!r} names no image of a pool")
        return parts
    if template == "blockdev":
        if not place.startswith("/dev/") or place != posixpath.normpath(place):
            raise prereq(f"{MALFORMED}{place[:200]!r} is no block device")
        return ("manual", place)
    return ("loop", place)


def _disks(
    view: View, root: ET.Element, found: Found, old: InstanceRecord
) -> tuple[str, tuple[DiskRecord, ...]]:
    """The template of the instance's disks, and the disks; the definition's elements of them are marked."""
    nodes = root.findall("devices/disk")
    kept = [_kept(view, each, old) for each in found.disks]
    kinds = [
        _template(view, f) if k is None else old.disk_template for f, k in zip(found.disks, kept, strict=True)
    ]
    template = _common(kinds, old)
    disks: list[DiskRecord] = []
    for node, each, known, kind in zip(nodes, found.disks, kept, kinds, strict=True):
        if kind and kind == template:
            disk = known or _disk(view, template, each, old)
            disks.append(replace(disk, mode="ro" if each.readonly else "rw"))
            _remark(node, disk.uuid)
    places = [disk.logical_id for disk in disks]
    if len({disk.uuid for disk in disks}) < len(disks) or any(places.count(p) > 1 for p in places):
        raise prereq(f"{MALFORMED}a disk is there twice")
    if len(disks) > MAX_DISKS:
        raise prereq(f"A machine has at most {MAX_DISKS} disks", "wrong_input")
    _check_template(view, template)
    return template, tuple(disks)


def _kept(view: View, found: DiskFound, old: InstanceRecord) -> DiskRecord | None:
    """
    The instance's disk that is marked in the definition.

    One that is said to be elsewhere is another, though it was given the same number; where nodes have disks
    in their own ways the number alone counts.
    """
    disk = next((disk for disk in old.disks if found.uuid and disk.uuid.startswith(found.uuid)), None)
    if disk is None or _template(view, found) != disk.dev_type:
        return disk
    parts = disk.logical_id if disk.dev_type == "rbd" else disk.logical_id[-1:]
    return disk if found.place == "/".join(map(str, parts)) else None


def _common(kinds: Iterable[str], old: InstanceRecord) -> str:
    there = set(kinds)
    if old.disk_template in there:
        return old.disk_template
    return next((kind for kind in _KINDS if kind in there), "diskless")


def _check_template(view: View, template: str) -> None:
    enabled = view.cluster.enabled_disk_templates
    if template not in ("diskless", *enabled):
        raise prereq(
            f"Disk template '{template}' is not enabled in cluster. "
            f"Enabled disk templates are: {','.join(enabled)}"
        )


def _disk(view: View, template: str, found: DiskFound, old: InstanceRecord) -> DiskRecord:
    address = _address(template, found.place)
    known = next((d for d in old.disks if (d.dev_type, tuple(d.logical_id)) == (template, address)), None)
    if known is not None:
        return known
    _check_free(view, template, address, old)
    loose = next((r for r in view.detached.values() if _is_at(r, template, address, old)), None)
    if loose is not None:
        return free(loose).disk
    return DiskRecord(
        uuid=view.new_uuid(),
        size=0,
        dev_type=template,
        logical_id=address,
        params={"access": "userspace"} if template == "rbd" else {},
        ctime=view.now,
        mtime=view.now,
    )


def _check_free(view: View, template: str, address: tuple[Any, ...], old: InstanceRecord) -> None:
    """
    Two machines with one disk would destroy what is on it.

    :raises OpPrereqError: ``already_exists``.
    """
    local = template == "file"  # which is another file on each node
    for other in view.instances.values():
        if other.uuid == old.uuid or (local and other.primary_node != old.primary_node):
            continue
        if any((disk.dev_type, tuple(disk.logical_id)) == (template, address) for disk in other.disks):
            raise prereq(
                f"Disk {'/'.join(address[-2:] if template == 'rbd' else address[1:])} is one of "
                f"'{other.name}'",
                "already_exists",
            )
    if doomed(view.leftovers.values(), (template, *address), old.primary_node):
        raise prereq(
            f"Disk {address[-1]} is about to be removed, as soon as a node answers again", "wrong_state"
        )


def _is_at(
    record: DetachedDiskRecord, template: str, address: tuple[Any, ...], instance: InstanceRecord
) -> bool:
    """Whether it is a detached disk that is meant."""
    disk, here = record.disk, template not in LOCAL or instance.primary_node in record.nodes
    return here and (disk.dev_type, tuple(disk.logical_id)) == (template, address)


def taken(view: View, record: InstanceRecord) -> tuple[DetachedDiskRecord, ...]:
    """The detached disks that are the instance's now."""
    return tuple(view.detached[disk.uuid] for disk in record.disks if disk.uuid in view.detached)


def _remark(node: ET.Element, uuid: str) -> None:
    """The definition's disk is this one, whatever a copied definition says of another machine's."""
    serial = node.find("serial")
    if serial is not None and disk_of(node).uuid and not uuid.startswith(disk_of(node).uuid):
        node.remove(serial)
    for alias in node.findall("alias"):
        if disk_of(node).uuid and not uuid.startswith(disk_of(node).uuid):
            node.remove(alias)
    mark(node, uuid)


# NICs.


def _nics(
    view: View, root: ET.Element, found: Iterable[NicFound], old: InstanceRecord
) -> tuple[NicRecord, ...]:
    had = {nic.mac: nic for nic in old.nics}
    nics: list[NicRecord] = []
    for node, each in zip(root.findall("devices/interface"), found, strict=True):
        known = had.get(each.mac)
        nic = _nic(view, each, [nic.mac for nic in nics], known)
        nics.append(nic)
        mac = node.find("mac")
        (ET.SubElement(node, "mac") if mac is None else mac).set("address", nic.mac)
    if len(nics) > devices.MAX_NICS:
        raise prereq(f"A machine has at most {devices.MAX_NICS} NICs")
    return tuple(nics)


def _nic(view: View, found: NicFound, taken: list[str], known: NicRecord | None) -> NicRecord:
    if known is not None and _is_attached(view, known, found):
        return known
    given: dict[Any, str | None] = {
        "mode": found.mode,
        "link": found.link or None,
        "vlan": found.vlan or None,
    }
    if known is not None:
        return replace(known, network=None, ip=None, params=devices.nic_values(view, known, given).params)
    return devices.new_nic(view, {**given, "mac": found.mac or "auto"}, taken)


def _is_attached(view: View, known: NicRecord, found: NicFound) -> bool:
    filled = params.nicparams(view.cluster, known)
    if filled["mode"] in ("routed", "ext") and found.mode == "ext":
        return True
    return (filled["mode"], filled["link"]) == (found.mode, found.link)


# Where it is to be.


def chosen(
    view: View, limit: Iterable[str], draft: InstanceRecord, order: Callable[[str], Any]
) -> Iterator[str]:
    """
    The uuids of the nodes that can have a machine and are ready, best first.

    :param limit: names of the only ones; none: all.
    :param order: of a node's uuid, less is better.
    """
    names = set(limit)
    good = []
    for node in view.nodes.values():
        if node.uuid in view.domain_states or (names and node.name not in names):
            continue
        try:
            check_node(view, node.uuid, draft)
        except OpPrereqError:
            continue
        good.append(node)
    yield from (node.uuid for node in sorted(good, key=lambda n: (order(n.uuid), n.name)))


def check_node(view: View, uuid: str, draft: InstanceRecord) -> None:
    """
    Whether a node that answers can have a machine.

    :raises OpPrereqError: it cannot, or does not answer.
    """
    report = usable(view, draft, view.nodes[uuid], "primary")
    memory = draft.beparams["maxmem"]
    if memory > report.memory_total:
        raise prereq(
            f"Node '{view.nodes[uuid].name}' has {report.memory_total} MiB of memory, the machine needs "
            f"{memory}",
            "insufficient_resources",
        )
