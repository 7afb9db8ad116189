"""What hooks are told of objects (behaviour.md §9); names without the prefix ``GANETI_``."""

from collections.abc import Iterator, Mapping
from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NetworkRecord, NicRecord, Params
from twisted_rapi.plan.view import View

Values = dict[str, Any]


def text(value: Any) -> str:
    """A value as a script gets it."""
    if value is None:
        return ""
    return " ".join(map(text, value)) if isinstance(value, (list, tuple)) else str(value)


def node_name(view: View, uuid: str) -> str:
    """A node's name; empty for one that is gone."""
    return view.nodes[uuid].name if uuid in view.nodes else ""


def of_instance(view: View, instance: InstanceRecord) -> Values:
    """Everything about an instance."""
    be = params.beparams(view.cluster, instance)
    return {
        "INSTANCE_NAME": instance.name,
        "INSTANCE_PRIMARY": node_name(view, instance.primary_node),
        "INSTANCE_SECONDARIES": [node_name(view, uuid) for uuid in instance.secondary_nodes],
        "INSTANCE_OS_TYPE": instance.os,
        "INSTANCE_STATUS": instance.admin_state,
        "INSTANCE_MINMEM": be["minmem"],
        "INSTANCE_MAXMEM": be["maxmem"],
        "INSTANCE_MEMORY": be["maxmem"],
        "INSTANCE_VCPUS": be["vcpus"],
        "INSTANCE_DISK_TEMPLATE": instance.disk_template,
        "INSTANCE_HYPERVISOR": instance.hypervisor,
        "INSTANCE_TAGS": sorted(instance.tags),
        "INSTANCE_NIC_COUNT": len(instance.nics),
        **{
            f"INSTANCE_NIC{n}_{name}": value
            for n, nic in enumerate(instance.nics)
            for name, value in _nic(view, instance, nic).items()
        },
        "INSTANCE_DISK_COUNT": len(instance.disks),
        **{
            f"INSTANCE_DISK{n}_{name}": value
            for n, disk in enumerate(instance.disks)
            for name, value in (
                ("SIZE", disk.size),
                ("MODE", disk.mode),
                ("NAME", disk.name),
                ("UUID", disk.uuid),
            )
        },
        **{f"INSTANCE_BE_{name}": value for name, value in be.items()},
        **{f"INSTANCE_HV_{name}": value for name, value in params.hvparams(view.cluster, instance).items()},
    }


def _nic(view: View, instance: InstanceRecord, nic: NicRecord) -> Values:
    filled: Params = dict(params.nicparams(view.cluster, nic))
    network = view.networks.get(nic.network or "")
    if network is not None and instance.primary_node in view.nodes:
        group = view.groups[view.nodes[instance.primary_node].group]
        filled |= group.networks.get(network.uuid, {})
    found = {
        "NAME": nic.name,
        "UUID": nic.uuid,
        "IP": nic.ip,
        "MAC": nic.mac,
        "MODE": filled["mode"],
        "LINK": filled["link"],
        "VLAN": filled.get("vlan", ""),
    }
    if filled["mode"] == "bridged":
        found["BRIDGE"] = filled["link"]
    return found if network is None else {**found, **of_network(network)}


def of_network(network: NetworkRecord) -> Values:
    """Everything about a network; what it does not have is left out."""
    found = {
        "NETWORK_NAME": network.name,
        "NETWORK_UUID": network.uuid,
        "NETWORK_SUBNET": network.network,
        "NETWORK_GATEWAY": network.gateway,
        "NETWORK_SUBNET6": network.network6,
        "NETWORK_GATEWAY6": network.gateway6,
        "NETWORK_MAC_PREFIX": network.mac_prefix,
        "NETWORK_TAGS": sorted(network.tags),
    }
    return {name: value for name, value in found.items() if value}


def of_opcode(op: Any, names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Parameters of an opcode under the names hooks know them by: variable -> parameter."""
    for variable, parameter in names.items():
        yield variable, getattr(op, parameter)
