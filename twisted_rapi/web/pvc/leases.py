"""PVC's endpoints of the DHCP leases of virtual networks."""

from ipaddress import IPv4Address

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.network_rules import NetworkRefused, valid_mac
from twisted_rapi.model.virtual_network import StaticLease
from twisted_rapi.plan.pvc import network as pvc
from twisted_rapi.plan.pvc.dialect import ALL, LATER, SEED, Dialect
from twisted_rapi.plan.pvc.limit import Unanswerable, matcher
from twisted_rapi.web.pvc.endpoints import Endpoint, Handler, PvcCall, Value
from twisted_rapi.web.pvc.networks import done, meant, network_of, to_change, unknown
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

NONE = "Lease not found."


def _leases(call: PvcCall) -> list[pvc.Lease]:
    """:raises Unanswerable: there is no such network."""
    network = network_of(call)
    if network is None:
        raise Unanswerable(unknown(call, '"'))
    return pvc.leases(network, scene_of(call.api).leases)


def _shown(call: PvcCall, leases: list[pvc.Lease]) -> Reply:
    if not leases and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, [lease.info() for lease in leases])


def listing(call: PvcCall) -> Reply:
    """``GET /network/N/lease``; in the dialect of 0.6 static ones are only shown where they are asked for."""
    wanted, static = matcher(call.text("limit"), "fuzzy"), call.flag("static")
    others = not static
    fixed = static or call.dialect is not Dialect.V0_6
    found = (lease for lease in _leases(call) if (fixed if lease.static else others))
    return _shown(call, [lease for lease in found if wanted(lease.mac)])


def single(call: PvcCall) -> Reply:
    """``GET /network/N/lease/L``: a list in all dialects; static ones are shown alone."""
    mine = [lease for lease in _leases(call) if lease.mac == call.names["lease"].lower()]
    return _shown(call, [lease for lease in mine if lease.static] or mine)


def _lease(call: PvcCall) -> StaticLease:
    """
    What is asked for.

    :raises NetworkRefused: an address is none.
    """
    mac, address = call.names.get("lease") or call.text("macaddress"), call.text("ipaddress").strip()
    if not mac:
        raise NetworkRefused("A MAC address must be specified for the lease.")
    if not address:
        raise NetworkRefused("An IP address must be specified for the lease.")
    try:
        return StaticLease(
            mac=valid_mac(mac), address=str(IPv4Address(address)), hostname=call.text("hostname")
        )
    except NetworkRefused:
        raise
    except ValueError as e:
        raise NetworkRefused(f"IP address '{address}' is not valid!") from e


async def add(call: PvcCall) -> Reply:
    """``POST /network/N/lease``, and in later dialects ``POST /network/N/lease/L``."""
    network = to_change(call)
    lease = meant(lambda: _lease(call))
    text = f"DHCP reservation '{lease.mac}' added successfully!"
    return await done(call, call.api.cluster.networks.reserve(network, lease), text)


async def remove(call: PvcCall) -> Reply:
    """
    ``DELETE /network/N/lease/L`` by MAC address, host name or address.

    One that the DHCP server gave can be ended in later dialects.
    """
    network, text = to_change(call), call.names["lease"]
    oldest, networks = call.dialect is Dialect.SEED, call.api.cluster.networks
    found = [lease for lease in pvc.leases(network, scene_of(call.api).leases) if lease.called(text)]
    for lease in found:
        if lease.static:
            word = "reservation" if oldest else "static reservation"
            told = f"DHCP {word} '{lease.mac}' removed successfully!"
            return await done(call, networks.unreserve(network, lease.address), told)
    if not found or oldest:
        raise BadRequest(
            f"ERROR: No DHCP reservation{'' if oldest else ' or lease'} exists matching '{text}'!"
        )
    told = f"DHCP dynamic lease '{found[0].mac}' removed successfully!"
    return await done(call, networks.release(network, [lease.address for lease in found]), told)


_LIST = (
    Value(name="limit", doc="A regular expression that MAC addresses match"),
    Value(name="static", kind="flag", doc="Only static ones"),
)
_ADDRESS = (
    Value(name="ipaddress", doc="The IPv4 address that it gets", dialects=SEED),
    Value(name="ipaddress", doc="The IPv4 address that it gets", dialects=LATER, required=True),
    Value(name="hostname", doc="What it is called"),
)
_ADD = (
    Value(name="macaddress", doc="The MAC address of a NIC", dialects=SEED),
    Value(name="macaddress", doc="The MAC address of a NIC", dialects=LATER, required=True),
    *_ADDRESS,
)


def _endpoint(
    path: str, method: str, handler: Handler, doc: str, values: tuple[Value, ...] = ()
) -> tuple[Endpoint, ...]:
    """By the path that servers have, and by that of the first documentation's headings."""
    return tuple(
        Endpoint(
            path=f"/network/<network>/{word}{path}",
            method=method,
            handler=handler,
            doc=doc,
            values=values,
            dialects=dialects,
            kept=method == "GET",
        )
        for word, dialects in (("lease", ALL), ("dhcp", SEED))
    )


ENDPOINTS = (
    *_endpoint("", "GET", listing, "List the DHCP leases of a virtual network.", _LIST),
    *_endpoint("", "POST", add, "Make a static DHCP lease.", _ADD),
    *_endpoint("/<lease>", "GET", single, "Show the DHCP lease of a MAC address."),
    *_endpoint("/<lease>", "DELETE", remove, "Remove a DHCP lease."),
    Endpoint(
        path="/network/<network>/lease/<lease>",
        method="POST",
        handler=add,
        doc="Make a static DHCP lease for this MAC address.",
        values=_ADDRESS,
        dialects=LATER,
    ),
)
