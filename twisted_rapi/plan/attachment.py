"""NICs in networks: how they are attached, and which address they get (texts as observed)."""

from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.address_pool import AddressPool
from twisted_rapi.model.records import GroupRecord, InstanceRecord, NetworkRecord, NicRecord
from twisted_rapi.plan import devices
from twisted_rapi.plan.networks import pool
from twisted_rapi.plan.view import View


def settled(
    view: View,
    group: GroupRecord,
    nic: NicRecord,
    index: int,
    others: Iterable[NicRecord],
    owner: str = "",
    check: bool = True,
) -> NicRecord:
    """
    The NIC as it is in this group: attached as the group connects its network, with an address of its own.

    :param others: the other NICs of its instance.
    :param owner: uuid of its instance, whose addresses in the records do not count.
    :param check: addresses that are kept from instances, or are a connected network's, are refused.
    :raises OpPrereqError: the network is not connected to the group, or has no such address to give.
    """
    if nic.network is None:
        if check and nic.ip is not None:
            _check_stranger(view, group, nic.ip)
        return nic
    network = view.networks[nic.network]
    if network.uuid not in group.networks:
        raise prereq(f"Network {network.name} is not connected to node group {group.name}")
    attached = dict(group.networks[network.uuid])
    devices.check_attachment({**params.cluster_nicparams(view.cluster), **attached})
    taken = {other.ip for other in others if other.network == network.uuid and other.ip is not None}
    ip = _address(pool(view, network, without=owner), nic.ip, taken, index, check)
    if ip is None and attached["mode"] == "routed":
        raise prereq("Routed nic mode requires an ip address")
    return replace(nic, params=attached, ip=ip)


def followed(view: View, instance: InstanceRecord) -> InstanceRecord:
    """
    An instance whose primary node may be in another group, its NICs attached as that one connects networks.

    One in a network that the group is not connected to stays as it was.
    """
    connected = view.groups[view.nodes[instance.primary_node].group].networks
    nics = tuple(
        nic if nic.network not in connected else replace(nic, params=dict(connected[nic.network]))
        for nic in instance.nics
    )
    return instance if nics == instance.nics else replace(instance, nics=nics)


def _check_stranger(view: View, group: GroupRecord, ip: str) -> None:
    """An address of a network that the group is connected to goes with a NIC in that network only."""
    for uuid in group.networks:
        network = view.networks[uuid]
        if any(ip_address(ip) in ip_network(n) for n in (network.network, network.network6) if n):
            raise prereq(
                f"IP address {ip} is one of network {network.name}, which the NIC is not in",
                "wrong_state",
            )


def _address(
    free: AddressPool, ip: str | None, taken: Collection[str], index: int, check: bool
) -> str | None:
    network = free.network
    if ip == devices.POOL:
        chosen = free.first_free(taken)
        if chosen is None:
            raise prereq(f"Network {network.name} has no free IP address for NIC {index}", "wrong_state")
        return chosen
    if ip is None:
        return None
    inside = any(ip_address(ip) in ip_network(n) for n in (network.network, network.network6) if n)
    if not inside or ip in free.used or ip in taken or (check and free.keeps(ip)):
        raise prereq(
            f"IP address {ip} is in use, reserved, or not one of network {network.name}", "already_exists"
        )
    return ip


def attach_all(view: View, group: GroupRecord, instance: InstanceRecord, check: bool) -> InstanceRecord:
    """
    A new instance with all its NICs settled.

    :raises OpPrereqError: see `settled`.
    """
    nics: list[NicRecord] = []
    for n, nic in enumerate(instance.nics):
        # Addresses that are given come before ones that are chosen: nobody is to be given a later one's.
        others = [*nics, *(other for other in instance.nics[n + 1 :] if other.ip != devices.POOL)]
        nics.append(settled(view, group, nic, n, others, check=check))
    return replace(instance, nics=tuple(nics))


def announced(view: View, instance: InstanceRecord, asked: Iterable[str | None]) -> list[str]:
    """
    What is told of the NICs of a new instance.

    :param asked: the address that was asked for, of each.
    """
    log = []
    for n, (nic, ip) in enumerate(zip(instance.nics, asked, strict=True)):
        if nic.network is not None:
            inherited = [nic.params[key] for key in ("link", "mode", "vlan")]
            log.append(f" - INFO: NIC/{n} inherits netparams {inherited}")
            if ip == devices.POOL:
                log.append(f" - INFO: Chose IP {nic.ip} from network {_name(view, nic)}")
    return log


def _name(view: View, nic: NicRecord) -> str:
    assert nic.network is not None
    return view.networks[nic.network].name


def described(network: NetworkRecord) -> dict[str, str | list[str]]:
    """What a node's scripts are told of a network, only what it has."""
    values: dict[str, str | list[str] | None] = {
        "name": network.name,
        "uuid": network.uuid,
        "subnet": network.network,
        "gateway": network.gateway,
        "subnet6": network.network6,
        "gateway6": network.gateway6,
        "mac_prefix": network.mac_prefix,
        "tags": list(network.tags),
    }
    return {name: value for name, value in values.items() if value is not None}
