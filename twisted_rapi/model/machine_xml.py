"""
What libvirt's definition of a machine says in terms of the common model; pure.

What is read here is what both APIs know and change: the rest of a definition is kept as it was written.
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

from msgspec import Struct

from twisted_rapi.model.address_pool import is_address
from twisted_rapi.model.param_tables import HV_DEFAULTS, HV_GLOBAL
from twisted_rapi.model.safe_xml import NAMESPACE, BadXml, parse

BOOT = {"disk": "hd", "cdrom": "cdrom", "network": "network", "floppy": "fd"}
"""What a machine boots from, and what libvirt calls it."""

_UNDECIDED = HV_GLOBAL | {
    *("disk_aio", "disk_cache", "disk_discard", "disk_type", "kvm_pci_reservations", "migration_caps"),
    *(
        "migration_downtime",
        "nic_type",
        "scsi_controller_type",
        "serial_speed",
        "use_chroot",
        "user_shutdown",
    ),
    *("vhost_net", "virtio_net_queues", "vnet_hdr"),
}

NEUTRAL: Mapping[str, Any] = {
    **{name: value for name, value in HV_DEFAULTS["kvm"].items() if name not in _UNDECIDED},
    **dict.fromkeys(("kernel_path", "initrd_path", "kernel_args", "root_path"), ""),
}
"""
The hypervisor parameters that a definition decides, with what they are where it says nothing of them.

The others say how something is done, or are about devices that are added.
"""

TYPES = ("kvm", "qemu")
_BYTES = {
    **dict.fromkeys(("b", "bytes"), 1),
    "KB": 1000,
    **dict.fromkeys(("k", "KiB"), 1024),
    "MB": 1000**2,
    **dict.fromkeys(("M", "MiB"), 1024**2),
    "GB": 1000**3,
    **dict.fromkeys(("G", "GiB"), 1024**3),
    "TB": 1000**4,
    **dict.fromkeys(("T", "TiB"), 1024**4),
}
_MIB = 1024**2
_MOST_MEMORY = 2**40  # MiB
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_CONSOLE = re.compile(r"(?P<rest>.*?) ?console=ttyS0(,(?P<speed>[0-9]{1,9}))?", re.DOTALL)
_PLACES = ("sockets", "cores", "threads")
MOST_CPUS = 4096
_ALIAS = "ua-"
_DISK = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]", re.ASCII)


class DiskFound(Struct, frozen=True, kw_only=True):
    """
    A disk of a definition.

    :ivar kind: ``rbd``, ``file``, ``block``, or empty: another.
    :ivar place: ``pool/image`` or a path.
    :ivar device: ``disk``, ``cdrom``, ``floppy`` or ``lun``.
    :ivar uuid: the beginning of that of the instance's disk it is; empty: it is none's (see `mark`).
    """

    kind: str
    place: str
    device: str
    target: str
    bus: str
    uuid: str
    readonly: bool


class NicFound(Struct, frozen=True, kw_only=True):
    """
    A NIC of a definition; `mode` and `link` as RAPI has them.

    :ivar mac: in lower case; empty: libvirt is to choose one.
    """

    mac: str
    mode: str
    link: str
    vlan: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """
    A definition.

    :ivar memory: MiB; `vcpus`: those that are switched on.
    :ivar hvparams: those of RAPI's hypervisor parameters that the definition decides.
    """

    name: str
    uuid: str
    memory: int
    vcpus: int
    hvparams: dict[str, Any]
    disks: tuple[DiskFound, ...]
    nics: tuple[NicFound, ...]


def root_of(text: str) -> ET.Element:
    """
    The definition as a tree, without what was noted in it by us.

    :raises BadXml: it is no definition of a machine.
    """
    root = parse(text)
    if root.tag != "domain":
        raise BadXml(f"the document is of <{root.tag}>, not of <domain>, line 1, column 1")
    without_notes(root)
    return root


def without_notes(root: ET.Element) -> None:
    """Take our own notes away."""
    for metadata in root.findall("metadata"):
        for note in metadata.findall(f"{{{NAMESPACE}}}instance"):
            metadata.remove(note)
        if not len(metadata):
            root.remove(metadata)


def read(root: ET.Element) -> Found:
    """
    What a definition says.

    :raises BadXml: something of it is missing, or cannot be meant.
    """
    kind = root.get("type", "")
    if kind not in TYPES:
        raise BadXml(f"domains of type {kind!r} are not run here: {' or '.join(TYPES)} is needed")
    if len(root.findall("devices")) > 1 or len(root.findall("os")) > 1:
        raise BadXml("<devices> and <os> may be there once only")
    vcpus, _ = _processors(root)
    return Found(
        name=_name(root),
        uuid=_uuid(root),
        memory=memory_of(root.find("memory")),
        vcpus=vcpus,
        hvparams=_hvparams(root, vcpus),
        disks=tuple(disk_of(node) for node in root.findall("devices/disk")),
        nics=_nics(root),
    )


def _name(root: ET.Element) -> str:
    name = (root.findtext("name") or "").strip()
    if not name:
        raise BadXml("<name> is missing")
    return name


def _uuid(root: ET.Element) -> str:
    """In its usual form; libvirt's other forms are read as well."""
    text = (root.findtext("uuid") or "").strip()
    if not text:
        raise BadXml("<uuid> is missing")
    try:
        return str(UUID(text))
    except ValueError as e:
        raise BadXml(f"<uuid> {text[:80]!r} is no UUID") from e


