"""The page of parameters and constants: names, types, defaults and choices."""

from collections.abc import Mapping
from typing import Any, get_args

from twisted_rapi.model import param_tables as tables
from twisted_rapi.model.kvm_limits import UNSUPPORTED
from twisted_rapi.model.opcodes import words as types
from twisted_rapi.model.params import choices
from twisted_rapi.reference.rst import bullets, code, heading, page, table, title, value

_ABOUT = """\
Parameters are inherited: what the instance (or node, group) does not have of its own comes from its group,
then from the cluster; the value ``default`` removes an own one.  Sizes are MiB, or text with a unit."""
_HEAD = ("Parameter", "Type", "Default", "Choices, limits")


def _rows(defaults: Mapping[str, Any], kinds: Mapping[str, str], about: Mapping[str, str]) -> str:
    return table(
        _HEAD,
        [(code(n), kinds.get(n, "text"), value(d), about.get(n, "")) for n, d in sorted(defaults.items())],
    )


def _about(hypervisor: str) -> dict[str, str]:
    """What else holds for a hypervisor's parameters."""
    found = {name: ", ".join(map(value, allowed)) for name, allowed in choices(hypervisor).items()}
    if hypervisor == "kvm":
        found |= {name: f"{limit.reason}; only its default is well" for name, limit in UNSUPPORTED.items()}
    for name in tables.HV_GLOBAL & set(tables.HV_DEFAULTS[hypervisor]):
        found[name] = "; ".join(filter(None, [found.get(name), "of the whole cluster only"]))
    return found


def _hypervisors() -> list[str]:
    blocks = [heading("Hypervisor parameters", "=")]
    for name, defaults in tables.HV_DEFAULTS.items():
        blocks += [heading(name, "-"), _rows(defaults, tables.HV_TYPES, _about(name))]
    return blocks


def _disks() -> list[str]:
    blocks = [heading("Disk parameters", "=")]
    for name, defaults in tables.DISKPARAMS_DEFAULTS.items():
        kinds = {key: type(d).__name__ for key, d in defaults.items()}
        blocks += [heading(name, "-"), _rows(defaults, kinds, {}) if defaults else "None."]
    return blocks


_CONSTANTS = {
    "Allocation policies of groups": types.AllocPolicy,
    "Disk templates": types.DiskTemplate,
    "Hypervisors": types.HypervisorName,
    "Kinds of storage": types.StorageType,
    "Kinds of tagged objects": types.TagKind,
    "Modes of evacuation": types.EvacMode,
    "Modes of migration": types.MigrationMode,
    "Modes of NICs": types.NicMode,
    "Modes of replacing disks": types.ReplaceMode,
    "What can be queried": types.QueryResource,
}

ERROR_CODES: Mapping[str, str] = {
    "already_exists": "What is to be made is there already",
    "environment_error": "Something around the cluster is not as it must be, such as a bridge on a node",
    "insufficient_resources": "There is no room: memory, disk space, nodes, addresses",
    "internal_error": "The records contradict each other",
    "resolver_error": "A name cannot be resolved",
    "resource_not_unique": "A name or an address is taken",
    "temp_insufficient_resources": "There is no room among what could be had without waiting",
    "unknown_entity": "What is named is not there",
    "wrong_input": "What is asked for cannot be meant",
    "wrong_state": "What is asked for cannot be done in this state",
}
"""What the errors of jobs are told apart by (constants.json ``error_codes``)."""


def parameters() -> str:
    """All parameters that are inherited, and the words that opcodes know."""
    words = [f"{name}: {', '.join(map(code, get_args(kind)))}" for name, kind in _CONSTANTS.items()]
    codes = [(code(name), text) for name, text in ERROR_CODES.items()]
    policy = [(code(name), value(default)) for name, default in tables.IPOLICY_DEFAULTS.items()]
    return page(
        title("Parameters"),
        _ABOUT,
        heading("Backend parameters", "="),
        _rows(tables.BE_DEFAULTS, tables.BE_TYPES, {}),
        *_hypervisors(),
        heading("Node parameters", "="),
        _rows(tables.ND_DEFAULTS, tables.ND_TYPES, {}),
        heading("NIC parameters", "="),
        _rows(tables.NIC_DEFAULTS, {}, {}),
        *_disks(),
        heading("Instance policy", "="),
        table(("Key", "Default"), policy),
        heading("Words", "="),
        bullets(words),
        heading("Codes of errors", "="),
        "The second item of what an ``OpPrereqError`` is told with.",
        table(("Code", "Meaning"), codes),
    )
