"""
Parameters: filled in from the cluster down to the object, and checked.

Custom values override the group's, those the cluster's, those the defaults (constants.json).
"""

import re
from collections.abc import Mapping
from typing import Any

from twisted_rapi.errors import HypervisorError, TypeEnforcementError, prereq
from twisted_rapi.model import param_tables as tables
from twisted_rapi.model.records import (
    ClusterRecord,
    DiskRecord,
    GroupRecord,
    InstanceRecord,
    NicRecord,
    NodeRecord,
    Params,
)

DEFAULT = "default"
"""The value that takes a custom value back."""

_UNITS = {
    "": 1,
    "m": 1,
    "mb": 1,
    "mib": 1,
    "g": 1024,
    "gb": 1024,
    "gib": 1024,
    "t": 1024**2,
    "tb": 1024**2,
    "tib": 1024**2,
}
_SIZE = re.compile(r"^\s*([0-9]{1,12})(?:\.([0-9]{1,6}))?\s*([a-zA-Z]{0,3})\s*$")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,20}\s*", re.ASCII)
MOST = 2**53  # beyond it JSON readers lose precision


def mebibytes(value: object) -> int:
    """
    A size in MiB from a number, or from text with a unit: ``512``, ``"512M"``, ``"1.5G"``; rounded up.

    :raises ValueError: it is not a size.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a size")
    if isinstance(value, int):
        if not 0 <= value <= MOST:
            raise ValueError(f"{value!r} is out of range")
        return value
    found = _SIZE.match(value) if isinstance(value, str) else None
    if found is None or found[3].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not a size")
    digits = found[2] or ""
    scale = 10 ** len(digits)
    units = int(found[1] + digits) * _UNITS[found[3].lower()]
    return int(-(-units // scale))


def _bool(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise TypeEnforcementError(f"'{name}' (value {value}) is not a valid boolean")


def _int(name: str, value: object) -> int:
    number = int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value
    if isinstance(number, int) and not isinstance(number, bool) and abs(number) <= MOST:
        return number
    raise TypeEnforcementError(f"'{name}' (value {value}) is not a valid integer")


def _float(name: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise TypeEnforcementError(f"'{name}' (value {value}) is not a valid float")


def _size(name: str, value: object) -> int:
    try:
        return mebibytes(value)
    except ValueError as e:
        raise TypeEnforcementError(f"'{name}' (value {value}) is not a valid size: {e}") from e


def _string(name: str, value: object) -> str:
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        text = "" if value is None else str(value)
        if "\x00" not in text:
            return text
    if isinstance(value, bool):
        if not value:
            return ""
        return "true"
    raise TypeEnforcementError(f"'{name}' (value {value!r}) is not a valid string")


def _maybe_string(name: str, value: object) -> str | None:
    return None if value is None or value == "none" else _string(name, value)


_CHECKS = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "size": _size,
    "string": _string,
    "maybe-string": _maybe_string,
}


def enforce(values: Mapping[str, Any], types: Mapping[str, str], allow_default: bool = False) -> Params:
    """
    The values in their types.

    :param allow_default: ``"default"`` is kept as it is.
    :raises TypeEnforcementError: a name is unknown or a value cannot be of its type.
    """
    for name in values:
        if name not in types:
            raise TypeEnforcementError(f"Unknown parameter '{name}'")
    return {
        name: value if allow_default and value == DEFAULT else _CHECKS[types[name]](name, value)
        for name, value in values.items()
    }


def update(custom: Mapping[str, Any], change: Mapping[str, Any]) -> Params:
    """Custom values after a change; ``"default"`` takes one back."""
    merged = {**custom, **change}
    return {name: value for name, value in merged.items() if value != DEFAULT}


# Backend parameters.


def check_be(values: Mapping[str, Any], allow_default: bool = False) -> Params:
    """
    Backend parameters as given by a client; ``memory`` stands for ``minmem`` and ``maxmem``.

    :raises TypeEnforcementError: see `enforce`.
    """
    given = dict(values)
    if "memory" in given:
        memory = given.pop("memory")
        given.setdefault("minmem", memory)
        given.setdefault("maxmem", memory)
    return enforce(given, tables.BE_TYPES, allow_default)


def judge_be(filled: Params) -> None:
    """
    Whether filled backend parameters can be meant.

    :raises OpPrereqError: ``wrong_input``.
    """
    if filled["minmem"] > filled["maxmem"]:
        raise prereq(
            f"Minimum memory ({filled['minmem']}) is larger than maximum memory ({filled['maxmem']})"
        )
    for name in ("vcpus", "minmem", "maxmem"):
        if filled[name] < 1:
            raise prereq(f"Backend parameter '{name}' must be at least 1")


def cluster_beparams(cluster: ClusterRecord) -> Params:
    """What an instance without own backend parameters has."""
    return {**tables.BE_DEFAULTS, **cluster.beparams}


def beparams(cluster: ClusterRecord, instance: InstanceRecord) -> Params:
    """An instance's backend parameters, filled in."""
    return {**cluster_beparams(cluster), **instance.beparams}


