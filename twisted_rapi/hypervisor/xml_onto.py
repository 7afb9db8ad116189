"""A machine's definition made on the base it was defined with; pure."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from xml.etree import ElementTree as ET

from msgspec.structs import replace

from twisted_rapi.hypervisor.xml_base import NAMESPACE, attribute
from twisted_rapi.hypervisor.xml_devices import LETTERS, letters
from twisted_rapi.hypervisor.xml_graft import alike, graft, replaced, same
from twisted_rapi.hypervisor.xml_platform import USUAL_EMULATOR
from twisted_rapi.model.machine_xml import (
    DiskFound,
    Found,
    disk_of,
    mark,
    memory_of,
    nic_of,
    read,
)
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec

Generate = Callable[[DomainSpec], ET.Element]
"""Writes a machine that has no base."""

_NOTE = f"{{{NAMESPACE}}}instance"
_BARE = {"disks": (), "nics": ()}
_OURS = ("name", "uuid", "metadata", "memory", "currentMemory", "vcpu", "devices")
_PLACES = ("cpu_sockets", "cpu_cores", "cpu_threads")


def onto(base: ET.Element, domain: DomainSpec, generated: ET.Element, generate: Generate) -> ET.Element:
    """
    What the common model says, on what the base says; see Note [Grafting] in `xml_graft`.

    :param base: is changed, and answered.
    :param domain: fits its base (`fitting`).
    :param generated: the machine without its base, as it is to be now, with a disk for each of its own.
    :raises BadXml: the base is no definition.
    :raises StepFailed: what the base says cannot be expressed.
    """
    found = read(base)
    now = replace(domain, **_BARE)
    then = replace(
        now,
        memory=found.memory,
        vcpus=found.vcpus,
        beparams={**now.beparams, "maxmem": found.memory, "minmem": found.memory, "vcpus": found.vcpus},
        hvparams={**now.hvparams, **_known(found, now)},
    )
    old, new = generate(fitting(then, found, now.vcpus)), generate(now)
    if not alike(old.findall("os/boot"), new.findall("os/boot")):
        _no_order(base)
    graft(base, old, new, _OURS)
    if (base.get("type"), generated.get("type")) == ("kvm", "qemu"):
        _without_kvm(base)
    base.set("type", generated.get("type", ""))
    _own(base, domain, generated, found)
    if not alike(old.findall("vcpu"), new.findall("vcpu")):
        _count(base, domain, generated)
    devices = base.find("devices")
    if devices is None:
        devices = ET.SubElement(base, "devices")
    _graft_devices(devices, _devices(old), _devices(new))
    _disks(devices, domain.disks, generated.findall("devices/disk"))
    _nics(devices, domain.nics, generated.findall("devices/interface"))
    return base


def _known(found: Found, domain: DomainSpec) -> dict[str, object]:
    """What is read of parameters that this hypervisor has."""
    return {name: value for name, value in found.hvparams.items() if name in domain.hvparams}


def fitting(domain: DomainSpec, found: Found, vcpus: int = 0) -> DomainSpec:
    """Without the base's places of processors where these are not enough any more."""
    places = [int(found.hvparams[name]) for name in _PLACES]
    if not all(places) or max(domain.vcpus, vcpus) <= places[0] * places[1] * places[2]:
        return domain
    if any(domain.hvparams.get(name) != found.hvparams[name] for name in _PLACES):
        return domain
    return replace(domain, hvparams={**domain.hvparams, **dict.fromkeys(_PLACES, 0)})


def _without_kvm(base: ET.Element) -> None:
    """What only KVM can do is not asked of a node that cannot."""
    emulator, cpu = base.find("devices/emulator"), base.find("cpu")
    if emulator is not None and emulator.text == USUAL_EMULATOR:
        base.find("devices").remove(emulator)  # type: ignore[union-attr]
    if cpu is not None and cpu.get("mode") in ("host-passthrough", "host-model"):
        cpu.attrib.clear()
        cpu.set("mode", "maximum")
        for child in cpu.findall("model"):
            cpu.remove(child)


