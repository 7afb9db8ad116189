"""Devices and migrations of running guests, as calls to libvirt that block."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import as_text
from twisted_rapi.hypervisor.libvirt_calls import lookup, running
from twisted_rapi.hypervisor.xml_devices import disk_element, free_name
from twisted_rapi.hypervisor.xml_nics import nic_element
from twisted_rapi.model.steps import DiskSpec, DomainSpec, MigrationTarget, NicSpec, device_name

MIB = 1024 * 1024
_CAPABILITIES = {
    "auto-converge": libvirt.VIR_MIGRATE_AUTO_CONVERGE,
    "postcopy-ram": libvirt.VIR_MIGRATE_POSTCOPY,
    "xbzrle": libvirt.VIR_MIGRATE_COMPRESSED,
    "multifd": libvirt.VIR_MIGRATE_PARALLEL,
    "events": 0,  # libvirt has it always
}
"""What QEMU's capabilities (``migration_caps``) are called by libvirt."""

_NO_JOB = (
    libvirt.VIR_ERR_NO_DOMAIN,  # it has just gone
    libvirt.VIR_ERR_OPERATION_INVALID,  # it does not run
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,  # it is on its way here
    libvirt.VIR_ERR_NO_SUPPORT,  # by libvirt's test driver
)
"""What libvirt answers about the job of a guest that is not on its way elsewhere."""


def attach(
    connection: Any, spec: DomainSpec, device: DiskSpec | NicSpec, path: str, secrets: Mapping[str, str]
) -> None:
    """
    See `twisted_rapi.hypervisor.interface.IHypervisor.attach`.

    :param secrets: see `disk_element`.
    """
    domain = running(connection, spec.instance_uuid)
    root = ET.fromstring(domain.XMLDesc(0))  # noqa: S314 - written by libvirt
    if _find(root, device) is not None:
        return
    if isinstance(device, DiskSpec):
        node = disk_element(device, path, spec.hvparams, free_name(root, spec.hvparams), secrets)
    else:
        node = nic_element(device, spec.hvparams)
    domain.attachDeviceFlags(as_text(node, spec.name), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def detach(connection: Any, spec: DomainSpec, device: DiskSpec | NicSpec) -> None:
    """
    See `twisted_rapi.hypervisor.interface.IHypervisor.detach`.

    libvirt asks the guest and waits some seconds for it to let go.
    """
    domain = running(connection, spec.instance_uuid)
    node = _find(ET.fromstring(domain.XMLDesc(0)), device)  # noqa: S314 - written by libvirt
    if node is None:
        return
    domain.detachDeviceFlags(as_text(node, spec.name), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if _find(ET.fromstring(domain.XMLDesc(0)), device) is not None:  # noqa: S314 - written by libvirt
        raise StepFailed(f"the guest {spec.name} does not let go of {device_name(device)}", "hypervisor")


def _find(root: ET.Element, device: DiskSpec | NicSpec) -> ET.Element | None:
    if isinstance(device, DiskSpec):
        disks = root.findall("devices/disk")
        return next((node for node in disks if node.findtext("serial") == device_name(device)), None)
    return next((n for n in root.findall("devices/interface") if _mac(n) == device.mac), None)


def _mac(node: ET.Element) -> str:
    mac = node.find("mac")
    return "" if mac is None else mac.get("address", "")


def show_growth(connection: Any, spec: DomainSpec, disk: DiskSpec) -> None:
    """See `twisted_rapi.hypervisor.interface.IHypervisor.show_growth`."""
    domain = running(connection, spec.instance_uuid)
    node = _find(ET.fromstring(domain.XMLDesc(0)), disk)  # noqa: S314 - written by libvirt
    target = None if node is None else node.find("target")
    if target is None:
        raise StepFailed(f"{spec.name} does not run with disk {disk.uuid}", "hypervisor")
    domain.blockResize(target.get("dev"), disk.size * MIB, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def is_leaving(connection: Any, uuid: str) -> bool:
    """
    Whether a migration of the guest to elsewhere is under way.

    It is libvirt's own business: it goes on when who asked for it has gone.
    """
    domain = lookup(connection, uuid)
    if domain is None:
        return False
    try:
        job = domain.jobStats()
    except libvirt.libvirtError as e:
        if e.get_error_code() in _NO_JOB:
            return False
        raise
    return bool(
        job.get("type", libvirt.VIR_DOMAIN_JOB_NONE) != libvirt.VIR_DOMAIN_JOB_NONE
        and job.get(libvirt.VIR_DOMAIN_JOB_OPERATION) == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    )


def migrate(connection: Any, spec: DomainSpec, target: MigrationTarget) -> None:
    """
    See `twisted_rapi.hypervisor.interface.IHypervisor.migrate`.

    libvirt does not trust caches of shared storage; which template may be shared is our business (UNSAFE).
    """
    domain = running(connection, spec.instance_uuid)
    flags = (
        libvirt.VIR_MIGRATE_PEER2PEER
        | libvirt.VIR_MIGRATE_PERSIST_DEST
        | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        | libvirt.VIR_MIGRATE_UNSAFE
    )
    flags |= libvirt.VIR_MIGRATE_LIVE if target.live else 0
    for name in target.capabilities:
        if name not in _CAPABILITIES:
            raise StepFailed(f"migration capability {name!r} is not known", "hypervisor")
        flags |= _CAPABILITIES[name]
    values: dict[str, Any] = {}
    if target.address:
        host = f"[{target.address}]" if ":" in target.address else target.address
        port = f":{target.port}" if target.port else ""
        values[libvirt.VIR_MIGRATE_PARAM_URI] = f"tcp://{host}{port}"
    if target.bandwidth:
        values[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = target.bandwidth
    if target.downtime and target.live:
        domain.migrateSetMaxDowntime(target.downtime)
    domain.migrateToURI3(target.uri, values, flags)
