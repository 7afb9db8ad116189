"""The opcodes about networks (texts as observed)."""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from twisted_rapi.errors import JobError, OpExecError, prereq
from twisted_rapi.model import address_pool
from twisted_rapi.model.address_pool import AddressPool, AddressRefused
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import network as opcodes
from twisted_rapi.model.records import GroupRecord, InstanceRecord, NetworkRecord, NicRecord, name_key
from twisted_rapi.plan.condition import changed
from twisted_rapi.plan.naming import mac_prefix, merged_tags
from twisted_rapi.plan.renaming import new_name, renamed
from twisted_rapi.plan.stage import Finish, Progress, Stage
from twisted_rapi.plan.view import View


def pool(view: View, network: NetworkRecord, without: str = "") -> AddressPool:
    """
    The addresses of a network, with those that instances have.

    :param without: uuid of an instance whose addresses do not count.
    """
    used = {
        nic.ip
        for instance in view.instances.values()
        for nic in instance.nics
        if nic.network == network.uuid and instance.uuid != without
    }
    return AddressPool(network, frozenset(ip for ip in used if ip is not None))


def connected_groups(view: View, network: NetworkRecord) -> list[GroupRecord]:
    """The groups a network is connected to, by name."""
    found = [group for group in view.groups.values() if network.uuid in group.networks]
    return sorted(found, key=lambda group: group.name)


def plan_network_add(op: opcodes.NetworkAdd, progress: Progress, view: View) -> Stage:
    """Judge the addresses, keep those of nodes from instances, record the network."""
    name = new_name("network", op.network_name, view)
    record = NetworkRecord(
        uuid=view.new_uuid(),
        name=name,
        ctime=view.now,
        mtime=view.now,
        tags=merged_tags((), op.tags),
        network=op.network,
        gateway=op.gateway,
        network6=op.network6,
        gateway6=op.gateway6,
        mac_prefix=None if op.mac_prefix is None else mac_prefix(op.mac_prefix),
    )
    record, log = _filled(op, view, record)
    return Finish(puts=(record,), names={name_key("network", name): record.uuid}, log=tuple(log))


def _filled(op: opcodes.NetworkAdd, view: View, record: NetworkRecord) -> tuple[NetworkRecord, list[str]]:
    """The network with what is reserved from the beginning, and what is told of it."""
    try:
        address_pool.check_network(record)
    except AddressRefused as e:
        raise OpExecError(f"Cannot create IP address pool for network '{record.name}': {e}") from e
    for address in op.add_reserved_ips or ():
        try:
            record = address_pool.reserve(record, address)
        except AddressRefused as e:
            raise OpExecError(f"Cannot reserve IP address '{address}': {e}") from e
    return _without_nodes(view, record) if op.conflicts_check else (record, [])


def _without_nodes(view: View, record: NetworkRecord) -> tuple[NetworkRecord, list[str]]:
    """The network with the addresses of nodes kept from instances; an address is told of once."""
    log = []
    inside = ip_network(record.network)
    for node in sorted(view.nodes.values(), key=lambda n: n.name):
        for address in dict.fromkeys((node.primary_ip, node.secondary_ip)):
            if ip_address(address) not in inside:
                continue
            try:
                record = address_pool.reserve(record, address)
                log.append(f" - INFO: Reserved IP address of node '{node.name}' ({address})")
            except AddressRefused as e:
                log.append(f" - WARNING: Cannot reserve IP address '{address}' of node '{node.name}': {e}")
    return record, log


def plan_network_remove(op: opcodes.NetworkRemove, progress: Progress, view: View) -> Stage:
    """Forget a network no group is connected to; `force` changes nothing about that."""
    network = view.network(op.network_name)
    groups = connected_groups(view, network)
    if groups:
        listed = ", ".join(group.name for group in groups)
        log = f" - WARNING: Network '{network.name}' is connected to the following node groups: {listed}"
        return _refused(op, prereq("Network still connected", "wrong_state"), log)
    return Finish(deletes=(network,), free=(name_key("network", network.name),))


def _refused(op: Opcode, error: JobError, log: str) -> Finish:
    """The opcode ends in an error, with a line that says more."""
    if op.dry_run:
        raise error
    return Finish(error=error, log=(log,))


def plan_network_rename(op: opcodes.NetworkRename, progress: Progress, view: View) -> Stage:
    """Give a network another name."""
    return renamed(view.network(op.network_name), op.new_name, view)


