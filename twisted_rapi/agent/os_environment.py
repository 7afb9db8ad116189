"""The environment of an OS definition's scripts (behaviour.md §8, newest); pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from twisted_rapi.agent.os_definitions import API_VERSIONS, split
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec, RunOs

PATH = "/sbin:/bin:/usr/sbin:/usr/bin"

# What guests see a disk as, for hypervisors that have the parameter ``disk_type``.
_FRONTEND = "disk_type"

# What is told of the network a NIC is in, if it is in one.
_NETWORK = ("name", "uuid", "subnet", "gateway", "subnet6", "gateway6", "mac_prefix", "tags")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def basic(definition: OsSeen, os: str, osparams: Mapping[str, Any], debug: int = 0) -> dict[str, str]:
    """What every script gets, ``verify`` included."""
    name, variant = split(os)
    chosen = variant or (definition.variants[0] if definition.variants else "")
    environment = {
        "PATH": PATH,
        "OS_API_VERSION": str(max(set(definition.api_versions) & set(API_VERSIONS))),
        "OS_NAME": name,
        "OS_VARIANT": chosen,
        "DEBUG_LEVEL": str(debug),
    }
    for parameter, value in osparams.items():
        environment[f"OSP_{parameter.upper().replace('-', '_')}"] = _text(value)
    return environment


def _disk(n: int, disk: DiskSpec, path: str, hvparams: Mapping[str, Any]) -> dict[str, str]:
    prefix = f"DISK_{n}"
    file_based = disk.template in ("file", "sharedfile", "gluster")
    values = {
        f"{prefix}_PATH": path,
        f"{prefix}_ACCESS": disk.mode,
        f"{prefix}_UUID": disk.uuid,
        f"{prefix}_SIZE": str(disk.size),
        f"{prefix}_URI": path,
        f"{prefix}_BACKEND_TYPE": f"file:{disk.logical_id[0]}" if file_based else "block",
    }
    if disk.name:
        values[f"{prefix}_NAME"] = disk.name
    if _FRONTEND in hvparams:
        values[f"{prefix}_FRONTEND_TYPE"] = _text(hvparams[_FRONTEND])
    return values


def _nic(n: int, nic: NicSpec, hvparams: Mapping[str, Any]) -> dict[str, str]:
    prefix = f"NIC_{n}"
    values = {
        f"{prefix}_MAC": nic.mac,
        f"{prefix}_MODE": nic.mode,
        f"{prefix}_LINK": nic.link,
        f"{prefix}_UUID": nic.uuid,
    }
    for key, value in (("IP", nic.ip), ("NAME", nic.name), ("VLAN", nic.vlan)):
        if value:
            values[f"{prefix}_{key}"] = value
    if nic.mode == "bridged":
        values[f"{prefix}_BRIDGE"] = nic.link
    for key in _NETWORK:
        if (nic.network or {}).get(key) is not None:
            values[f"{prefix}_NETWORK_{key.upper()}"] = _words((nic.network or {})[key])
    if "nic_type" in hvparams:
        values[f"{prefix}_FRONTEND_TYPE"] = _text(hvparams["nic_type"])
    return values


def instance(domain: DomainSpec, definition: OsSeen, paths: Sequence[str], debug: int = 0) -> dict[str, str]:
    """What the scripts that work on an instance get."""
    environment = basic(definition, domain.os, domain.osparams, debug)
    environment |= {
        "INSTANCE_NAME": domain.name,
        "INSTANCE_OS": domain.os,
        "INSTANCE_UUID": domain.instance_uuid,
        "INSTANCE_CTIME": _text(domain.ctime),
        "INSTANCE_MTIME": _text(domain.mtime),
        "INSTANCE_PRIMARY_NODE": domain.primary_node,
        "INSTANCE_SECONDARY_NODES": " ".join(domain.secondary_nodes),
        "HYPERVISOR": domain.hypervisor,
        "DISK_COUNT": str(len(domain.disks)),
        "NIC_COUNT": str(len(domain.nics)),
    }
    for n, (disk, path) in enumerate(zip(domain.disks, paths, strict=True)):
        environment |= _disk(n, disk, path, domain.hvparams)
    for n, nic in enumerate(domain.nics):
        environment |= _nic(n, nic, domain.hvparams)
    environment |= {f"INSTANCE_BE_{key}": str(value) for key, value in domain.beparams.items()}
    environment |= {f"INSTANCE_HV_{key}": str(value) for key, value in domain.hvparams.items()}
    return environment


def for_step(step: RunOs, definition: OsSeen, paths: Sequence[str]) -> dict[str, str]:
    """What the script of a step gets."""
    environment = instance(step.domain, definition, paths, step.debug)
    if step.reinstall:
        environment["INSTANCE_REINSTALL"] = "1"
    if step.action == "rename":
        environment["OLD_INSTANCE_NAME"] = step.old_name
    return environment


def for_disk(
    direction: Literal["import", "export"],
    domain: DomainSpec,
    definition: OsSeen,
    paths: Sequence[str],
    index: int,
    debug: int = 0,
) -> dict[str, str]:
    """What ``import`` or ``export`` gets, which is run once per disk, for the disk at `index`."""
    prefix = direction.upper()
    return instance(domain, definition, paths, debug) | {
        f"{prefix}_DEVICE": paths[index],
        f"{prefix}_DISK_PATH": paths[index],
        f"{prefix}_DISK_URI": paths[index],
        f"{prefix}_INDEX": str(index),
    }