def _no_order(base: ET.Element) -> None:
    """Devices that say when they are booted from allow no order for the whole machine."""
    for device in base.findall("devices/*"):
        for boot in device.findall("boot"):
            device.remove(boot)


def _text(base: ET.Element, tag: str, text: str) -> ET.Element:
    node = base.find(tag)
    if node is None:
        node = ET.SubElement(base, tag)
    for child in list(node):  # libvirt would take their texts, too
        node.remove(child)
    node.text = text
    return node


def _own(base: ET.Element, domain: DomainSpec, generated: ET.Element, found: Found) -> None:
    """Name, uuid, notes, memory and processors."""
    _text(base, "name", domain.name)
    _text(base, "uuid", domain.instance_uuid)
    notes, metadata = generated.findall(f"metadata/{_NOTE}"), base.find("metadata")
    if metadata is None:
        metadata = ET.SubElement(base, "metadata")
    replaced(metadata, metadata.findall(_NOTE), notes)
    if memory_of(generated.find("memory")) != found.memory:
        replaced(base, base.findall("memory"), generated.findall("memory"))
        replaced(base, base.findall("currentMemory"), generated.findall("currentMemory"))


def _count(base: ET.Element, domain: DomainSpec, generated: ET.Element) -> None:
    """Another number of processors; what is said of those there were no longer holds."""
    node = _text(base, "vcpu", generated.findtext("vcpu", str(domain.vcpus)))
    node.attrib.pop("current", None)
    current = attribute(generated.find("vcpu"), "current")
    if current:
        node.set("current", current)
    replaced(base, base.findall("vcpus"), [])
    topology, cpu = base.find("cpu/topology"), base.find("cpu")
    if cpu is None or topology is None:
        return
    product = 1
    for name in ("sockets", "cores", "threads"):
        product *= int(topology.get(name) or "1")
    if product != int(node.text or "0"):
        cpu.remove(topology)
    if not cpu.attrib and not len(cpu):
        base.remove(cpu)


# Devices that are neither disks of the instance nor NICs.

Key = tuple[str, str]


def _devices(root: ET.Element) -> list[ET.Element]:
    return root.findall("devices/*")


def _key(node: ET.Element) -> Key:
    """What tells devices of a kind apart."""
    match node.tag:
        case "graphics" | "input" | "controller":
            return node.tag, node.get("type", "")
        case "channel":
            return node.tag, attribute(node.find("target"), "name")
        case "disk":
            alias = attribute(node.find("alias"), "name")
            return node.tag, alias or node.get("device", "disk")
        case "sound":
            return node.tag, node.get("model", "")
        case "hostdev":
            return node.tag, ET.tostring(node, encoding="unicode")
    return node.tag, ""


def _graft_devices(devices: ET.Element, old: list[ET.Element], new: list[ET.Element]) -> None:
    before, after = ({_key(node): node for node in nodes} for nodes in (old, new))
    for key in before.keys() - after.keys():
        for node in _serials(devices) if key[0] == "serial" else [n for n in devices if _key(n) == key]:
            devices.remove(node)
    for key, node in after.items():
        if key in before and same(before[key], node):
            continue
        there = [n for n in devices if _key(n) == key][:1] if key in before or _single(key) else []
        if node.tag == "disk" and not there and node.get("device") != "floppy":
            _rename(devices, node)
        replaced(devices, there, [node])


def _single(key: Key) -> bool:
    """Whether a machine has one of this kind."""
    return key[0] in ("graphics", "video", "serial", "emulator")


def _serials(devices: ET.Element) -> list[ET.Element]:
    return [node for node in devices if node.tag in ("serial", "console")]


# Disks.


def address(disk: DiskSpec) -> tuple[str, str]:
    """What a definition has for a disk that is known by where it is."""
    parts = [str(part) for part in disk.logical_id]
    match disk.template, parts:
        case "rbd", [pool, image]:
            return "rbd", f"{pool}/{image}"
        case "blockdev", [_, path]:
            return "block", path
        case "file" | "sharedfile" | "gluster", [_, path]:
            return "file", path
    return "", disk.uuid


