"""
A machine as libvirt's domain XML; pure.

What is written is read again (`from_xml`), hypervisor parameters included, except what is on the node:
passwords and the names of interfaces.  What has no equivalent is in `twisted_rapi.model.kvm_limits`.
"""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from msgspec import Struct

from twisted_rapi.hypervisor import xml_display
from twisted_rapi.hypervisor.xml_base import NAMESPACE, DomainKind, Found, Read, add_text, failed
from twisted_rapi.hypervisor.xml_devices import own_disks, read_devices, read_disk, write_devices
from twisted_rapi.hypervisor.xml_display import read_displays, write_displays
from twisted_rapi.hypervisor.xml_nics import NicRead, nic_note, read_nics
from twisted_rapi.hypervisor.xml_onto import fitting, onto, with_log
from twisted_rapi.hypervisor.xml_platform import (
    USUAL_EMULATOR,
    kind_of,
    read_platform,
    write_command,
    write_platform,
)
from twisted_rapi.model.machine_xml import read
from twisted_rapi.model.safe_xml import BadXml, parse, write
from twisted_rapi.model.steps import DomainSpec

SCALE = {"KiB": 1024, "k": 1024, "MiB": 1, "GiB": 1 / 1024}
NOTHING_FOUND = Found()


class DomainRead(Struct, frozen=True, kw_only=True):
    """
    What a domain's XML says.

    :ivar disks: per disk its path, mode and serial.
    :ivar hvparams: those that are not as usual.
    """

    name: str
    uuid: str
    memory: int
    maxmem: int
    vcpus: int
    disks: tuple[tuple[str, str, str], ...]
    nics: tuple[NicRead, ...]
    hvparams: Read


def to_xml(
    domain: DomainSpec,
    paths: Sequence[str],
    kind: DomainKind,
    serial_dir: str = "",
    found: Found = NOTHING_FOUND,
) -> str:
    """
    The definition of a domain with its disks at `paths`.

    :param kind: what this node can run.
    :param serial_dir: serial output goes to ``NAME.log`` there, else to a pty.
    :param found: what its parameters and its disks name of the node.
    :raises StepFailed: if it cannot be expressed.
    """
    if not domain.base:
        return as_text(_generated(domain, paths, kind, serial_dir, found), domain.name)
    try:
        base = parse(domain.base)
        domain = fitting(domain, read(base))
        whole = _generated(domain, paths, kind, serial_dir, found)
        root = onto(base, domain, whole, lambda bare: _generated(bare, (), kind, serial_dir, found))
        if serial_dir:
            with_log(root, f"{serial_dir}/{domain.name}.log")
        return write(root)
    except BadXml as e:
        raise failed(f"the definition of {domain.name} cannot be used: {e}") from e


def _generated(
    domain: DomainSpec, paths: Sequence[str], kind: DomainKind, serial_dir: str, found: Found
) -> ET.Element:
    """The definition of a domain that has no base."""
    if len(paths) != len(domain.disks):
        raise failed(f"{domain.name} has {len(domain.disks)} disks, got paths of {len(paths)}")
    hv = domain.hvparams
    root = ET.Element("domain", type=kind_of(hv, kind))
    add_text(root, "name", domain.name)
    add_text(root, "uuid", domain.instance_uuid)
    note = ET.SubElement(
        ET.SubElement(root, "metadata"), f"{{{NAMESPACE}}}instance", uuid=domain.instance_uuid
    )
    note.extend(nic_note(nic) for nic in domain.nics)
    write_platform(root, domain, kind)
    devices = ET.SubElement(root, "devices")
    if hv.get("kvm_path") not in (None, "", USUAL_EMULATOR):
        add_text(devices, "emulator", hv["kvm_path"])
    write_devices(devices, domain, paths, serial_dir, found.secrets)
    write_displays(root, devices, domain, found)
    write_command(root, hv)
    return root


def as_text(root: ET.Element, name: str) -> str:
    """
    The XML as text.

    :raises StepFailed: a value in it is no text that XML can hold.
    """
    try:
        text = ET.tostring(root, encoding="unicode")
        ET.fromstring(text)  # noqa: S314 - written a moment ago
    except (TypeError, ET.ParseError, UnicodeError) as e:
        raise failed(f"a parameter of {name} cannot be written: {e}") from e
    return text


def from_xml(text: str) -> DomainRead:
    """
    What a definition says, whoever wrote it.

    :raises StepFailed: if it is not the XML of a domain.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314 - written by libvirt
        memory = _mebibytes(root.find("memory"))
        node = root.find("vcpu")
        processors = "1" if node is None else node.get("current") or node.text or "1"
        return DomainRead(
            name=root.findtext("name", ""),
            uuid=root.findtext("uuid", ""),
            memory=_mebibytes(root.find("currentMemory")) or memory,
            maxmem=memory,
            vcpus=int(processors),
            disks=tuple(map(read_disk, own_disks(root))),
            nics=read_nics(root),
            hvparams={**read_platform(root), **read_devices(root), **read_displays(root)},
        )
    except (ET.ParseError, ValueError, KeyError, IndexError) as e:
        raise failed(f"not the definition of a domain: {e}") from e


def _mebibytes(node: ET.Element | None) -> int:
    return 0 if node is None else int(int(node.text or "0") / SCALE[node.get("unit", "KiB")])


def console_port(text: str) -> int:
    """The TCP port of a running domain's VNC, by its XML; 0 without one."""
    root: Any = ET.fromstring(text)  # noqa: S314 - written by libvirt
    return xml_display.console_port(root)


def device_names(text: str) -> tuple[str, ...]:
    """What `twisted_rapi.model.seen.DomainSeen.devices` has for a domain of this XML."""
    root: Any = ET.fromstring(text)  # noqa: S314 - written by libvirt
    serials = tuple(serial for _, _, serial in map(read_disk, own_disks(root)) if serial)
    return (*serials, *(nic.mac for nic in read_nics(root)))
