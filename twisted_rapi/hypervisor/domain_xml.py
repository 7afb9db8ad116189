"""
A machine as libvirt's domain XML; pure.

What is read back (`from_xml`) is what a domain has that is ours to know: enough to tell which instance it is
and whether it is as it was wanted.  The keys of `UNSUPPORTED` have no equivalent here; they are ignored.
"""

from collections.abc import Sequence
from typing import Any, Literal
from xml.etree import ElementTree as ET

from msgspec import Struct

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec

DomainKind = Literal["kvm", "qemu"]
NAMESPACE = "https://twisted-rapi.invalid/xmlns/instance/1"

DISK_BUS = {"paravirtual": "virtio", "ide": "ide", "scsi": "scsi", "scsi-hd": "scsi", "sata": "sata"}
LETTERS = {"virtio": "vd", "ide": "hd", "scsi": "sd", "sata": "sd"}
NIC_MODEL = {"paravirtual": "virtio"}
VIDEO = {
    "std": "vga",
    "cirrus": "cirrus",
    "vmware": "vmvga",
    "qxl": "qxl",
    "virtio": "virtio",
    "none": "none",
}
BOOT = {"disk": "hd", "cdrom": "cdrom", "network": "network"}
UNSUPPORTED = frozenset(
    {
        "disk_discard", "floppy_image_path", "kvm_extra", "kvm_flag", "kvm_path", "kvm_pci_reservations",
        "machine_version", "mem_path", "migration_caps", "scsi_controller_type", "security_domain",
        "security_model", "serial_speed", "soundhw", "spice_bind", "spice_image_compression",
        "spice_ip_version", "spice_jpeg_wan_compression", "spice_password_file", "spice_playback_compression",
        "spice_streaming_video", "spice_tls_ciphers", "spice_use_tls", "spice_use_vdagent",
        "spice_zlib_glz_wan_compression", "usb_devices", "use_chroot", "use_guest_agent", "user_shutdown",
        "vhost_net", "virtio_net_queues", "vnc_password_file", "vnc_tls", "vnc_x509_path",
        "vnc_x509_verify", "vnet_hdr", "cdrom2_image_path", "cdrom_disk_type", "cpu_mask",
    }
)  # fmt: skip
"""Parameters of ``kvm`` (constants.json ``hypervisors``) that have no effect in this version."""

PROTECTING = ("vnc_password_file", "vnc_tls", "vnc_x509_verify")
"""Of these, the ones that are refused when set: ignoring them would open what was to be closed."""


class DomainRead(Struct, frozen=True, kw_only=True):
    """
    What a domain's XML says.

    :ivar disks: per disk its path, mode and serial.
    :ivar nics: per NIC its mac, mode and link.
    """

    name: str
    uuid: str
    memory: int
    maxmem: int
    vcpus: int
    kernel: str
    disks: tuple[tuple[str, str, str], ...]
    nics: tuple[tuple[str, str, str], ...]


