"""Fields of instances (fields.json; order as observed)."""

from typing import Any

import attrs

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NicRecord
from twisted_rapi.plan.fields.base import Field
from twisted_rapi.plan.view import View


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


def oper_state(view: View, instance: InstanceRecord) -> bool | None:
    """Whether it runs on its primary node; not known when that is silent."""
    node = view.nodes[instance.primary_node]
    if node.offline or node.uuid not in view.reports:
        return None
    domain = view.domain(instance)
    return domain is not None and domain.running


def _seen(view: View, instance: InstanceRecord, name: str) -> int | None:
    domain = view.domain(instance)
    return getattr(domain, name) if domain is not None and domain.running else None


def _nics(view: View, instance: InstanceRecord, key: str) -> list[Any]:
    return [params.nicparams(view.cluster, nic)[key] for nic in instance.nics]


def _bridge(view: View, nic: NicRecord) -> str | None:
    filled = params.nicparams(view.cluster, nic)
    return filled["link"] if filled["mode"] == "bridged" else None


def _beparams(view: View, instance: InstanceRecord) -> dict[str, Any]:
    filled = params.beparams(view.cluster, instance)
    order = ("minmem", "maxmem", "vcpus", "auto_balance", "always_failover", "spindle_use")
    return {**{name: filled[name] for name in order}, "memory": filled["maxmem"]}


def _disk_usage(view: View, instance: InstanceRecord) -> int:
    """MiB a disk template takes on nodes, beyond what files do."""
    return (
        0
        if instance.disk_template in ("diskless", "file", "sharedfile")
        else sum(disk.size for disk in instance.disks)
    )


FIELDS = (
    Field("name", "Instance", "text", "Name", lambda v, i: i.name),
    Field("admin_state", "Admin_state", "text", "State it should have", lambda v, i: i.admin_state),
    Field("os", "OS", "text", "OS definition, with its variant", lambda v, i: i.os),
    Field("pnode", "Primary_node", "text", "Primary node", lambda v, i: v.nodes[i.primary_node].name),
    Field(
        "snodes", "Secondary_Nodes", "other", "Secondary nodes",
        lambda v, i: [v.nodes[n].name for n in i.secondary_nodes],
    ),
    Field("disk_template", "Disk_template", "text", "How its disks are kept", lambda v, i: i.disk_template),
    Field("nic.ips", "NIC_IPs", "other", "Addresses of NICs", lambda v, i: [n.ip for n in i.nics]),
    Field("nic.macs", "NIC_MACs", "other", "MAC addresses of NICs", lambda v, i: [n.mac for n in i.nics]),
    Field("nic.modes", "NIC_modes", "other", "Modes of NICs", lambda v, i: _nics(v, i, "mode")),
    Field("nic.uuids", "NIC_UUIDs", "other", "UUIDs of NICs", lambda v, i: [n.uuid for n in i.nics]),
    Field("nic.names", "NIC_names", "other", "Names of NICs", lambda v, i: [n.name for n in i.nics]),
    Field("nic.links", "NIC_links", "other", "Links of NICs", lambda v, i: _nics(v, i, "link")),
    Field("nic.networks", "NIC_networks", "other", "Networks of NICs", lambda v, i: [n.network for n in i.nics]),
    Field(
        "nic.networks.names", "NIC_networks_names", "other", "Names of networks of NICs",
        lambda v, i: [None if n.network is None else v.networks[n.network].name for n in i.nics],
    ),
    Field("nic.bridges", "NIC_bridges", "other", "Bridges of NICs", lambda v, i: [_bridge(v, n) for n in i.nics]),
    Field("network_port", "Network_port", "number", "Port of its console", lambda v, i: i.network_port),
    Field("disk.sizes", "Disk_sizes", "other", "Sizes of disks", lambda v, i: [d.size for d in i.disks]),
    Field("disk.spindles", "Disk_spindles", "other", "Spindles", lambda v, i: [d.spindles for d in i.disks]),
    Field("disk_usage", "DiskUsage", "unit", "Space its disks take on nodes", _disk_usage),
    Field("disk.uuids", "Disk_UUIDs", "other", "UUIDs of disks", lambda v, i: [d.uuid for d in i.disks]),
    Field("disk.names", "Disk_names", "other", "Names of disks", lambda v, i: [d.name for d in i.disks]),
    Field("beparams", "BackendParameters", "other", "Backend parameters, filled in", _beparams),
    Field(
        "hvparams", "HypervisorParameters", "other", "Hypervisor parameters, filled in",
        lambda v, i: params.hvparams(v.cluster, i),
    ),
    Field("oper_state", "Running", "bool", "Whether it runs", oper_state),
    Field("oper_ram", "Memory", "unit", "Memory it has now", lambda v, i: _seen(v, i, "memory")),
    Field("oper_vcpus", "VCPUs", "number", "CPUs it has now", lambda v, i: _seen(v, i, "vcpus")),
    Field("status", "Status", "text", "Its state in one word", status),
    Field("custom_hvparams", "CustomHypervisorParameters", "other", "Own values", lambda v, i: i.hvparams),
    Field("custom_beparams", "CustomBackendParameters", "other", "Own values", lambda v, i: i.beparams),
    Field("custom_nicparams", "CustomNICParameters", "other", "Own values", lambda v, i: [n.params for n in i.nics]),
    Field("ctime", "CTime", "timestamp", "When it was made", lambda v, i: i.ctime),
    Field("mtime", "MTime", "timestamp", "When it was changed last", lambda v, i: i.mtime),
    Field("uuid", "UUID", "text", "UUID", lambda v, i: i.uuid),
    Field("serial_no", "SerialNo", "number", "Counts its changes", lambda v, i: i.serial_no),
    Field("tags", "Tags", "other", "Tags", lambda v, i: sorted(i.tags)),
)  # fmt: skip
