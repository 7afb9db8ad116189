"""PVC's endpoints of virtual networks."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted_rapi.errors import BadRequest, NotFound, RequestError
from twisted_rapi.model.network_rules import NetworkRefused
from twisted_rapi.model.virtual_network import VirtualNetworkRecord
from twisted_rapi.plan.pvc import network as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.limit import Match, matcher
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

NONE = "Network not found."
_MATCH: dict[Dialect, Match] = {Dialect.SEED: "fuzzy", Dialect.V0_6: "prefix", Dialect.V1_0: "fuzzy"}
_T = TypeVar("_T")


class Unnamed(RequestError):
    """A value of a new network is missing, as the oldest dialect answers it."""

    status = 520


def unknown(call: PvcCall, quote: str = "'") -> str:
    """What is told of a network that is not there."""
    return f"ERROR: Could not find network {quote}{call.names['network']}{quote} in the cluster!"


def network_of(call: PvcCall) -> VirtualNetworkRecord | None:
    """The network that is asked about, by its id or its description."""
    return pvc.find(scene_of(call.api).networks, call.names["network"])


def to_change(call: PvcCall) -> VirtualNetworkRecord:
    """
    The same.

    :raises BadRequest: it is not there.
    """
    found = network_of(call)
    if found is None:
        raise BadRequest(unknown(call))
    return found


def meant(get: Callable[[], _T]) -> _T:
    """:raises BadRequest: `get` refuses what it is given."""
    try:
        return get()
    except NetworkRefused as e:
        raise BadRequest(f"ERROR: {e}") from e


async def done(call: PvcCall, work: Awaitable[object], text: str) -> Reply:
    """
    The answer once a change is made.

    :raises BadRequest: it is refused.
    """
    try:
        await work
    except BadRequest as e:
        raise BadRequest(f"ERROR: {e.message}".replace('"', "'")) from e
    return call.told(text)


def listing(call: PvcCall) -> Reply:
    """``GET /network``; a pattern is for ids and descriptions."""
    wanted = matcher(call.text("limit"), _MATCH[call.dialect])
    networks = sorted(scene_of(call.api).networks, key=lambda network: network.vni)
    found = [pvc.info(n, call.dialect) for n in networks if wanted(str(n.vni)) or wanted(n.name)]
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, found)


def single(call: PvcCall) -> Reply:
    """``GET /network/N``: a list of one, or an object."""
    network = network_of(call)
    if network is None:
        if call.dialect is Dialect.SEED:
            return answer(call.dialect, [])
        raise NotFound(NONE)
    found = pvc.info(network, call.dialect)
    return answer(call.dialect, found if call.dialect is Dialect.V0_6 else [found])


def _check_seed(call: PvcCall) -> None:
    """:raises Unnamed: what the oldest dialect needs is missing."""
    for name, text in (
        ("vni", "A VNI must be specified for the virtual network."),
        ("description", "A description must be specified for the virtual network."),
        ("nettype", "A nettype must be specified for the virtual network."),
    ):
        if not call.text(name):
            raise Unnamed(f"ERROR: {text}")
    if call.text("nettype") not in pvc.KINDS:
        raise Unnamed("ERROR: A valid nettype must be specified: 'managed' or 'bridged'.")


async def add(call: PvcCall) -> Reply:
    """
    ``POST /network``, and in later dialects ``POST /network/N``, which has the id in its path.

    It is answered once the nodes have it, or cannot have it soon.
    """
    if call.dialect is Dialect.SEED:
        _check_seed(call)
    values = {"vni": call.names.get("network", ""), **call.values}
    wanted = meant(lambda: pvc.made(values, call.dialect))
    networks = call.api.cluster.networks
    reply = await done(call, networks.add(wanted), f"Network '{wanted.name}' added successfully!")
    made = networks.find(wanted.name)
    if made is not None:
        await networks.present(made)
    return reply


async def change(call: PvcCall) -> Reply:
    """``PUT /network/N``: what is given is other from now on, all else stays."""
    network = to_change(call)
    values = meant(lambda: pvc.changed(network, call.values, call.dialect))
    networks = call.api.cluster.networks
    text = f"Network '{call.names['network']}' modified successfully!"
    return await done(call, networks.change(network, **values), text) if values else call.told(text)


async def remove(call: PvcCall) -> Reply:
    """``DELETE /network/N``; machines that use it are not asked, and have no network there any more."""
    network = to_change(call)
    text = f"Network '{network.name}' removed successfully!"
    return await done(call, call.api.cluster.networks.remove(network), text)


_NETWORK = "/network/<network>"


def _needed(name: str, doc: str, **more: Any) -> tuple[Value, ...]:
    """A value of new networks; the oldest dialect has a way of its own to say that it is missing."""
    return (
        Value(name=name, doc=doc, dialects=SEED),
        Value(name=name, doc=doc, dialects=LATER, required=True, **more),
    )


_VNI = _needed("vni", "Its id: of a VLAN, 1 to 4094, or of a VXLAN, 1 to 16777215")
_KIND = _needed(
    "nettype",
    "What it is: managed, a VXLAN that is served, or bridged, a VLAN that is not",
    choices=tuple(pvc.KINDS),
    text="A valid nettype must be specified",
)
_DESCRIPTION = "What it is called, without whitespace"
_MANAGED: tuple[Value, ...] = (
    Value(name="mtu", doc="The largest packet in bytes", dialects=NEWEST, empty=True),
    Value(name="domain", doc="The DNS domain of its hosts", empty=True),
    Value(
        name="name_servers",
        kind="list",
        doc="Name servers, separated by commas: addresses for its hosts, names for its zone",
        dialects=LATER,
        empty=True,
    ),
    Value(name="ip4_network", doc="Its IPv4 addresses, in CIDR form", empty=True),
    Value(name="ip4_gateway", doc="The IPv4 address of its gateway", empty=True),
    Value(name="dhcp4", kind="flag", doc="Whether IPv4 addresses are given out"),
    Value(name="dhcp4_start", doc="The first IPv4 address that is given out", empty=True),
    Value(name="dhcp4_end", doc="The last IPv4 address that is given out", empty=True),
    Value(name="ip6_network", doc="Its IPv6 addresses, in CIDR form", empty=True),
    Value(name="ip6_gateway", doc="The IPv6 address of its gateway; the first one without", empty=True),
)

ENDPOINTS = (
    Endpoint(
        path="/network",
        method="GET",
        handler=listing,
        doc="List the virtual networks with all about them.",
        values=(Value(name="limit", doc="A regular expression that ids or descriptions match"),),
        kept=True,
    ),
    Endpoint(
        path="/network",
        method="POST",
        handler=add,
        doc="Make a virtual network.",
        values=(*_VNI, *_needed("description", _DESCRIPTION), *_KIND, *_MANAGED),
        refusals=(520,),
    ),
    Endpoint(path=_NETWORK, method="GET", handler=single, doc="Show one virtual network.", kept=True),
    Endpoint(
        path=_NETWORK,
        method="POST",
        handler=add,
        doc="Make a virtual network with this id.",
        values=(*_needed("description", _DESCRIPTION), *_KIND, *_MANAGED),
        dialects=LATER,
    ),
    Endpoint(
        path=_NETWORK,
        method="PUT",
        handler=change,
        doc="Change a virtual network; its id and type stay.",
        values=(Value(name="description", doc=_DESCRIPTION, dialects=LATER), *_MANAGED),
    ),
    Endpoint(path=_NETWORK, method="DELETE", handler=remove, doc="Remove a virtual network."),
)
