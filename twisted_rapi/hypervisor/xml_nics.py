"""NICs in domain XML; pure."""

from collections.abc import Collection
from typing import Any
from xml.etree import ElementTree as ET

from msgspec import Struct

from twisted_rapi.hypervisor.xml_base import NAMESPACE, Read, attribute, failed
from twisted_rapi.model.steps import NicSpec

NIC_MODEL = {"paravirtual": "virtio"}


class NicRead(Struct, frozen=True, kw_only=True):
    """A NIC that a definition has; `link` is its bridge, switch or routing table."""

    mac: str
    mode: str
    link: str = ""
    vlan: str = ""
    ip: str | None = None


def tap_name(nic: NicSpec) -> str:
    """What the node calls the interface of a NIC that is in no bridge or switch."""
    return f"rt{nic.uuid.replace('-', '')[:10]}"


def nic_element(nic: NicSpec, hv: dict[str, Any]) -> ET.Element:
    """
    A NIC.

    :raises StepFailed: it cannot be expressed.
    """
    model = hv.get("nic_type") or "paravirtual"
    match nic.mode:
        case "bridged" | "openvswitch":
            node = ET.Element("interface", type="bridge")
            ET.SubElement(node, "source", bridge=nic.link)
        case "routed" | "ext":
            # The routes of a routed one are set when it is there (`twisted_rapi.hypervisor.routes`); what is
            # ext is left to whoever watches for it.
            node = ET.Element("interface", type="ethernet")
            ET.SubElement(node, "target", dev=tap_name(nic))
        case _:
            raise failed(f"NIC mode {nic.mode!r} is not supported")
    ET.SubElement(node, "mac", address=nic.mac)
    if nic.mode == "openvswitch":
        ET.SubElement(node, "virtualport", type="openvswitch")
        if nic.vlan:
            node.append(_vlan(nic.vlan))
    elif nic.vlan:
        raise failed(f"a NIC of mode {nic.mode} cannot have a VLAN")
    ET.SubElement(node, "model", type=NIC_MODEL.get(model, model))
    if model == "paravirtual":
        _virtio_net(node, hv)
    return node


def _virtio_net(node: ET.Element, hv: dict[str, Any]) -> None:
    queues = int(hv.get("virtio_net_queues") or 1)
    if not hv.get("vhost_net", True):
        ET.SubElement(node, "driver", name="qemu")
    elif queues > 1:
        ET.SubElement(node, "driver", queues=str(queues))


def _vlan(text: str) -> ET.Element:
    """``.5`` or ``5``: untagged in 5; ``:5:6``: a trunk of 5 and 6; ``.4:5:6``: both."""
    native, *trunk = text.split(":")
    tags = [native.removeprefix("."), *trunk] if native else trunk
    if not tags or not all(tag.isascii() and tag.isdigit() and 0 < int(tag) < 4095 for tag in tags):
        raise failed(f"VLAN {text!r} is not supported; .N, :N:N or .N:N:N is")
    node = ET.Element("vlan", {"trunk": "yes"} if trunk else {})
    for n, tag in enumerate(tags):
        untagged = {"nativeMode": "untagged"} if trunk and native and n == 0 else {}
        ET.SubElement(node, "tag", {"id": tag, **untagged})
    return node


def nic_note(nic: NicSpec) -> ET.Element:
    """What libvirt has no place for in a NIC; kept in the domain's metadata."""
    values = {"mac": nic.mac, "mode": nic.mode, "link": nic.link, "uuid": nic.uuid}
    return ET.Element(f"{{{NAMESPACE}}}nic", {**values, **({"ip": nic.ip} if nic.ip else {})})


def nic_parameters(devices: ET.Element) -> Read:
    """The hypervisor parameters the first NIC was made with."""
    node = devices.find("interface")
    if node is None:
        return {}
    model, driver = attribute(node.find("model"), "type"), node.find("driver")
    return {
        "nic_type": "" if model == "virtio" else model,
        "virtio_net_queues": int(attribute(driver, "queues") or 0),
    }


def read_nics(root: ET.Element) -> tuple[NicRead, ...]:
    """The NICs, with what was noted of them."""
    notes = {n.get("mac", ""): n for n in root.iter(f"{{{NAMESPACE}}}nic")}
    return tuple(_read_nic(node, notes) for node in root.findall("devices/interface"))


def ports(root: ET.Element, bridges: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The node's interfaces of a running guest's NICs that belong on one of these bridges, each with it."""
    found = (
        (attribute(node.find("target"), "dev"), attribute(node.find("source"), "bridge"))
        for node in root.findall("devices/interface[@type='bridge']")
        if node.find("virtualport") is None
    )
    return tuple((device, bridge) for device, bridge in found if device and bridge in bridges)


def _read_nic(node: ET.Element, notes: dict[str, ET.Element]) -> NicRead:
    mac = attribute(node.find("mac"), "address")
    note = notes.get(mac)
    switched = node.find("virtualport[@type='openvswitch']") is not None
    bridged = node.get("type") == "bridge"
    link = attribute(node.find("source"), "bridge") if bridged else attribute(note, "link")
    mode = "openvswitch" if switched else "bridged" if bridged else attribute(note, "mode")
    return NicRead(
        mac=mac, mode=mode, link=link, vlan=_read_vlan(node.find("vlan")), ip=attribute(note, "ip") or None
    )


def _read_vlan(node: ET.Element | None) -> str:
    if node is None:
        return ""
    tags = node.findall("tag")
    if node.get("trunk") != "yes":
        return f".{attribute(tags[0], 'id')}"
    return "".join(("." if tag.get("nativeMode") else ":") + tag.get("id", "") for tag in tags)
