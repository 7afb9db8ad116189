"""Calls to libvirt, as plain functions that block: each is given the connection and runs in a thread."""

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor import xml_nics
from twisted_rapi.hypervisor.domain_xml import console_port, device_names
from twisted_rapi.model.seen import DomainSeen, DomainState

KIB = 1024

_STATES: Mapping[int, DomainState] = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "blocked",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "running",  # the guest is on its way down, and still there
    libvirt.VIR_DOMAIN_SHUTOFF: "shutdown",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
}
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


def host_boot() -> str:
    """Names this boot of the machine: libvirt counts domains anew with each."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        text = f"{int(time.time() - time.monotonic()):08x}"
    return text[:8]


def lookup(connection: Any, uuid: str) -> Any:
    """The domain; ``None`` when there is none."""
    try:
        return connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as e:
        if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def running(connection: Any, uuid: str) -> Any:
    """
    The domain, which runs.

    :raises StepFailed: it does not.
    """
    domain = lookup(connection, uuid)
    if domain is None or not domain.isActive():
        raise StepFailed(f"domain {uuid} does not run", "hypervisor")
    return domain


def boot_of(domain: Any, host: str) -> str:
    """Names the boot of a running domain; empty for one that does not run."""
    return f"{host}-{domain.ID()}" if domain.isActive() else ""


def seen(domain: Any, host: str, kind: str) -> DomainSeen | None:
    """
    The domain as it is; ``None`` for one that went away meanwhile.

    :param host: see `host_boot`.
    """
    try:
        state, _, memory, vcpus, nanoseconds = domain.info()
        boot = boot_of(domain, host)
        text = domain.XMLDesc(0) if boot else ""
        return DomainSeen(
            name=domain.name(),
            uuid=domain.UUIDString(),
            hypervisor=kind,
            state=_STATES.get(state, "shutdown"),
            memory=memory // KIB,
            vcpus=vcpus,
            boot=boot,
            vnc_port=console_port(text) if boot else 0,
            cpu_seconds=nanoseconds / 1e9,
            devices=device_names(text) if boot else (),
        )
    except libvirt.libvirtError as e:
        if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def look_at_all(connection: Any, host: str, kind: str) -> dict[str, DomainSeen]:
    """All domains by name."""
    found = (seen(domain, host, kind) for domain in connection.listAllDomains())
    return {one.name: one for one in found if one is not None}


def find(connection: Any, uuid: str, host: str, kind: str) -> DomainSeen | None:
    """One domain."""
    domain = lookup(connection, uuid)
    return None if domain is None else seen(domain, host, kind)


def ports(connection: Any, bridges: Collection[str]) -> list[tuple[str, str]]:
    """Interfaces of guests that belong on these bridges, each with its bridge."""
    every = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    roots = [ET.fromstring(domain.XMLDesc()) for domain in every]  # noqa: S314 -- libvirt is no stranger
    return [port for root in roots for port in xml_nics.ports(root, bridges)]


def create(connection: Any, text: str, flags: int, host: str, kind: str) -> DomainSeen:
    """Define a domain and have it run; one that does not start is not left defined."""
    domain = connection.defineXML(text)
    try:
        domain.createWithFlags(flags)
    except libvirt.libvirtError:
        undefine(connection, domain.UUIDString())
        raise
    found = seen(domain, host, kind)
    assert found is not None, "it was made a moment ago"
    return found


def ask_to_stop(connection: Any, uuid: str) -> bool:
    """Press the guest's button; false when it has stopped already."""
    domain = lookup(connection, uuid)
    if domain is None or not domain.isActive():
        return False
    domain.shutdown()
    return bool(domain.isActive())


def end(connection: Any, uuid: str, host: str, boot: str) -> bool:
    """
    End the guest, if it runs, and remove the definition.

    :param boot: when given, a domain that runs another boot is left alone: false.
    """
    domain = lookup(connection, uuid)
    if domain is None:
        return True
    now = boot_of(domain, host)
    if boot and now and now != boot:
        return False
    if now:
        try:
            domain.destroy()
        except libvirt.libvirtError as e:
            if e.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
    undefine(connection, uuid)
    return True


def undefine(connection: Any, uuid: str) -> None:
    """Remove the definition, if there is one."""
    domain = lookup(connection, uuid)
    if domain is None or not domain.isPersistent():
        return
    try:
        domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as e:
        if e.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
            raise
        domain.undefine()


def set_memory(connection: Any, uuid: str, memory: int) -> None:
    """Balloon the guest to `memory` MiB."""
    running(connection, uuid).setMemoryFlags(memory * KIB, libvirt.VIR_DOMAIN_AFFECT_LIVE)
