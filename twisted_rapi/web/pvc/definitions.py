"""The definitions of machines, as PVC shows them."""

from typing import Any
from xml.etree import ElementTree as ET

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import to_xml
from twisted_rapi.hypervisor.xml_base import add_text
from twisted_rapi.model.records import DiskRecord, InstanceRecord
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.pvc.definition import Definition, read
from twisted_rapi.plan.view import View

MOST_KEPT = 20_000


def path_of(disk: DiskRecord) -> str:
    """Where a node has the disk, as far as its address tells; nodes find others in their own ways."""
    parts = [str(part) for part in disk.logical_id]
    match disk.dev_type:
        case "file" | "sharedfile" | "gluster" | "blockdev":
            return parts[1] if len(parts) > 1 else ""
        case "rbd":
            return f"/dev/rbd/{'/'.join(parts)}"
        case "plain":
            return f"/dev/{'/'.join(parts)}"
    return f"/dev/disk/by-id/{disk.uuid}"


def _volume(disk: DiskRecord) -> str:
    return "/".join(str(part) for part in disk.logical_id) if disk.dev_type == "rbd" else ""


def written(view: View, instance: InstanceRecord) -> str:
    """A machine's definition; a short one of a machine that libvirt cannot express."""
    spec = domain_spec(view, instance)
    try:
        return to_xml(spec, [path_of(disk) for disk in instance.disks], "kvm")
    except StepFailed:
        root = ET.Element("domain", type="kvm")
        add_text(root, "name", spec.name)
        add_text(root, "uuid", spec.instance_uuid)
        add_text(root, "memory", str(spec.memory), unit="MiB")
        add_text(root, "vcpu", str(spec.vcpus))
        return ET.tostring(root, encoding="unicode")


class Definitions:
    """Keeps what was read of definitions, for as long as the records they are made from stay as they are."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[Any, ...], Definition]] = {}

    def of(self, view: View, instance: InstanceRecord) -> Definition:
        """A machine's definition."""
        node = view.nodes[instance.primary_node]
        sources = (instance, view.cluster, node, view.groups[node.group])
        known = self._kept.get(instance.uuid)
        if known is not None and all(a is b for a, b in zip(known[0], sources, strict=True)):
            return known[1]
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        found = read(written(view, instance), [_volume(disk) for disk in instance.disks])
        self._kept[instance.uuid] = (sources, found)
        return found
