"""
Parameters that cluster, groups and nodes may have, as a client gives them: checked, and merged.

Keys and types are those of constants.json (``ndparams``, ``diskparams``, ``ipolicy``, ``hv_state``,
``disk_state``).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from twisted_rapi.errors import TypeEnforcementError, prereq
from twisted_rapi.model import param_tables as tables
from twisted_rapi.model.params import DEFAULT, MOST, enforce, update
from twisted_rapi.model.records import Params

ISPECS = ("memory-size", "disk-size", "disk-count", "cpu-count", "nic-count", "spindle-use")
_RATIOS = ("vcpu-ratio", "spindle-ratio")
_ISPEC_TYPES = {name: "size" if name.endswith("-size") else "int" for name in ISPECS}
_DISK_TYPES = {bool: "bool", int: "int", str: "string"}
_DISK_CHOICES = {
    "access": ("kernelspace", "userspace"),
    "protocol": ("A", "B", "C"),
    "disk-barriers": ("n", "b", "f", "d", "bf", "bd", "fd", "bfd"),
}


# Node parameters.


def check_nd(values: Mapping[str, Any], level: str = "group") -> Params:
    """
    Node parameters; ``"default"`` is kept.

    :param level: ``node`` refuses those that only groups and the cluster have.
    :raises TypeEnforcementError: see `twisted_rapi.model.params.enforce`.
    :raises OpPrereqError: ``wrong_input``.
    """
    given = enforce(values, tables.ND_TYPES, allow_default=True)
    if level == "node" and "exclusive_storage" in given:
        raise prereq("Node parameter 'exclusive_storage' can only be set for a group or the cluster")
    for name, least, most in (("spindle_count", 0, MOST), ("ssh_port", 1, 65535), ("cpu_speed", 0, MOST)):
        if name in given and given[name] != DEFAULT and not least <= given[name] <= most:
            raise prereq(f"Node parameter '{name}' (value {given[name]}) is out of range")
    return given


# Disk parameters.


def check_disk(values: Mapping[Any, Mapping[str, Any]]) -> dict[str, Params]:
    """
    Disk parameters by template; ``"default"`` is kept.

    :raises TypeEnforcementError: a template or one of its parameters is unknown, or a value of another type.
    :raises OpPrereqError: ``wrong_input``: a value is none of those a parameter may have.
    """
    found = {}
    for template, given in values.items():
        if template not in tables.DISKPARAMS_DEFAULTS:
            raise TypeEnforcementError(f"Unknown disk template '{template}'")
        types = {n: _DISK_TYPES[type(v)] for n, v in tables.DISKPARAMS_DEFAULTS[template].items()}
        if template == "rbd":
            types["user-id"] = "string"
        found[template] = enforce(given, types, allow_default=True)
        for name, value in found[template].items():
            _check_choice(template, name, value)
    return found


def _check_choice(template: str, name: str, value: Any) -> None:
    if value == DEFAULT:
        return
    choices = _DISK_CHOICES.get(name)
    if choices is not None and value not in choices:
        raise prereq(f"Disk parameter {template}/{name}: '{value}' is not one of {', '.join(choices)}")
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        raise prereq(f"Disk parameter {template}/{name} (value {value}) is out of range")


def update_disk(custom: Mapping[str, Params], change: Mapping[str, Params]) -> dict[str, Params]:
    """Custom disk parameters after a change; templates that were named stay, be they empty (as observed)."""
    return {t: update(custom.get(t, {}), change.get(t, {})) for t in {**custom, **change}}


# Instance policies.


def _ispec(values: object, where: str) -> Params:
    if not isinstance(values, dict):
        raise prereq(f"Instance policy: {where} must be an object")
    found = enforce(values, _ISPEC_TYPES)
    missing = [name for name in ISPECS if name not in found]
    if missing:
        raise prereq(f"Instance policy: {where} lacks {', '.join(missing)}")
    for name in ISPECS:
        if found[name] < 0:
            raise prereq(f"Instance policy: {name} of {where} is below zero")
    return {name: found[name] for name in ISPECS}


def _minmax(value: object) -> list[dict[str, Params]]:
    if not isinstance(value, list) or not value:
        raise prereq("Instance policy: minmax must be a list of ranges")
    found = []
    for entry in value:
        if not isinstance(entry, dict) or set(entry) != {"min", "max"}:
            raise prereq("Instance policy: each range of minmax has a min and a max")
        bounds = {end: _ispec(entry[end], end) for end in ("min", "max")}
        for name in ISPECS:
            if bounds["min"][name] > bounds["max"][name]:
                raise prereq(
                    f"Instance policy: min of {name} ({bounds['min'][name]}) is more than "
                    f"its max ({bounds['max'][name]})"
                )
        found.append(bounds)
    return found


def _templates(value: object, enabled: Iterable[str]) -> list[str]:
    if not isinstance(value, list) or not value:
        raise prereq("Instance policy: disk-templates must be a list of at least one template")
    unknown = [t for t in value if not isinstance(t, str) or t not in tables.DISKPARAMS_DEFAULTS]
    if unknown:
        raise prereq(f"Instance policy: unknown disk template {unknown[0]!r}")
    barred = sorted(set(value) - set(enabled))
    if barred:
        raise prereq(
            f"Instance policy: these disk templates are not enabled in the cluster: {', '.join(barred)}"
        )
    return list(dict.fromkeys(value))


def _ratio(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MOST:
        raise prereq(f"Instance policy: {name} must be a number above zero")
    return int(value) if float(value).is_integer() else value


def check_ipolicy(values: Mapping[str, Any], enabled: Iterable[str], whole: bool = False) -> Params:
    """
    An instance policy as given; ``"default"`` is kept for a group.

    :param enabled: the disk templates that may be used.
    :param whole: it is the cluster's, which has ``std`` and nothing to fall back to.
    :raises OpPrereqError: ``wrong_input``.
    :raises TypeEnforcementError: a size is none, or what it is about is unknown.
    """
    found: Params = {}
    for name, value in values.items():
        if value == DEFAULT and not whole:
            found[name] = value
        elif name == "minmax":
            found[name] = _minmax(value)
        elif name == "std" and whole:
            found[name] = _ispec(value, name)
        elif name == "disk-templates":
            found[name] = _templates(value, enabled)
        elif name in _RATIOS:
            found[name] = _ratio(name, value)
        else:
            raise prereq(f"Invalid keys in an instance policy: {name}")
    unknown = set(found) - {"minmax", "std", "disk-templates", *_RATIOS}
    if unknown:
        raise prereq(f"Invalid keys in an instance policy: {', '.join(sorted(unknown))}")
    return found


def judge_std(filled: Mapping[str, Any]) -> None:
    """
    Whether a whole policy's ``std`` lies within each of its ranges.

    :raises OpPrereqError: ``wrong_input``.
    """
    for bounds in filled["minmax"]:
        for name in ISPECS:
            value = filled["std"][name]
            if not bounds["min"][name] <= value <= bounds["max"][name]:
                raise prereq(
                    f"Instance policy: std of {name} ({value}) is not within "
                    f"[{bounds['min'][name]}, {bounds['max'][name]}]"
                )


# Declared states.

_HV_STATE = ("cpu_node", "cpu_total", "mem_hv", "mem_inst", "mem_node", "mem_total")
_DISK_STATE = ("disk_overhead", "disk_reserved", "disk_total")


def check_hv_state(values: Mapping[str, Any], enabled: Iterable[str]) -> Params:
    """
    Declared use by hypervisors; kept, and used by nothing (behaviour.md §14).

    :raises OpPrereqError: ``wrong_input``: a hypervisor is not enabled.
    :raises TypeEnforcementError: a value is none.
    """
    barred = sorted(set(values) - set(enabled))
    if barred:
        raise prereq(f"Hypervisor(s) not enabled in the cluster: {', '.join(barred)}")
    return {hv: _declared(given, _HV_STATE) for hv, given in values.items()}


def check_disk_state(values: Mapping[str, Any]) -> Params:
    """
    Declared use of storage units, by storage type and name; kept, and used by nothing.

    :raises OpPrereqError: ``wrong_input``: another type than ``plain``.
    :raises TypeEnforcementError: a value is none.
    """
    barred = sorted(set(values) - {"plain"})
    if barred:
        raise prereq(f"Disk state can only be declared for plain storage, not {', '.join(barred)}")
    found: Params = {}
    for kind, units in values.items():
        if not isinstance(units, dict):
            raise TypeEnforcementError(f"'{kind}' must be an object of storage units")
        found[kind] = {name: _declared(given, _DISK_STATE) for name, given in units.items()}
    return found


def _declared(given: object, names: Iterable[str]) -> Params:
    if not isinstance(given, dict):
        raise TypeEnforcementError("A declared state must be an object")
    return enforce(given, dict.fromkeys(names, "int"))
