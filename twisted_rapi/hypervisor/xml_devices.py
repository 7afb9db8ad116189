"""Disks and channels in domain XML; pure."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from twisted_rapi.hypervisor import xml_rbd
from twisted_rapi.hypervisor.xml_base import (
    Read,
    add_text,
    attribute,
    choice,
    failed,
    found_only,
    inverse,
)
from twisted_rapi.hypervisor.xml_nics import nic_element, nic_parameters
from twisted_rapi.model import rbd
from twisted_rapi.model.steps import DiskSpec, DomainSpec

# Per ``disk_type``: bus and device.
DISKS = {
    "paravirtual": ("virtio", "disk"),
    "ide": ("ide", "disk"),
    "scsi-hd": ("scsi", "disk"),
    "scsi": ("scsi", "disk"),
    "scsi-cd": ("scsi", "cdrom"),
    "scsi-block": ("scsi", "lun"),
    "scsi-generic": ("scsi", "lun"),
}
CDROM_BUS = {"": "sata", "ide": "ide", "scsi": "scsi", "scsi-cd": "scsi", "paravirtual": "sata"}
SCSI = {
    "lsi": "lsilogic",
    "megasas": "lsisas1078",
    "virtio-scsi-pci": "virtio-scsi",
    "dc390": "dc390",
}
LETTERS = {"virtio": "vd", "ide": "hd", "scsi": "sd", "sata": "sd"}
AGENT = "org.qemu.guest_agent.0"
INPUTS = ("tablet", "mouse", "keyboard")
_REMOTE = {"http": 80, "https": 443, "ftp": 21, "ftps": 990, "tftp": 69}
_USB_ID = re.compile(r"host:([0-9a-fA-F]{4}):([0-9a-fA-F]{4})")
_USB_PLACE = re.compile(r"host:([0-9]{1,3})\.([0-9]{1,3})")


class Names:
    """Names of disks as guests count them: ``vda``, ``vdb`` …, apart for each prefix."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def next(self, bus: str) -> str:
        """The next name on this bus."""
        prefix = LETTERS[bus]
        self._used[prefix] += 1
        return prefix + letters(self._used[prefix] - 1)


def letters(index: int) -> str:
    """``a`` … ``z``, ``aa`` …, as kernels count disks."""
    text = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def write_devices(
    devices: ET.Element,
    domain: DomainSpec,
    paths: Sequence[str],
    serial_dir: str,
    secrets: Mapping[str, str],
) -> None:
    """
    Disks, drives, NICs, the serial port and what is plugged in.

    :param secrets: see `disk_element`.
    :raises StepFailed: something cannot be expressed.
    """
    hv, names = domain.hvparams, Names()
    for disk, path in zip(domain.disks, paths, strict=True):
        devices.append(disk_element(disk, path, hv, names.next(_bus(hv)[0]), secrets))
    _drives(devices, hv, names)
    if hv.get("scsi_controller_type") and devices.find("disk/target[@bus='scsi']") is not None:
        model = choice(SCSI, "scsi_controller_type", hv["scsi_controller_type"])
        ET.SubElement(devices, "controller", type="scsi", index="0", model=model)
    for nic in domain.nics:
        devices.append(nic_element(nic, hv))
    if hv.get("serial_console", True):
        _serial(devices, f"{serial_dir}/{domain.name}.log" if serial_dir else "")
    if hv.get("use_guest_agent"):
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name=AGENT)
    if hv.get("usb_mouse"):
        ET.SubElement(devices, "input", type=hv["usb_mouse"], bus="usb")
    for text in re.split(r"[\s,]+", hv.get("usb_devices") or ""):
        if text:
            _usb(devices, text)


def _bus(hv: dict[str, Any]) -> tuple[str, str]:
    kind = hv.get("disk_type") or "paravirtual"
    if kind not in DISKS:
        raise failed(f"disk_type {kind!r} is not supported: no machine here has such a port for disks")
    return DISKS[kind]


def free_name(root: ET.Element, hv: dict[str, Any]) -> str:
    """A name for one more disk of a machine with this definition."""
    used = {attribute(target, "dev") for target in root.findall("devices/disk/target")}
    prefix = LETTERS[_bus(hv)[0]]
    return next(name for n in range(len(used) + 1) if (name := prefix + letters(n)) not in used)


