"""The definitions of machines, as PVC shows them."""

from typing import Any
from xml.etree import ElementTree as ET

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import to_xml
from twisted_rapi.hypervisor.xml_base import add_text
from twisted_rapi.model import rbd
from twisted_rapi.model.records import DiskRecord, InstanceRecord
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.pvc import machine as pvc
from twisted_rapi.plan.pvc.definition import Definition, read
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.plan.view import View
from twisted_rapi.web.pvc.replies import encode

MOST_KEPT = 20_000


def path_of(disk: DiskRecord) -> str:
    """Where a node has the disk, as far as its address tells; nodes find others in their own ways."""
    parts = [str(part) for part in disk.logical_id]
    match disk.dev_type:
        case "file" | "sharedfile" | "gluster" | "blockdev":
            return parts[1] if len(parts) > 1 else ""
        case "rbd":
            return rbd.uri(rbd.RbdImage(pool=parts[0], name=parts[-1]))
        case "plain":
            return f"/dev/{'/'.join(parts)}"
    return f"/dev/disk/by-id/{disk.uuid}"


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
    """
    Keeps what was read of definitions, and what is told of machines, while what they are made from stays.

    :ivar busy: whether what was asked for last had to be made: it took long.
    """

    def __init__(self) -> None:
        self.busy = False
        self._kept: dict[str, tuple[tuple[Any, ...], Definition]] = {}
        self._texts: dict[tuple[str, Dialect], tuple[tuple[object, ...], bytes]] = {}

    def of(self, view: View, instance: InstanceRecord) -> Definition:
        """A machine's definition."""
        node = view.nodes[instance.primary_node]
        networks = [view.networks.get(nic.network) for nic in instance.nics if nic.network is not None]
        kept = view.machines.get(instance.uuid)
        sources = (instance, kept, view.cluster, node, view.groups[node.group], *networks)
        known = self._kept.get(instance.uuid)
        # Most of it is the same object, which is quickly seen.
        if known is not None and known[0] == sources:
            return known[1]
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        found = read(written(view, instance))
        self._kept[instance.uuid] = (sources, found)
        return found

    def text(self, scene: Scene, instance: InstanceRecord, dialect: Dialect) -> bytes:
        """All about a machine, as `twisted_rapi.web.pvc.replies.encode` writes it."""
        sources, key = pvc.sources(scene, instance), (instance.uuid, dialect)
        known = self._texts.get(key)
        self.busy = known is None or known[0] != sources
        if known is not None and not self.busy:
            return known[1]
        if len(self._texts) >= MOST_KEPT:
            self._texts.clear()
        text = encode(dialect, pvc.info(scene, instance, self.of(scene.view, instance), dialect))
        self._texts[key] = (sources, text)
        return text