def to_xml(domain: DomainSpec, paths: Sequence[str], kind: DomainKind, serial_dir: str = "") -> str:
    """
    The definition of a domain with its disks at `paths`.

    :param serial_dir: serial output goes to ``NAME.log`` there, else to a pty.
    :raises StepFailed: if it cannot be expressed.
    """
    if len(paths) != len(domain.disks):
        raise _failed(f"{domain.name} has {len(domain.disks)} disks, got paths of {len(paths)}")
    hv = domain.hvparams
    for parameter in PROTECTING:
        if hv.get(parameter):
            raise _failed(f"{parameter} is not supported, and without it the console would be open")
    root = ET.Element("domain", type=kind)
    _text(root, "name", domain.name)
    _text(root, "uuid", domain.instance_uuid)
    ET.SubElement(ET.SubElement(root, "metadata"), f"{{{NAMESPACE}}}instance", uuid=domain.instance_uuid)
    _text(root, "memory", str(int(domain.beparams.get("maxmem", domain.memory))), unit="MiB")
    _text(root, "currentMemory", str(domain.memory), unit="MiB")
    _text(root, "vcpu", str(domain.vcpus))
    _boot(root, hv)
    if hv.get("acpi", True):
        ET.SubElement(ET.SubElement(root, "features"), "acpi")
    _cpu(root, hv)
    ET.SubElement(root, "clock", offset="localtime" if hv.get("use_localtime") else "utc")
    _text(root, "on_poweroff", "destroy")
    _text(root, "on_reboot", "restart" if hv.get("reboot_behavior", "reboot") == "reboot" else "destroy")
    _text(root, "on_crash", "destroy")
    devices = ET.SubElement(root, "devices")
    for disk, path in zip(domain.disks, paths, strict=True):
        _disk(devices, disk, path, hv)
    if hv.get("cdrom_image_path"):
        _cdrom(devices, hv["cdrom_image_path"])
    for nic in domain.nics:
        _nic(devices, nic, hv)
    if hv.get("serial_console", True):
        _serial(devices, f"{serial_dir}/{domain.name}.log" if serial_dir else "")
    _display(devices, domain)
    try:
        return ET.tostring(root, encoding="unicode")
    except TypeError as e:
        raise _failed(f"a parameter of {domain.name} is not text: {e}") from e


def _failed(text: str) -> StepFailed:
    return StepFailed(text, "hypervisor")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def _choice(table: dict[str, str], parameter: str, value: str) -> str:
    if value not in table:
        raise _failed(f"{parameter} {value!r} is not supported")
    return table[value]


def _boot(root: ET.Element, hv: dict[str, Any]) -> None:
    os_ = ET.SubElement(root, "os")
    _text(os_, "type", "hvm", arch="x86_64")
    if not hv.get("kernel_path"):
        ET.SubElement(os_, "boot", dev=_choice(BOOT, "boot_order", hv.get("boot_order") or "disk"))
        return
    _text(os_, "kernel", hv["kernel_path"])
    if hv.get("initrd_path"):
        _text(os_, "initrd", hv["initrd_path"])
    words = [f"root={hv['root_path']}"] if hv.get("root_path") else []
    words += [hv["kernel_args"]] if hv.get("kernel_args") else []
    words += ["console=ttyS0"] if hv.get("serial_console", True) else []
    _text(os_, "cmdline", " ".join(words))


def _cpu(root: ET.Element, hv: dict[str, Any]) -> None:
    if model := hv.get("cpu_type"):
        if model == "host":
            ET.SubElement(root, "cpu", mode="host-passthrough")
        else:
            _text(ET.SubElement(root, "cpu", mode="custom", match="exact"), "model", model, fallback="allow")


def _letters(index: int) -> str:
    """``a`` … ``z``, ``aa`` …, as kernels count disks."""
    text = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def _disk(devices: ET.Element, disk: DiskSpec, path: str, hv: dict[str, Any]) -> None:
    bus = _choice(DISK_BUS, "disk_type", hv.get("disk_type") or "paravirtual")
    driver = {"name": "qemu", "type": "raw"}
    cache = hv.get("disk_cache") or "default"
    if cache != "default":
        driver["cache"] = cache
    if hv.get("disk_aio") == "native":
        driver.update(io="native", cache="none")  # native needs direct access
    block = path.startswith("/dev/")
    node = ET.SubElement(devices, "disk", type="block" if block else "file", device="disk")
    ET.SubElement(node, "driver", driver)
    ET.SubElement(node, "source", {"dev" if block else "file": path})
    ET.SubElement(node, "target", dev=f"{LETTERS[bus]}{_letters(disk.index)}", bus=bus)
    _text(node, "serial", disk.uuid[:20])
    if disk.mode == "ro":
        ET.SubElement(node, "readonly")