# Hypervisor parameters.


def check_hv(
    hypervisor: str, values: Mapping[str, Any], allow_default: bool = False, whole: bool = False
) -> Params:
    """
    Hypervisor parameters as given by a client.

    :param whole: they are the cluster's, which has some that no instance has.
    :raises TypeEnforcementError: a name is unknown, or a value of another type.
    :raises HypervisorError: the parameter is one of other hypervisors.
    :raises OpPrereqError: ``wrong_input``: it can be set for the whole cluster only.
    """
    given = enforce(values, tables.HV_TYPES, allow_default)
    barred = [] if whole else sorted(tables.HV_GLOBAL & given.keys())
    if barred:
        raise prereq(f"Hypervisor parameters of the whole cluster, not of an instance: {', '.join(barred)}")
    for name in given:
        if name not in tables.HV_DEFAULTS[hypervisor]:
            raise HypervisorError(f"Parameter '{name}' is not supported")
    for name, value in given.items():
        if name in _CHOICES.get(hypervisor, {}) and value not in (*_CHOICES[hypervisor][name], DEFAULT):
            allowed = ", ".join(_CHOICES[hypervisor][name])
            raise HypervisorError(f"Parameter '{name}' fails validation: {value} is not one of {allowed}")
    return given


_CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "kvm": {
        "boot_order": ("cdrom", "disk", "floppy", "network"),
        "disk_type": (
            *("ide", "mtd", "paravirtual", "pflash", "sd"),
            *("scsi", "scsi-block", "scsi-cd", "scsi-generic", "scsi-hd"),
        ),
        "nic_type": (
            *("e1000", "paravirtual", "pcnet", "rtl8139"),
            *("i82551", "i82557b", "i82559er", "ne2k_isa", "ne2k_pci"),
        ),
        "disk_cache": ("default", "none", "writeback", "writethrough"),
        "disk_aio": ("threads", "native", "io_uring"),
        "disk_discard": ("default", "ignore", "unmap"),
        "usb_mouse": ("", "mouse", "tablet"),
        "reboot_behavior": ("reboot", "exit"),
        "migration_mode": ("live", "non-live"),
    },
    "fake": {"migration_mode": ("live", "non-live")},
}


def choices(hypervisor: str) -> Mapping[str, tuple[str, ...]]:
    """The values that some of a hypervisor's parameters are limited to."""
    return _CHOICES.get(hypervisor, {})


def check_os(values: Mapping[str, Any]) -> Params:
    """
    OS parameters as given by a client: text, or what can be written as text.

    :raises TypeEnforcementError: a value is something else.
    """
    return {name: _string(name, value) for name, value in values.items()}


def cluster_hvparams(cluster: ClusterRecord, hypervisor: str) -> Params:
    """What an instance of this hypervisor without own parameters has."""
    return {**tables.HV_DEFAULTS[hypervisor], **cluster.hvparams.get(hypervisor, {})}


def hvparams(cluster: ClusterRecord, instance: InstanceRecord) -> Params:
    """
    An instance's hypervisor parameters, filled in; those its OS asks for come before its own.

    The global ones are not among them: they are the cluster's alone.
    """
    by_os = cluster.os_hvp.get(instance.os.partition("+")[0], {}).get(instance.hypervisor, {})
    filled = {**cluster_hvparams(cluster, instance.hypervisor), **by_os, **instance.hvparams}
    return {name: value for name, value in filled.items() if name not in tables.HV_GLOBAL}


# The rest.


def cluster_nicparams(cluster: ClusterRecord) -> dict[str, str]:
    """What a NIC without own parameters has."""
    return {**tables.NIC_DEFAULTS, **cluster.nicparams}


def nicparams(cluster: ClusterRecord, nic: NicRecord) -> dict[str, str]:
    """A NIC's mode, link and vlan, filled in."""
    return {**cluster_nicparams(cluster), **nic.params}


def osparams(cluster: ClusterRecord, instance: InstanceRecord) -> Params:
    """An instance's OS parameters, the private ones not included."""
    name = instance.os.partition("+")[0]
    return {**cluster.osparams.get(name, {}), **cluster.osparams.get(instance.os, {}), **instance.osparams}