def disk_element(
    disk: DiskSpec, path: str, hv: dict[str, Any], name: str, secrets: Mapping[str, str]
) -> ET.Element:
    """
    A disk of the instance; `name` is its target.

    :param path: of a device or a file, or a text of `twisted_rapi.model.rbd`.
    :param secrets: of users of Ceph; see `xml_rbd.write_source`.
    :raises StepFailed: it cannot be expressed.
    """
    bus, device = _bus(hv)
    block, image = path.startswith("/dev/"), rbd.image(path)
    if device == "lun" and not block:
        raise failed(f"disk_type {hv['disk_type']} needs a block device, {path} is none")
    kind = "network" if image is not None else "block" if block else "file"
    node = ET.Element("disk", type=kind, device=device)
    ET.SubElement(node, "driver", _disk_driver(hv, image is None))
    if image is not None:
        xml_rbd.write_source(node, image, secrets)
    else:
        ET.SubElement(node, "source", {"dev" if block else "file": path})
    ET.SubElement(node, "target", dev=name, bus=bus)
    if device != "lun":  # a disk that is passed through has a serial number of its own
        add_text(node, "serial", disk.uuid[:20])
    if disk.mode == "ro" or device == "cdrom":
        ET.SubElement(node, "readonly")
    return node


def _disk_driver(hv: dict[str, Any], local: bool) -> dict[str, str]:
    """How QEMU reads and writes it; the node's kernel has no part in what is not local."""
    driver = {"name": "qemu", "type": "raw"}
    if hv.get("disk_cache") not in (None, "", "default"):
        driver["cache"] = hv["disk_cache"]
    aio = hv.get("disk_aio") if local else None
    if aio == "native":
        driver["cache"] = "none"  # it needs direct access
    if aio in ("native", "io_uring"):
        driver["io"] = aio
    if hv.get("disk_discard") == "unmap":
        driver["discard"] = "unmap"
    return driver


def _drives(devices: ET.Element, hv: dict[str, Any], names: Names) -> None:
    """CD-ROMs, by file or URL, and the floppy."""
    bus = choice(CDROM_BUS, "cdrom_disk_type", hv.get("cdrom_disk_type") or "")
    for parameter in ("cdrom_image_path", "cdrom2_image_path"):
        if path := hv.get(parameter):
            node = _drive(devices, path, "cdrom")
            ET.SubElement(node, "target", dev=names.next(bus), bus=bus)
            ET.SubElement(node, "alias", name=f"ua-{parameter.partition('_')[0]}")
    if path := hv.get("floppy_image_path"):
        ET.SubElement(_drive(devices, path, "floppy"), "target", dev="fda", bus="fdc")


def _drive(devices: ET.Element, path: str, device: str) -> ET.Element:
    url = urlsplit(path)
    if url.scheme not in _REMOTE:
        kind = ("block", "dev") if path.startswith("/dev/") else ("file", "file")
        node = ET.SubElement(devices, "disk", type=kind[0], device=device)
        ET.SubElement(node, "source", {kind[1]: path})
    else:
        port = _port(path) or _REMOTE[url.scheme]
        if not url.hostname:
            raise failed(f"{path!r} names no host")
        node = ET.SubElement(devices, "disk", type="network", device=device)
        values = {"protocol": url.scheme, "name": url.path.removeprefix("/")}
        if url.query:
            values["query"] = url.query
        source = ET.SubElement(node, "source", values)
        ET.SubElement(source, "host", name=url.hostname, port=str(port))
    ET.SubElement(node, "driver", name="qemu", type="raw")
    ET.SubElement(node, "readonly")
    return node


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError as e:
        raise failed(f"{url!r}: {e}") from e


def _serial(devices: ET.Element, path: str) -> None:
    node = ET.SubElement(devices, "serial", type="file" if path else "pty")
    if path:
        ET.SubElement(node, "source", path=path, append="on")
    ET.SubElement(node, "target", port="0")


