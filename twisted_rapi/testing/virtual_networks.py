"""A node's virtual networks in memory."""

import attrs

from twisted_rapi.net.topology import (
    Change,
    Flood,
    Hold,
    LoadTable,
    MakeInterface,
    RemoveInterface,
    RemoveTable,
    SetInterface,
    StartServer,
    StopServer,
    TellServer,
    Topology,
)


def carried_out(change: Change, seen: Topology) -> Topology:
    """What a node has after a change: the laws that `changes` relies on."""
    interfaces, floods = dict(seen.interfaces), dict(seen.floods)
    addresses, tables, servers = dict(seen.addresses), dict(seen.tables), dict(seen.servers)
    match change:
        case StopServer(vni):
            del servers[vni]
        case StartServer(vni, told) | TellServer(vni, told):
            servers[vni] = told
        case RemoveTable(vni):
            del tables[vni]
        case LoadTable(vni, made):
            tables[vni] = made
        case RemoveInterface(name):
            gone = interfaces.pop(name)
            floods.pop(name, None)
            addresses.pop(name, None)
            if gone.kind == "bridge":
                for other, found in interfaces.items():
                    interfaces[other] = attrs.evolve(found, bridge="") if found.bridge == name else found
        case MakeInterface(name, wish):
            interfaces[name] = attrs.evolve(wish, bridge="", up=False)
        case SetInterface(name, wish):
            interfaces[name] = wish
        case Flood(name, peer, there):
            floods[name] = _toggled(floods.get(name), peer, there)
        case Hold(name, address, there):
            addresses[name] = _toggled(addresses.get(name), address, there)
    return Topology(
        interfaces=interfaces,
        floods={name: found for name, found in floods.items() if found},
        addresses={name: found for name, found in addresses.items() if found},
        tables=tables,
        servers=servers,
    )


def _toggled(those: frozenset[str] | None, one: str, there: bool) -> frozenset[str]:
    found = those or frozenset()
    return found | {one} if there else found - {one}