def memory_of(node: ET.Element | None) -> int:
    """
    A size in MiB; what is a part of one counts as one.

    :raises BadXml: it is missing, or none.
    """
    if node is None:
        raise BadXml("<memory> is missing")
    text, unit = (node.text or "").strip(), node.get("unit", "KiB")
    if not _NUMBER.fullmatch(text) or unit not in _BYTES:
        raise BadXml(f"<{node.tag}> {text[:40]!r} {unit[:40]!r} is no size")
    size = -(-int(text) * _BYTES[unit] // _MIB)
    if not 0 < size <= _MOST_MEMORY:
        raise BadXml(f"<{node.tag}> of {size} MiB is none that a machine can have")
    return size


def _processors(root: ET.Element) -> tuple[int, int]:
    """How many are switched on, and how many there are at most."""
    node = root.find("vcpu")
    texts = ("1", "1") if node is None else ((node.text or "").strip(), node.get("current", ""))
    most, current = texts[0] or "1", texts[1] or texts[0] or "1"
    for text in (most, current):
        if not _NUMBER.fullmatch(text) or not 0 < int(text) <= MOST_CPUS:
            raise BadXml(f"<vcpu> {text[:40]!r} is no number of processors")
    if int(current) > int(most):
        raise BadXml(f"<vcpu> has {current} of {most} processors")
    return int(current), int(most)


def _hvparams(root: ET.Element, vcpus: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kvm_flag": "disabled" if root.get("type") == "qemu" else "",
        "machine_version": _value(root.find("os/type"), "machine"),
        "acpi": root.find("features/acpi") is not None,
        "use_localtime": _value(root.find("clock"), "offset") == "localtime",
        "reboot_behavior": "exit" if root.findtext("on_reboot") == "destroy" else "reboot",
        "serial_console": any(root.find(f"devices/{tag}") is not None for tag in ("serial", "console")),
        **_topology(root, vcpus),
        **_boot(root),
        **_drives(root),
    }
    listen = _listen(root)
    return {**NEUTRAL, **values, **({"vnc_bind_address": listen} if listen else {})}


def _drives(root: ET.Element) -> dict[str, str]:
    """What is in the CD-ROM drives that the common model gave the machine."""
    found = {}
    for node in root.findall("devices/disk[@device='cdrom']"):
        alias, source = _value(node.find("alias"), "name"), node.find("source")
        if alias in ("ua-cdrom", "ua-cdrom2"):
            path = _value(source, "file") or _value(source, "dev")
            found[f"{alias.removeprefix(_ALIAS)}_image_path"] = path
    return found


def _listen(root: ET.Element) -> str:
    """Where VNC is, if it is at an address."""
    node = root.find("devices/graphics[@type='vnc']")
    if node is None:
        return ""
    text = node.get("listen") or _value(node.find("listen[@type='address']"), "address")
    return text if is_address(text) else ""


def _topology(root: ET.Element, vcpus: int) -> dict[str, int]:
    """How processors are placed, where that is for as many as there are."""
    node = root.find("cpu/topology")
    texts = [_value(node, name) or ("1" if node is not None else "0") for name in _PLACES]
    if not all(_NUMBER.fullmatch(text) and int(text) <= MOST_CPUS for text in texts):
        raise BadXml("<topology> has sockets, cores and threads that are no numbers")
    sockets, cores, threads = map(int, texts)
    fits = sockets * cores * threads == _processors(root)[1] and vcpus
    return dict(
        zip((f"cpu_{n}" for n in _PLACES), (sockets, cores, threads) if fits else (0, 0, 0), strict=True)
    )


def _boot(root: ET.Element) -> dict[str, Any]:
    os_ = root.find("os")
    if os_ is None:
        raise BadXml("<os> is missing")
    if (os_.findtext("type") or "").strip() != "hvm":
        raise BadXml("<os> of another <type> than hvm is not run here")
    first = _value(os_.find("boot"), "dev")
    values: dict[str, Any] = {
        "boot_order": next((name for name, dev in BOOT.items() if dev == first), "disk"),
        "kernel_path": (os_.findtext("kernel") or "").strip(),
    }
    if values["kernel_path"]:
        values["initrd_path"] = (os_.findtext("initrd") or "").strip()
        values.update(_command_line((os_.findtext("cmdline") or "").strip()))
    return values


def _command_line(words: str) -> dict[str, Any]:
    """The kernel's words, without what is added for the serial console."""
    match = _CONSOLE.fullmatch(words)
    if match is None:
        return {"kernel_args": words}
    speed = int(match["speed"] or 0)
    return {"kernel_args": match["rest"], **({"serial_speed": speed} if speed else {})}


def disk_of(node: ET.Element) -> DiskFound:
    """What a definition says of a disk."""
    source, target = node.find("source"), node.find("target")
    kind, place = node.get("type", ""), ""
    if kind == "network" and _value(source, "protocol") == "rbd":
        kind, place = "rbd", _value(source, "name")
    elif kind == "file":
        place = _value(source, "file")
    elif kind == "block":
        place = _value(source, "dev")
    else:
        kind = ""
    return DiskFound(
        kind=kind if place else "",
        place=place,
        device=node.get("device", "disk"),
        target=_value(target, "dev"),
        bus=_value(target, "bus"),
        uuid=_mark_of(node),
        readonly=node.find("readonly") is not None,
    )


def _mark_of(node: ET.Element) -> str:
    alias, serial = _value(node.find("alias"), "name"), (node.findtext("serial") or "").strip()
    if alias.startswith(_ALIAS) and _DISK.fullmatch(alias.removeprefix(_ALIAS)):
        return alias.removeprefix(_ALIAS)
    return serial if _DISK.fullmatch(serial) else ""


def mark(node: ET.Element, uuid: str) -> None:
    """
    Have a disk of a definition be known as the instance's one.

    Guests see the beginning of its uuid as serial number; a disk that has another one, or cannot have any, is
    told by an alias.
    """
    if _mark_of(node):
        return
    if node.find("serial") is None and node.get("device", "disk") == "disk":
        ET.SubElement(node, "serial").text = uuid[:20]
        return
    for alias in node.findall("alias"):
        node.remove(alias)
    ET.SubElement(node, "alias", name=f"{_ALIAS}{uuid[:20]}")


def nic_of(node: ET.Element) -> NicFound:
    """
    What a definition says of a NIC; one that is in no bridge or switch is somebody else's to attach.

    :raises BadXml: its MAC address is none.
    """
    mac = _value(node.find("mac"), "address").strip().lower()
    if mac and (not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1):
        raise BadXml(f"<mac> {mac[:40]!r} is no address of a NIC")
    source = node.find("source")
    if node.get("type") != "bridge":
        return NicFound(mac=mac, mode="ext", link=_value(source, node.get("type", "")))
    link = _value(source, "bridge")
    if not link:
        raise BadXml("an <interface> of type bridge has no <source> that names it")
    switched = node.find("virtualport[@type='openvswitch']") is not None
    tags = [tag.get("id", "") for tag in node.findall("vlan/tag")]
    return NicFound(
        mac=mac,
        mode="openvswitch" if switched else "bridged",
        link=link,
        vlan=f".{tags[0]}" if switched and len(tags) == 1 else "",
    )


def _nics(root: ET.Element) -> tuple[NicFound, ...]:
    found = tuple(nic_of(node) for node in root.findall("devices/interface"))
    macs = [nic.mac for nic in found if nic.mac]
    twice = next((mac for mac in macs if macs.count(mac) > 1), None)
    if twice is not None:
        raise BadXml(f"two NICs have the <mac> {twice}")
    return found


def _value(node: ET.Element | None, name: str) -> str:
    return "" if node is None else node.get(name, "")