def private_osparams(cluster: ClusterRecord, instance: InstanceRecord) -> Params:
    """An instance's private OS parameters: only for scripts of the OS, never shown."""
    name = instance.os.partition("+")[0]
    of_cluster = cluster.osparams_private
    return {**of_cluster.get(name, {}), **of_cluster.get(instance.os, {}), **instance.osparams_private}


def cluster_ndparams(cluster: ClusterRecord) -> Params:
    """What a node without own parameters has."""
    return {**tables.ND_DEFAULTS, **cluster.ndparams}


def group_ndparams(cluster: ClusterRecord, group: GroupRecord) -> Params:
    """What a node of this group without own parameters has."""
    return {**cluster_ndparams(cluster), **group.ndparams}


def ndparams(cluster: ClusterRecord, group: GroupRecord, node: NodeRecord) -> Params:
    """A node's parameters, filled in."""
    return {**group_ndparams(cluster, group), **node.ndparams}


def cluster_ipolicy(cluster: ClusterRecord) -> Params:
    """The policy of a group without an own one."""
    return {**tables.IPOLICY_DEFAULTS, **cluster.ipolicy}


def ipolicy(cluster: ClusterRecord, group: GroupRecord) -> Params:
    """A group's instance policy, filled in; its own ``std`` does not exist (constants.json)."""
    return {**cluster_ipolicy(cluster), **{k: v for k, v in group.ipolicy.items() if k != "std"}}


def cluster_diskparams(cluster: ClusterRecord) -> dict[str, Params]:
    """Per disk template, what a disk without own parameters has."""
    return {t: {**d, **cluster.diskparams.get(t, {})} for t, d in tables.DISKPARAMS_DEFAULTS.items()}


def diskparams(cluster: ClusterRecord, group: GroupRecord) -> dict[str, Params]:
    """Per disk template, a group's disk parameters, filled in."""
    return {t: {**d, **group.diskparams.get(t, {})} for t, d in cluster_diskparams(cluster).items()}


def disk_parameters(cluster: ClusterRecord, group: GroupRecord, disk: DiskRecord) -> Params:
    """A disk's parameters, filled in; those of an ``ext`` provider are among them."""
    kind = disk.dev_type
    if kind not in tables.DISKPARAMS_DEFAULTS:
        return dict(disk.params)
    own = cluster.diskparams.get(kind, {}), group.diskparams.get(kind, {})
    return {**tables.DISKPARAMS_DEFAULTS[kind], **own[0], **own[1], **disk.params}


def check_diskparams(values: Mapping[str, Any]) -> dict[str, Params]:
    """
    Disk parameters of a cluster or group as given by a client: per template, values in their types.

    :raises TypeEnforcementError: a name is unknown, or a value of another type.
    :raises OpPrereqError: ``wrong_input``: a template or value that there is not.
    """
    found = {}
    for template, given in values.items():
        if template not in tables.DISKPARAMS_DEFAULTS:
            raise prereq(f"Unknown disk template '{template}'")
        if not isinstance(given, Mapping):
            raise prereq(f"Disk parameters of '{template}' must be an object")
        known = {*tables.DISKPARAMS_DEFAULTS[template], *(("user-id",) if template == "rbd" else ())}
        found[template] = enforce(given, {k: t for k, t in tables.DISK_TYPES.items() if k in known})
        _judge_diskparams(found[template])
    return found


def _judge_diskparams(given: Params) -> None:
    for name, value in given.items():
        allowed = _DISK_CHOICES.get(name)
        if allowed is not None and value not in allowed:
            raise prereq(f"Invalid value of disk parameter '{name}': {value!r}, one of {', '.join(allowed)}")
        if name in ("stripes", "data-stripes", "meta-stripes") and not 1 <= value <= _MOST_STRIPES:
            raise prereq(f"Invalid value of disk parameter '{name}': {value}, between 1 and {_MOST_STRIPES}")
        if isinstance(value, int) and value < 0:
            raise prereq(f"Invalid value of disk parameter '{name}': {value} is negative")
        if name in ("metavg", "pool") and not _WORD.fullmatch(value):
            raise prereq(f"Invalid value of disk parameter '{name}': {value!r}")


_MOST_STRIPES = 128
_WORD = re.compile(r"[\w+-][\w.+-]{0,127}", re.ASCII)
_DISK_CHOICES = {
    "access": ("kernelspace", "userspace"),
    "disk-barriers": ("n", "b", "d", "f", "bd", "bf", "df", "bdf"),
    "protocol": ("A", "B", "C"),
}
