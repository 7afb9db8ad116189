"""Fields of networks (fields.json ``NET_FIELDS``; order as observed)."""

from typing import Any

from twisted_rapi.model.records import NetworkRecord
from twisted_rapi.plan.fields.base import Field, natural
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


FIELDS = (
    Field("name", "Network", "text", "Name", lambda v, n: n.name),
    Field("network", "Subnet", "text", "IPv4 subnet", lambda v, n: n.network),
    Field("gateway", "Gateway", "other", "IPv4 gateway", lambda v, n: n.gateway),
    Field("network6", "IPv6Subnet", "other", "IPv6 subnet", lambda v, n: n.network6),
    Field("gateway6", "IPv6Gateway", "other", "IPv6 gateway", lambda v, n: n.gateway6),
    Field("mac_prefix", "MacPrefix", "other", "MAC address prefix", lambda v, n: n.mac_prefix),
    Field("free_count", "FreeCount", "number", "Number of available addresses", _pool("free_count")),
    Field("reserved_count", "ReservedCount", "number", "Number of reserved addresses", _pool("reserved_count")),
    Field("map", "Map", "text", "Actual mapping", _pool("map")),
    Field("group_list", "GroupList", "other", "Its groups: name, mode, link, vlan", groups),
    Field("inst_list", "InstanceList", "other", "Its instances", instances),
    Field(
        "external_reservations", "ExternalReservations", "text", "Addresses kept from instances",
        lambda v, n: ", ".join(pool(v, n).kept),
    ),
    Field("ctime", "CTime", "timestamp", "When it was made", lambda v, n: n.ctime),
    Field("mtime", "MTime", "timestamp", "When it was changed last", lambda v, n: n.mtime),
    Field("uuid", "UUID", "text", "UUID", lambda v, n: n.uuid),
    Field("serial_no", "SerialNo", "number", "Counts its changes", lambda v, n: n.serial_no),
    Field("tags", "Tags", "other", "Tags", lambda v, n: sorted(n.tags)),
)  # fmt: skip
