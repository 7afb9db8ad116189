"""Fields of instances (fields.json; order of `BULK` as observed)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from twisted_rapi.model import param_tables as tables
from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NicRecord
from twisted_rapi.plan.console import console_of
from twisted_rapi.plan.disks import usage
from twisted_rapi.plan.fields.base import STAMPS, Field, Getter, Kind, Missing, of_params, select
from twisted_rapi.plan.view import View

MOST_DISKS, MOST_NICS = 16, 8


def status(view: View, instance: InstanceRecord) -> str:
    """The status in one word (constants.json ``instance_status``, tests in its order)."""
    node = view.nodes[instance.primary_node]
    if node.offline:
        return "ERROR_nodeoffline"
    if node.uuid not in view.reports:
        return "ERROR_nodedown"
    domain = view.domain(instance)
    running = domain is not None and domain.running
    if not running and _elsewhere(view, instance):
        return "ERROR_wrongnode"
    if running:
        return "running" if instance.admin_state == "up" else "ERROR_up"
    if instance.admin_state == "up":
        return "ERROR_down"
    return "ADMIN_offline" if instance.admin_state == "offline" else "ADMIN_down"


def _elsewhere(view: View, instance: InstanceRecord) -> bool:
    if view.strays is not None:
        return instance.uuid in view.strays
    return any(
        (domain := report.domains.get(instance.name)) is not None
        and uuid != instance.primary_node
        and domain.uuid == instance.uuid
        and domain.running
        for uuid, report in view.reports.items()
    )


def with_strays(view: View) -> View:
    """
    The view, with the instances that run where they should not looked for once.

    It makes `status` cheap for many instances, as what all nodes report is gone through here.
    """
    found = [
        domain.uuid
        for node, report in view.reports.items()
        for domain in report.domains.values()
        if domain.running
        and (instance := view.instances.get(domain.uuid)) is not None
        and instance.primary_node != node
        and instance.name == domain.name
    ]
    return attrs.evolve(view, strays=frozenset(found))


def _unseen(view: View, instance: InstanceRecord) -> Missing | None:
    """Why nothing is seen of it, if its node tells nothing."""
    if view.nodes[instance.primary_node].offline:
        return Missing.OFFLINE
    return None if instance.primary_node in view.reports else Missing.NODATA


def oper_state(view: View, instance: InstanceRecord) -> bool | None:
    """Whether it runs on its primary node; not known when that is silent."""
    found = _oper_state(view, instance)
    return None if isinstance(found, Missing) else found


def _oper_state(view: View, instance: InstanceRecord) -> bool | Missing:
    unseen = _unseen(view, instance)
    if unseen is not None:
        return unseen
    domain = view.domain(instance)
    return domain is not None and domain.running


def _seen(name: str) -> Getter:
    def get(view: View, instance: InstanceRecord) -> Any:
        unseen = _unseen(view, instance)
        if unseen is not None:
            return unseen
        domain = view.domain(instance)
        return getattr(domain, name) if domain is not None and domain.running else Missing.UNAVAIL

    return get


def _console(view: View, instance: InstanceRecord) -> Any:
    return _unseen(view, instance) or console_of(view, instance)


def _beparams(view: View, instance: InstanceRecord) -> dict[str, Any]:
    filled = params.beparams(view.cluster, instance)
    order = ("minmem", "maxmem", "vcpus", "auto_balance", "always_failover", "spindle_use")
    return {**{name: filled[name] for name in order}, "memory": filled["maxmem"]}


def _backend(view: View, instance: InstanceRecord) -> Mapping[str, Any]:
    filled = params.beparams(view.cluster, instance)
    return {**filled, "memory": filled["maxmem"], "spindle_usage": filled["spindle_use"]}


def _hvparams(view: View, instance: InstanceRecord) -> Mapping[str, Any]:
    return params.hvparams(view.cluster, instance)


def _disk_usage(view: View, instance: InstanceRecord) -> int:
    """MiB its disks take, with what mirroring adds."""
    return usage(instance.disk_template, instance.disks)


# Of each NIC and each disk.

OfNic = Callable[[View, NicRecord], Any]


def _filled(key: str) -> OfNic:
    return lambda view, nic: params.nicparams(view.cluster, nic)[key]


def _bridge(view: View, nic: NicRecord) -> str | None:
    filled = params.nicparams(view.cluster, nic)
    return filled["link"] if filled["mode"] == "bridged" else None


def _vlan(view: View, nic: NicRecord) -> str | None:
    filled = params.nicparams(view.cluster, nic)
    return filled["vlan"] if filled["mode"] == "openvswitch" else None


def _network_name(view: View, nic: NicRecord) -> str | None:
    network = None if nic.network is None else view.networks.get(nic.network)
    return None if network is None else network.name


_OF_NICS: tuple[tuple[str, str, str, str, str, OfNic], ...] = (
    # name of one, of all, titles of both, what it is
    ("nic.bridge", "nic.bridges", "NicBridge", "NIC_bridges", "Bridge", _bridge),
    ("nic.ip", "nic.ips", "NicIP", "NIC_IPs", "Address", lambda v, n: n.ip),
    ("nic.link", "nic.links", "NicLink", "NIC_links", "Link", _filled("link")),
    ("nic.mac", "nic.macs", "NicMAC", "NIC_MACs", "MAC address", lambda v, n: n.mac),
    ("nic.mode", "nic.modes", "NicMode", "NIC_modes", "Mode", _filled("mode")),
    ("nic.name", "nic.names", "NicName", "NIC_Names", "Name", lambda v, n: n.name),
    ("nic.network.name", "nic.networks.names", "NicNetworkName", "NIC_networks_names", "Name of the network", _network_name),
    ("nic.network", "nic.networks", "NicNetwork", "NIC_networks", "UUID of the network", lambda v, n: n.network),
    ("nic.uuid", "nic.uuids", "NicUUID", "NIC_UUIDs", "UUID", lambda v, n: n.uuid),
    ("nic.vlan", "nic.vlans", "NicVLAN", "NIC_VLANs", "VLAN", _vlan),
)  # fmt: skip

_OF_DISKS: tuple[tuple[str, str, str, str, Kind, str], ...] = (
    ("name", "disk.names", "DiskName", "Disk_names", "text", "Name"),
    ("size", "disk.sizes", "Disk", "Disk_sizes", "unit", "Size"),
    ("spindles", "disk.spindles", "DiskSpindles", "Disk_spindles", "number", "Spindles"),
    ("uuid", "disk.uuids", "DiskUUID", "Disk_UUIDs", "text", "UUID"),
)


def _of_nic(get: OfNic, n: int) -> Getter:
    return lambda view, i: get(view, i.nics[n]) if n < len(i.nics) else Missing.UNAVAIL


def _of_all_nics(get: OfNic) -> Getter:
    return lambda view, i: [get(view, nic) for nic in i.nics]


def _of_disk(name: str, n: int) -> Getter:
    return lambda view, i: getattr(i.disks[n], name) if n < len(i.disks) else Missing.UNAVAIL


def _of_all_disks(name: str) -> Getter:
    return lambda view, i: [getattr(disk, name) for disk in i.disks]


def _of_devices() -> Iterator[Field]:
    for one, every, title, titles, what, get in _OF_NICS:
        yield Field(every, titles, "other", f"{what} of each NIC", _of_all_nics(get))
        for n in range(MOST_NICS):
            yield Field(f"{one}/{n}", f"{title}/{n}", "text", f"{what} of NIC {n}", _of_nic(get, n))
    for name, every, title, titles, kind, what in _OF_DISKS:
        yield Field(every, titles, "other", f"{what} of each disk", _of_all_disks(name))
        for n in range(MOST_DISKS):
            yield Field(f"disk.{name}/{n}", f"{title}/{n}", kind, f"{what} of disk {n}", _of_disk(name, n))


# Parameters.

_KINDS: dict[str, Kind] = {"bool": "bool", "int": "number", "size": "unit"}
_BE_KINDS: dict[str, Kind] = {name: _KINDS[kind] for name, kind in tables.BE_TYPES.items()}
_BE_TITLES = {
    "auto_balance": "Auto_balance",
    "maxmem": "ConfigMaxMem",
    "memory": "ConfigMaxMem",
    "minmem": "ConfigMinMem",
    "vcpus": "ConfigVCPUs",
}
_HV_KINDS: dict[str, Kind] = {
    name: _KINDS.get(kind, "other")
    for name, kind in tables.HV_TYPES.items()
    if name not in tables.HV_GLOBAL and name != "xen_cmd"
}
_HV_TITLES = {
    "acpi": "ACPI",
    "boot_order": "Boot_order",
    "cdrom_image_path": "CDROM_image_path",
    "cpu_type": "cpu_type",
    "disk_type": "Disk_type",
    "initrd_path": "Initrd_path",
    "kernel_path": "Kernel_path",
    "nic_type": "NIC_type",
    "pae": "PAE",
    "pci_pass": "pci_pass",
    "vnc_bind_address": "VNC_bind_address",
}

_OF_PARAMS = (
    *of_params("be", {**_BE_KINDS, "memory": "unit", "spindle_usage": "number"}, _BE_TITLES, _backend),
    *of_params("hv", _HV_KINDS, _HV_TITLES, _hvparams),
)

_OWN = (
    Field("name", "Instance", "text", "Name", lambda v, i: i.name, "host"),
    Field("admin_state", "InstanceState", "text", "State it should have: up, down or offline", lambda v, i: i.admin_state),
    Field("admin_state_source", "InstanceStateSource", "text", "Who set that state: admin or user", lambda v, i: i.admin_state_source),
    Field("admin_up", "Autostart", "bool", "Whether it should run", lambda v, i: i.admin_state == "up"),
    Field("os", "OS", "text", "OS definition, with its variant", lambda v, i: i.os),
    Field("hypervisor", "Hypervisor", "text", "Hypervisor it runs under", lambda v, i: i.hypervisor),
    Field("pnode", "Primary_node", "text", "Primary node", lambda v, i: v.nodes[i.primary_node].name, "host"),
    Field("pnode.group", "PrimaryNodeGroup", "text", "Group of its primary node", lambda v, i: v.groups[v.nodes[i.primary_node].group].name),
    Field("pnode.group.uuid", "PrimaryNodeGroupUUID", "text", "UUID of that group", lambda v, i: v.nodes[i.primary_node].group),
    Field("snodes", "Secondary_Nodes", "other", "Secondary nodes", lambda v, i: [v.nodes[n].name for n in i.secondary_nodes]),
    Field("snodes.group", "SecondaryNodesGroups", "other", "Groups of its secondary nodes", lambda v, i: [v.groups[v.nodes[n].group].name for n in i.secondary_nodes]),
    Field("snodes.group.uuid", "SecondaryNodesGroupsUUID", "other", "UUIDs of those groups", lambda v, i: [v.nodes[n].group for n in i.secondary_nodes]),
    Field("disk_template", "Disk_template", "text", "How its disks are kept", lambda v, i: i.disk_template),
    Field("disks_active", "DisksActive", "bool", "Whether its disks should be in use", lambda v, i: i.disks_active),
    Field("forthcoming", "Forthcoming", "bool", "Whether it only keeps its place", lambda v, i: i.forthcoming),
    Field("network_port", "Network_port", "other", "Port of its console", lambda v, i: i.network_port),
    Field("nic.count", "NICs", "number", "How many NICs it has", lambda v, i: len(i.nics)),
    Field("disk.count", "Disks", "number", "How many disks it has", lambda v, i: len(i.disks)),
    Field("disk_usage", "DiskUsage", "unit", "Space its disks take on nodes", _disk_usage),
    Field("beparams", "BackendParameters", "other", "Backend parameters, filled in", _beparams),
    Field("hvparams", "HypervisorParameters", "other", "Hypervisor parameters, filled in", _hvparams),
    Field("osparams", "OpSysParameters", "other", "OS parameters, filled in", lambda v, i: params.osparams(v.cluster, i)),
    Field("oper_state", "Running", "bool", "Whether it runs", _oper_state),
    Field("oper_ram", "Memory", "unit", "Memory it has now", _seen("memory")),
    Field("oper_vcpus", "VCPUs", "number", "CPUs it has now", _seen("vcpus")),
    Field("status", "Status", "text", "Its state in one word", status),
    Field("console", "Console", "other", "How to reach its console", _console),
    Field("custom_hvparams", "CustomHypervisorParameters", "other", "Own hypervisor parameters", lambda v, i: i.hvparams),
    Field("custom_beparams", "CustomBackendParameters", "other", "Own backend parameters", lambda v, i: i.beparams),
    Field("custom_nicparams", "CustomNicParameters", "other", "Own parameters of each NIC", lambda v, i: [n.params for n in i.nics]),
    Field("custom_osparams", "CustomOpSysParameters", "other", "Own OS parameters", lambda v, i: i.osparams),
    *STAMPS,
)  # fmt: skip

_TABLE = {field.name: field for field in (*_OWN, *_of_devices(), *_OF_PARAMS)}

_ALIASES = {
    "bridge": "nic.bridge/0",
    "ip": "nic.ip/0",
    "mac": "nic.mac/0",
    "nic_link": "nic.link/0",
    "nic_mode": "nic.mode/0",
    "nic_network": "nic.network/0",
    "sda_size": "disk.size/0",
    "sdb_size": "disk.size/1",
    "vcpus": "be/vcpus",
}


def _alias(name: str, of: Field) -> Field:
    return Field(name, of.title, of.kind, f"Older name of {of.name}", of.get)


TABLE = (*_TABLE.values(), *(_alias(name, _TABLE[of]) for name, of in _ALIASES.items()))

BULK = select(
    TABLE,
    "name admin_state os pnode snodes disk_template nic.ips nic.macs nic.modes nic.uuids nic.names nic.links"
    " nic.networks nic.networks.names nic.bridges network_port disk.sizes disk.spindles disk_usage disk.uuids"
    " disk.names beparams hvparams oper_state oper_ram oper_vcpus status custom_hvparams custom_beparams"
    " custom_nicparams ctime mtime uuid serial_no tags",
)
