"""New NICs, and what disks share with them: from what a client gives to records."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Literal

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NicRecord
from twisted_rapi.plan.condition import answering, primary
from twisted_rapi.plan.view import View

MAX_NICS = 8
NIC_MODES = ("bridged", "routed", "openvswitch", "ext")
SWITCHED = "openvswitch"

AUTO = "auto"
"""Instead of an address: the one of the new instance's name."""

POOL = "pool"
"""Instead of an address: one of the NIC's network is to be chosen."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_VLAN = re.compile(r"(\.[0-9]{1,4})?(:[0-9]{1,4})*", re.ASCII)
_WORD = re.compile(r"[\w.:@/+-]*", re.ASCII)


# Disks.


def disk_mode(value: object) -> Literal["rw", "ro"]:
    """
    An access mode.

    :raises OpPrereqError: ``wrong_input``.
    """
    if value == "rw":
        return "rw"
    if value == "ro":
        return "ro"
    raise prereq(f"Invalid disk access mode '{value}'")


def device_name(value: object) -> str | None:
    """
    The name of a disk or NIC; ``none`` for no name.

    :raises OpPrereqError: ``wrong_input``.
    """
    if value is None or value == "none":
        return None
    if not isinstance(value, str) or not value or len(value) > 128 or not _WORD.fullmatch(value):
        raise prereq(f"Invalid device name {value!r}")
    return value


# NICs.


def _used_macs(view: View) -> set[str]:
    return {nic.mac for i in view.instances.values() for nic in i.nics}


def mac_address(view: View, given: str, taken: Iterable[str], network: str | None = None) -> str:
    """
    The address a client gives, or a new one below the prefix of the network (a uuid) or else the cluster.

    :raises OpPrereqError: ``wrong_input``, ``already_exists`` for one in use.
    """
    used = {*_used_macs(view), *taken}
    if given in ("auto", "generate"):
        own = None if network is None else view.networks[network].mac_prefix
        for _ in range(1000):
            tail = view.chance.getrandbits(24).to_bytes(3, "big").hex(":")
            mac = f"{own or view.cluster.mac_prefix}:{tail}"
            if mac not in used:
                return mac
        raise prereq("Can't generate a unique MAC address", "insufficient_resources")
    mac = given.lower()
    if not _MAC.fullmatch(mac):
        raise prereq(f"Invalid MAC address '{given}'")
    if mac in used:
        raise prereq(f"MAC address {mac} already in use in cluster", "already_exists")
    return mac


def _address(value: str | None, mode: str) -> str | None:
    if value == AUTO:
        raise prereq("Only a new instance whose name is checked gives its address to a NIC")
    if value is None or value == "none":
        if mode == "routed":
            raise prereq("Routed nic mode requires an ip address")
        return None
    try:
        # An address with a zone means something on one machine only, and a zone may be any text.
        return str(ip_address("" if "%" in value else value))
    except ValueError as e:
        raise prereq(f"Invalid IP address '{value}'") from e


def nic_values(view: View, nic: NicRecord, given: Mapping[Any, str | None]) -> NicRecord:
    """
    A NIC with a client's values laid over it, the MAC address aside.

    One in a network has still to be settled in a group (`twisted_rapi.plan.attachment`).

    :raises OpPrereqError: ``wrong_input``, ``unknown_entity``.
    """
    network = _network(view, nic, given)
    if network is not None:
        return _in_network(nic, given, network)
    custom = dict(nic.params) if nic.network is None else {}
    for key in ("mode", "link", "vlan"):
        if given.get(key) is not None:
            custom[key] = str(given[key])
    if given.get("bridge") is not None:
        if custom.get("mode", "bridged") != "bridged":
            raise prereq("Bridge can only be given for bridged NICs")
        custom["link"] = str(given["bridge"])
    custom = params.update(custom, {})
    if custom.get("vlan"):
        custom["vlan"] = vlan(custom["vlan"])
    filled = {**params.cluster_nicparams(view.cluster), **custom}
    check_attachment(filled)
    if custom.get("vlan") and filled["mode"] != SWITCHED:
        raise prereq(f"A VLAN can only be given for NICs of mode {SWITCHED}")
    if given.get("ip") == POOL:
        raise prereq("Only a NIC with a network gets its address from a pool")
    ip = _address(given.get("ip", nic.ip), filled["mode"])
    return replace(nic, network=None, params=custom, ip=ip, name=_nic_name(nic, given))


def check_attachment(filled: Mapping[str, str]) -> None:
    """
    Whether a NIC can be attached with these parameters.

    :raises OpPrereqError: ``wrong_input``.
    """
    if filled["mode"] not in NIC_MODES:
        raise prereq(f"Invalid NIC mode '{filled['mode']}': one of {', '.join(NIC_MODES)}")
    for key in ("link", "vlan"):
        if not _WORD.fullmatch(filled[key]) or len(filled[key]) > 64:
            raise prereq(f"Invalid NIC {key} {filled[key]!r}")
    if filled["mode"] == SWITCHED:
        vlan(filled["vlan"])


def vlan(given: str) -> str:
    """
    A VLAN in its one form: ``.N`` is untagged, ``:N:N`` a trunk, ``.N:N:N`` both; a bare number is untagged.

    :raises OpPrereqError: ``wrong_input``.
    """
    text = f".{given}" if given.isascii() and given.isdigit() else given
    numbers = [int(number) for number in re.split("[.:]", text)[1:]] if _VLAN.fullmatch(text) else [0]
    if not all(0 < number < 4095 for number in numbers):
        raise prereq(f"Invalid VLAN '{given}': .N, :N:N or .N:N:N, of 1 to 4094")
    return text


def _nic_name(nic: NicRecord, given: Mapping[Any, str | None]) -> str | None:
    return device_name(given["name"]) if "name" in given else nic.name


def _network(view: View, nic: NicRecord, given: Mapping[Any, str | None]) -> str | None:
    """The uuid of the network the NIC is to be in."""
    name = given.get("network")
    if name is None:
        return nic.network
    return None if name in ("none", "") else view.network(name).uuid


def _in_network(nic: NicRecord, given: Mapping[Any, str | None], network: str) -> NicRecord:
    if any(given.get(key) is not None for key in ("mode", "link", "vlan", "bridge")):
        raise prereq("If a network is given, its connection decides mode and link: they cannot be passed")
    wanted = given.get("ip", nic.ip)
    ip = POOL if wanted == POOL else _address(wanted, "")
    return replace(nic, network=network, ip=ip, name=_nic_name(nic, given))


def new_nic(view: View, given: Mapping[Any, str | None], taken: Iterable[str] = ()) -> NicRecord:
    """
    A NIC as a client describes it.

    :param taken: MAC addresses that are not in the records yet.
    :raises OpPrereqError: ``wrong_input``, ``already_exists``, ``unknown_entity``.
    """
    nic = nic_values(view, NicRecord(uuid=view.new_uuid(), mac=""), given)
    return replace(nic, mac=mac_address(view, given.get("mac") or "auto", taken, nic.network))


def check_bridges(view: View, instance: InstanceRecord, known: Iterable[NicRecord] = ()) -> None:
    """
    The primary node has the bridges its NICs want.

    :param known: NICs that are as they were: nothing is asked of those.
    :raises OpPrereqError: ``environment_error``.
    """
    node = primary(view, instance)
    there = answering(view, node).bridges
    for nic in instance.nics:
        if nic in known:
            continue
        filled = params.nicparams(view.cluster, nic)
        if filled["mode"] == "bridged" and filled["link"] not in there:
            raise prereq(f"Missing bridges on node {node.name}: {filled['link']}", "environment_error")
