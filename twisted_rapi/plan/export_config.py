"""
The ``config.ini`` of an export (behaviour.md §6): written, and read again.

It is the field's own form: what Ganeti exported can be imported here, and the other way round.
"""

import configparser
import io
from collections.abc import Mapping
from typing import Any

import attrs

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.disks import FILE_TEMPLATES
from twisted_rapi.plan.view import View

VERSION = "0"
_NIC = ("mac", "ip", "mode", "link", "network", "name", "vlan")
_SECTIONS = ("export", "instance")


def dump_name(index: int) -> str:
    """The file with a disk's data."""
    return f"disk{index}.dump"


def written(view: View, instance: InstanceRecord, when: float) -> str:
    """
    The configuration of an export of the instance.

    :param when: seconds since the epoch.
    """
    cluster = view.cluster
    backend = params.beparams(cluster, instance)
    config = _parser()
    config["export"] = {
        "version": VERSION,
        "timestamp": str(int(when)),
        "source": view.nodes[instance.primary_node].name,
        "os": instance.os,
        "compression": "none",
    }
    config["instance"] = {
        "name": instance.name,
        "maxmem": str(backend["maxmem"]),
        "minmem": str(backend["minmem"]),
        "memory": str(backend["maxmem"]),
        "vcpus": str(backend["vcpus"]),
        "disk_template": instance.disk_template,
        "hypervisor": instance.hypervisor,
        "tags": " ".join(instance.tags),
        **_nics(view, instance),
        **_disks(instance),
    }
    for section, values in (
        ("hypervisor", params.hvparams(cluster, instance)),
        ("backend", backend),
        ("os", params.osparams(cluster, instance)),
    ):
        config[section] = {name: str(value) for name, value in values.items()}
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _nics(view: View, instance: InstanceRecord) -> dict[str, str]:
    values = {"nic_count": str(len(instance.nics))}
    for n, nic in enumerate(instance.nics):
        filled = params.nicparams(view.cluster, nic)
        network = None if nic.network is None else view.networks[nic.network].name
        own = {"mac": nic.mac, "ip": nic.ip, "name": nic.name, "network": network, **filled}
        values |= {
            f"nic{n}_{key}": str(own[key]) for key in _NIC if own[key] not in (None, "") or key == "ip"
        }
    return values


def _disks(instance: InstanceRecord) -> dict[str, str]:
    values = {"disk_count": str(len(instance.disks))}
    for n, disk in enumerate(instance.disks):
        values |= {
            f"disk{n}_ivname": f"disk/{n}",
            f"disk{n}_dump": dump_name(n),
            f"disk{n}_size": str(disk.size),
        }
        if disk.name:
            values[f"disk{n}_name"] = disk.name
    return values


def _parser() -> configparser.ConfigParser:
    # Values mean what they say: a per cent sign is one.
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    return parser


# Reading.


@attrs.frozen(kw_only=True)
class Exported:
    """
    What an export says.

    :ivar dumps: per disk the file with its data; empty for none.
    """

    values: Mapping[str, Any]
    dumps: tuple[str, ...]


def read(text: str) -> Exported:
    """
    What a configuration says, as parameters of ``OP_INSTANCE_CREATE``.

    :raises OpPrereqError: ``environment_error``: it is no configuration of an export this release knows.
    """
    config = _parser()
    try:
        config.read_string(text)
    except configparser.Error as e:
        raise prereq(f"The export's configuration cannot be read: {e}", "environment_error") from e
    if not all(config.has_section(name) for name in _SECTIONS):
        raise prereq(
            "Corrupt export: its configuration has no section export or instance", "environment_error"
        )
    if config.get("export", "version", fallback="") != VERSION:
        version = config.get("export", "version", fallback="")
        raise prereq(f"Wrong export version {version!r} (wanted {VERSION})", "environment_error")
    compression = config.get("export", "compression", fallback="none")
    if compression != "none":
        raise prereq(f"Exports with compression {compression!r} cannot be read", "environment_error")
    return _exported(config)


def _exported(config: configparser.ConfigParser) -> Exported:
    told = dict(config["instance"])
    count, nics = (_number(told, f"{kind}_count") for kind in ("disk", "nic"))
    disks: list[dict[str, Any]] = []
    for n in range(count):
        disk: dict[str, Any] = {"size": _number(told, f"disk{n}_size")}
        if told.get(f"disk{n}_name") not in (None, "", "None"):
            disk["name"] = told[f"disk{n}_name"]
        disks.append(disk)
    backend: dict[str, Any] = {
        key: _number(told, key) for key in ("maxmem", "minmem", "vcpus") if key in told
    }
    if "memory" in told and "maxmem" not in backend:
        backend |= dict.fromkeys(("maxmem", "minmem"), _number(told, "memory"))
    values = {
        "os_type": config.get("export", "os", fallback="") or None,
        "disk_template": told.get("disk_template"),
        "hypervisor": told.get("hypervisor"),
        "tags": told.get("tags", "").split(),
        "disks": disks,
        "nics": [_nic(told, n) for n in range(nics)],
        "backend": {**_section(config, "backend"), **backend},
        "hypervisor_params": _section(config, "hypervisor"),
        "os_params": _section(config, "os"),
    }
    return Exported(values=values, dumps=tuple(told.get(f"disk{n}_dump", "") for n in range(count)))


def _number(told: Mapping[str, str], key: str) -> int:
    value = told.get(key, "")
    if not value.isdigit() or len(value) > 15:
        raise prereq(f"Corrupt export: {key} is {value!r}", "environment_error")
    return int(value)


def _nic(told: Mapping[str, str], n: int) -> dict[str, str]:
    said = {key: told.get(f"nic{n}_{key}", "") for key in _NIC}
    found = {key: value for key, value in said.items() if value not in ("", "None")}
    if "network" in found:  # its connection says the rest
        for key in ("mode", "link", "vlan"):
            found.pop(key, None)
    return found


def _section(config: configparser.ConfigParser, name: str) -> dict[str, str]:
    return dict(config[name]) if config.has_section(name) else {}


def filled(op: InstanceCreate, exported: Exported, usual: Mapping[str, Any]) -> dict[str, Any]:
    """
    The parameters of the creation that the export says and the request does not.

    :param usual: known parameters by kind (``backend``, ``hypervisor_params``), those of other clusters or
        releases are left out.
    """
    values = exported.values
    found: dict[str, Any] = {
        name: values[name]
        for name in ("os_type", "disk_template", "hypervisor")
        if getattr(op, name) is None and values[name]
    }
    found |= {
        name: values[name] for name in ("disks", "nics", "tags") if not getattr(op, name) and values[name]
    }
    template = op.disk_template or found.get("disk_template")
    if template in FILE_TEMPLATES and op.file_driver is None:
        found["file_driver"] = "loop"
    given_memory = {"memory", "minmem", "maxmem"} & set(op.beparams)
    backend = {
        name: value
        for name, value in values["backend"].items()
        if name in usual["backend"]
        and name not in op.beparams
        and not (given_memory and name in ("minmem", "maxmem"))
    }
    found["beparams"] = {**backend, **op.beparams}
    hypervisor = {n: v for n, v in values["hypervisor_params"].items() if n in usual["hypervisor_params"]}
    if op.hypervisor is None or op.hypervisor == values["hypervisor"]:
        found["hvparams"] = {**hypervisor, **op.hvparams}
    if op.os_type is None or op.os_type == values["os_type"]:
        found["osparams"] = {**values["os_params"], **op.osparams}
    return found