def _disks(devices: ET.Element, disks: Sequence[DiskSpec], generated: Sequence[ET.Element]) -> None:
    nodes = devices.findall("disk")
    before = [disk_of(node) for node in nodes]
    free, left = list(zip(nodes, before, strict=True)), []
    for disk, made in zip(disks, generated, strict=False):
        match = _matching(free, disk)
        if match is None:
            left.append(made)
        else:
            free.remove(match)
            _renew(*match, disk, made)
    for node, was in free:
        if was.uuid:
            devices.remove(node)
    for made in left:
        _rename(devices, made)
        devices.append(deepcopy(made))


def _matching(
    free: list[tuple[ET.Element, DiskFound]], disk: DiskSpec
) -> tuple[ET.Element, DiskFound] | None:
    marked = next((pair for pair in free if pair[1].uuid and disk.uuid.startswith(pair[1].uuid)), None)
    if marked is not None:
        return marked
    where = address(disk)
    return next((p for p in free if (p[1].kind, p[1].place) == where and p[1].device != "cdrom"), None)


def _renew(node: ET.Element, was: DiskFound, disk: DiskSpec, made: ET.Element) -> None:
    """What a node found out of its disk, in the base's."""
    source = node.find("source")
    told = was.kind == "rbd" and (was.kind, was.place) == address(disk)
    if told and (made.get("type") != "network" or (source is not None and source.find("host") is not None)):
        pass  # the definition says itself how the image is reached
    elif told or (was.kind, was.place) != (disk_of(made).kind, disk_of(made).place):
        node.set("type", made.get("type", ""))
        for tag in ("auth", "source"):
            replaced(node, node.findall(tag), made.findall(tag))
    if (disk.mode == "ro") != was.readonly:
        replaced(node, node.findall("readonly"), made.findall("readonly"))
    mark(node, disk.uuid)


def _rename(devices: ET.Element, made: ET.Element) -> None:
    """Give a disk a name that none has."""
    target = made.find("target")
    if target is not None:
        used = {attribute(node, "dev") for node in devices.findall("disk/target")}
        target.set("dev", next(_free(LETTERS[target.get("bus", "virtio")], used)))


def _free(prefix: str, used: set[str]) -> Iterator[str]:
    return (name for n in range(len(used) + 1) if (name := prefix + letters(n)) not in used)


# NICs.


def _nics(devices: ET.Element, nics: Sequence[NicSpec], generated: Sequence[ET.Element]) -> None:
    there = {nic_of(node).mac: node for node in devices.findall("interface")}
    for nic, made in zip(nics, generated, strict=True):
        node = there.pop(nic.mac.lower(), None)
        if node is None:
            devices.append(deepcopy(made))
        elif not _attached(node, nic):
            node.set("type", made.get("type", ""))
            for tag in ("source", "virtualport", "vlan", "target"):
                replaced(node, node.findall(tag), made.findall(tag))
    for node in there.values():
        devices.remove(node)


def _attached(node: ET.Element, nic: NicSpec) -> bool:
    """Whether a NIC is where it is to be; one that somebody else attaches is."""
    found = nic_of(node)
    if found.mode == nic.mode == "ext":
        return True
    return (found.mode, found.link, found.vlan) == (nic.mode, nic.link, nic.vlan)


def with_log(root: ET.Element, path: str) -> None:
    """Have the first serial port write a log, whatever else it does; nothing where there is none."""
    serial = root.find("devices/serial")
    if serial is None:
        console = root.find("devices/console[@type='pty']")
        devices = root.find("devices")
        if console is None or devices is None or console.find("target[@type='virtio']") is not None:
            return
        serial = ET.SubElement(devices, "serial", type="pty")
        ET.SubElement(serial, "target", port="0")
    if serial.get("type") in ("pty", "tcp", "udp", "unix", "null"):
        log = ET.Element("log", file=path, append="on")
        replaced(serial, serial.findall("log"), [log])