def _usb(devices: ET.Element, text: str) -> None:
    """``tablet``, ``mouse``, ``keyboard``, ``host:VENDOR:PRODUCT`` or ``host:BUS.ADDRESS``."""
    if text in INPUTS:
        ET.SubElement(devices, "input", type=text, bus="usb")
        return
    by_id, by_place = _USB_ID.fullmatch(text), _USB_PLACE.fullmatch(text)
    if by_id is None and by_place is None:
        raise failed(f"usb_devices: {text!r} is not supported")
    node = ET.SubElement(devices, "hostdev", mode="subsystem", type="usb")
    source = ET.SubElement(node, "source")
    if by_id is not None:
        ET.SubElement(source, "vendor", id=f"0x{by_id[1].lower()}")
        ET.SubElement(source, "product", id=f"0x{by_id[2].lower()}")
    elif by_place is not None:
        ET.SubElement(source, "address", bus=by_place[1], device=by_place[2])


# Reading.


def read_devices(root: ET.Element) -> Read:
    """The parameters the devices were made with."""
    devices = root.find("devices")
    if devices is None:
        return {}
    mice = [node.get("type", "") for node in devices.findall("input[@bus='usb']")]
    controller = devices.find("controller[@type='scsi']")
    values: Read = {
        "usb_mouse": mice[0] if mice else "",
        "usb_devices": ",".join([*mice[1:], *map(_read_usb, devices.findall("hostdev[@type='usb']"))]),
        "use_guest_agent": devices.find(f"channel/target[@name='{AGENT}']") is not None,
        "floppy_image_path": _read_path(devices.find("disk[@device='floppy']")),
        "scsi_controller_type": inverse(SCSI, attribute(controller, "model")),
        **_read_cdroms(devices),
        **_read_disks(devices),
        **nic_parameters(devices),
    }
    read = found_only(values)
    return read if devices.find("serial") is not None else {**read, "serial_console": False}


def own_disks(root: ET.Element) -> list[ET.Element]:
    """The disks of the instance, which have a serial number or are passed through."""
    return [
        n for n in root.findall("devices/disk") if n.find("serial") is not None or n.get("device") == "lun"
    ]


def _read_disks(devices: ET.Element) -> Read:
    first = next((n for n in devices.findall("disk") if n.find("serial") is not None), None)
    first = devices.find("disk[@device='lun']") if first is None else first
    if first is None:
        return {}
    target, driver = first.find("target"), first.find("driver")
    place = (attribute(target, "bus"), first.get("device", "disk"))
    kind = next((name for name, there in DISKS.items() if there == place), place[0])
    aio = attribute(driver, "io")
    return {
        "disk_type": "" if kind == "paravirtual" else kind,
        "disk_cache": "" if aio == "native" else attribute(driver, "cache"),
        "disk_aio": aio,
        "disk_discard": attribute(driver, "discard"),
    }


def _read_cdroms(devices: ET.Element) -> Read:
    values: Read = {}
    for name in ("cdrom", "cdrom2"):
        for node in devices.findall("disk[@device='cdrom']"):
            if attribute(node.find("alias"), "name") == f"ua-{name}":
                values[f"{name}_image_path"] = _read_path(node)
                values["cdrom_disk_type"] = inverse(CDROM_BUS, attribute(node.find("target"), "bus"))
    return values


def _read_path(node: ET.Element | None) -> str:
    source = None if node is None else node.find("source")
    if source is None:
        return ""
    if node is not None and source.get("protocol") == xml_rbd.PROTOCOL:
        return xml_rbd.read_source(node, source)
    if protocol := source.get("protocol"):
        host = source.find("host")
        port = attribute(host, "port")
        where = attribute(host, "name") + (f":{port}" if port != str(_REMOTE.get(protocol)) else "")
        query = source.get("query")
        return f"{protocol}://{where}/{source.get('name', '')}" + (f"?{query}" if query else "")
    return source.get("file") or source.get("dev") or ""


def _read_usb(node: ET.Element) -> str:
    address = node.find("source/address")
    if address is not None:
        return f"host:{address.get('bus')}.{address.get('device')}"
    vendor, product = (attribute(node.find(f"source/{n}"), "id") for n in ("vendor", "product"))
    return f"host:{vendor.removeprefix('0x')}:{product.removeprefix('0x')}"


def read_disk(node: ET.Element) -> tuple[str, str, str]:
    """Path, mode and serial number of a disk."""
    return _read_path(node), "rw" if node.find("readonly") is None else "ro", node.findtext("serial", "")
