"""Fields of networks (fields.json; order of `BULK` as observed)."""

from typing import Any

from twisted_rapi.model.records import NetworkRecord
from twisted_rapi.plan.fields.base import STAMPS, Field, natural, select
from twisted_rapi.plan.networks import connected_groups, pool
from twisted_rapi.plan.view import View


def groups(view: View, network: NetworkRecord) -> list[list[str]]:
    """The groups it is connected to: name, mode, link and vlan of each."""
    found = []
    for group in connected_groups(view, network):
        params = group.networks[network.uuid]
        found.append([group.name, params["mode"], params["link"], params["vlan"]])
    return found


def instances(view: View, network: NetworkRecord) -> list[str]:
    """The instances with a NIC in it."""
    found = (
        instance.name
        for instance in view.instances.values()
        if instance.pending is None and any(nic.network == network.uuid for nic in instance.nics)
    )
    return sorted(found, key=natural)


def _pool(name: str) -> Any:
    return lambda view, network: getattr(pool(view, network), name)


TABLE = (
    Field("name", "Network", "text", "Name", lambda v, n: n.name),
    Field("network", "Subnet", "text", "IPv4 network", lambda v, n: n.network),
    Field("gateway", "Gateway", "other", "IPv4 gateway", lambda v, n: n.gateway),
    Field("network6", "IPv6Subnet", "other", "IPv6 network", lambda v, n: n.network6),
    Field("gateway6", "IPv6Gateway", "other", "IPv6 gateway", lambda v, n: n.gateway6),
    Field("mac_prefix", "MacPrefix", "other", "Of the MAC addresses of its NICs", lambda v, n: n.mac_prefix),
    Field("free_count", "FreeCount", "number", "How many addresses are free", _pool("free_count")),
    Field("reserved_count", "ReservedCount", "number", "How many addresses are not free", _pool("reserved_count")),
    Field("map", "Map", "text", "A character an address: X not free, . free", _pool("map")),
    Field("group_cnt", "NodeGroups", "number", "How many groups it is connected to", lambda v, n: len(groups(v, n))),
    Field("group_list", "GroupList", "other", "Groups it is connected to: name, mode, link, VLAN", groups),
    Field("inst_cnt", "Instances", "number", "How many instances have a NIC in it", lambda v, n: len(instances(v, n))),
    Field("inst_list", "InstanceList", "other", "Instances that have a NIC in it", instances),
    Field("external_reservations", "ExternalReservations", "text", "Addresses kept from instances", lambda v, n: ", ".join(pool(v, n).kept)),
    *STAMPS,
)  # fmt: skip

BULK = select(
    TABLE,
    "name network gateway network6 gateway6 mac_prefix free_count reserved_count map group_list inst_list"
    " external_reservations ctime mtime uuid serial_no tags",
)