def plan_network_modify(op: opcodes.NetworkSetParams, progress: Progress, view: View) -> Stage:
    """Change addresses; ones that cannot be reserved or given back are warned of, as observed."""
    if op.gateway is not None and (op.add_reserved_ips or op.remove_reserved_ips):
        raise prereq("Cannot modify gateway and reserved ips at once")
    network = view.network(op.network_name)
    record = _readdressed(op, view, network)
    log: list[str] = []
    edits: tuple[tuple[list[str] | None, str, Callable[..., NetworkRecord]], ...] = (
        (op.add_reserved_ips, "reserve", address_pool.reserve),
        (op.remove_reserved_ips, "release", address_pool.release),
    )
    for addresses, verb, edit in edits:
        for address in addresses or ():
            try:
                record = edit(record, address)
            except AddressRefused as e:
                log.append(f" - WARNING: Cannot {verb} IP address {address}: {e}")
    return Finish(puts=(changed(record, view),), log=tuple(log))


def _readdressed(op: opcodes.NetworkSetParams, view: View, network: NetworkRecord) -> NetworkRecord:
    """The network with another gateway, prefix or IPv6 network."""
    if op.gateway not in (None, network.gateway):
        free = pool(view, replace(network, gateway=None))
        if op.gateway is not None and (free.keeps(op.gateway) or op.gateway in free.used):
            raise prereq(f"Gateway IP address '{op.gateway}' is already reserved", "wrong_state")
    given = {name: getattr(op, name) for name in ("gateway", "network6", "gateway6")}
    record = replace(network, **{name: value for name, value in given.items() if value is not None})
    if op.mac_prefix is not None:
        record = replace(record, mac_prefix=mac_prefix(op.mac_prefix))
    try:
        address_pool.check_network(record)
    except AddressRefused as e:
        raise prereq(f"Cannot change network '{network.name}': {e}") from e
    return record


def plan_network_connect(op: opcodes.NetworkConnect, progress: Progress, view: View) -> Stage:
    """Say how NICs of a network are attached in a group."""
    network, group = view.network(op.network_name), view.group(op.group_name)
    if op.network_mode == "pool":
        raise prereq("Invalid NIC mode 'pool': it would ask for the mode of the network itself")
    if network.uuid in group.networks:
        return Finish(
            log=(f" - WARNING: Network '{network.name}' is already mapped to group '{group.name}'",)
        )
    if op.conflicts_check:
        inside = ip_network(network.network)
        strangers = _in_group(
            view,
            group,
            lambda n: n.network != network.uuid and n.ip is not None and ip_address(n.ip) in inside,
        )
        if strangers:
            return _conflict(op, network, group, "connect to", strangers)
    params = {"mode": op.network_mode, "link": op.network_link, "vlan": op.network_vlan}
    return Finish(puts=(changed(group, view, networks={**group.networks, network.uuid: params}),))


def plan_network_disconnect(op: opcodes.NetworkDisconnect, progress: Progress, view: View) -> Stage:
    """Take the connection back, if no instance of the group needs it."""
    network, group = view.network(op.network_name), view.group(op.group_name)
    if network.uuid not in group.networks:
        return Finish(log=(f" - WARNING: Network '{network.name}' is not mapped to group '{group.name}'",))
    users = _in_group(view, group, lambda nic: nic.network == network.uuid)
    if users:
        return _conflict(op, network, group, "disconnect from", users)
    left = {uuid: params for uuid, params in group.networks.items() if uuid != network.uuid}
    return Finish(puts=(changed(group, view, networks=left),))


Uses = list[tuple[str, list[str]]]


def _in_group(view: View, group: GroupRecord, counts: Callable[[NicRecord], bool]) -> Uses:
    """Per instance of the group, by name, those of its NICs that count."""
    found: Uses = []
    for instance in sorted(instances_of(view, group), key=lambda i: i.name):
        nics = [f"nic{n}/{nic.ip}" for n, nic in enumerate(instance.nics) if counts(nic)]
        if nics:
            found.append((instance.name, nics))
    return found


def instances_of(view: View, group: GroupRecord) -> Iterator[InstanceRecord]:
    """The instances with a node in the group, those being made included."""
    members = [node.uuid for node in view.nodes.values() if node.group == group.uuid]
    found = {i.uuid: i for n in members for i in (*view.instances_on(n), *view.secondaries_on(n))}
    yield from found.values()


def _conflict(
    op: Opcode,
    network: NetworkRecord,
    group: GroupRecord,
    verb: str,
    uses: Iterable[tuple[str, list[str]]],
) -> Finish:
    listed = "; ".join(f"{name}: {', '.join(nics)}" for name, nics in uses)
    log = (
        f" - WARNING: IP addresses from network '{network.name}', which is about to {verb} "
        f"node group '{group.name}', are in use: {listed}"
    )
    text = "Conflicting IP addresses found;  remove/modify the corresponding network interfaces"
    return _refused(op, prereq(text, "wrong_state"), log)