def _cdrom(devices: ET.Element, path: str) -> None:
    node = ET.SubElement(devices, "disk", type="file", device="cdrom")
    ET.SubElement(node, "driver", name="qemu", type="raw")
    ET.SubElement(node, "source", file=path)
    ET.SubElement(node, "target", dev="sdz", bus="sata")
    ET.SubElement(node, "readonly")


def _nic(devices: ET.Element, nic: NicSpec, hv: dict[str, Any]) -> None:
    model = hv.get("nic_type") or "paravirtual"
    match nic.mode:
        case "bridged":
            node = ET.SubElement(devices, "interface", type="bridge")
            ET.SubElement(node, "source", bridge=nic.link)
        case "routed":
            # A bare tap device; its routes are set up by who knows the routing table named by `link`.
            node = ET.SubElement(devices, "interface", type="ethernet")
        case _:
            raise _failed(f"NIC mode {nic.mode!r} is not supported")
    ET.SubElement(node, "mac", address=nic.mac)
    ET.SubElement(node, "model", type=NIC_MODEL.get(model, model))


def _serial(devices: ET.Element, path: str) -> None:
    node = ET.SubElement(devices, "serial", type="file" if path else "pty")
    if path:
        ET.SubElement(node, "source", path=path, append="on")
    ET.SubElement(node, "target", port="0")


def _display(devices: ET.Element, domain: DomainSpec) -> None:
    hv = domain.hvparams
    if hv.get("usb_mouse"):
        ET.SubElement(devices, "input", type=hv["usb_mouse"], bus="usb")
    if address := hv.get("vnc_bind_address"):
        port = domain.console_port
        where = {"port": str(port), "autoport": "no"} if port else {"autoport": "yes"}
        if hv.get("keymap"):
            where["keymap"] = hv["keymap"]
        ET.SubElement(devices, "graphics", {"type": "vnc", "listen": address, **where})
    if hv.get("vga"):
        ET.SubElement(ET.SubElement(devices, "video"), "model", type=_choice(VIDEO, "vga", hv["vga"]))


def from_xml(text: str) -> DomainRead:
    """
    What a definition says, whoever wrote it.

    :raises StepFailed: if it is not the XML of a domain.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314 - written by libvirt
        memory = _mebibytes(root.find("memory"))
        return DomainRead(
            name=root.findtext("name", ""),
            uuid=root.findtext("uuid", ""),
            memory=_mebibytes(root.find("currentMemory")) or memory,
            maxmem=memory,
            vcpus=int(root.findtext("vcpu", "1")),
            kernel=root.findtext("os/kernel", ""),
            disks=tuple(map(_read_disk, root.findall("devices/disk[@device='disk']"))),
            nics=tuple(map(_read_nic, root.findall("devices/interface"))),
        )
    except (ET.ParseError, ValueError, KeyError) as e:
        raise _failed(f"not the definition of a domain: {e}") from e


SCALE = {"KiB": 1024, "k": 1024, "MiB": 1, "GiB": 1 / 1024}


def _mebibytes(node: ET.Element | None) -> int:
    return 0 if node is None else int(int(node.text or "0") / SCALE[node.get("unit", "KiB")])


def _read_disk(node: ET.Element) -> tuple[str, str, str]:
    source = node.find("source")
    path = "" if source is None else source.get("file") or source.get("dev") or ""
    return path, "rw" if node.find("readonly") is None else "ro", node.findtext("serial", "")


def _read_nic(node: ET.Element) -> tuple[str, str, str]:
    mac, source = node.find("mac"), node.find("source")
    mode = "bridged" if node.get("type") == "bridge" else "routed"
    return (
        "" if mac is None else mac.get("address", ""),
        mode,
        "" if source is None else source.get("bridge", ""),
    )


def console_port(text: str) -> int:
    """The TCP port of a running domain's VNC, by its XML; 0 without one."""
    for graphics in ET.fromstring(text).iter("graphics"):  # noqa: S314 - written by libvirt
        if graphics.get("type") == "vnc":
            return max(0, int(graphics.get("port", "0")))
    return 0
