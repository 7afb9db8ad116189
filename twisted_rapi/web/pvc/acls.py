"""PVC's endpoints of the rules of virtual networks."""

from typing import Any

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.virtual_network import Acl
from twisted_rapi.plan.pvc import network as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.limit import matcher
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.networks import done, meant, network_of, to_change, unknown
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.reply import Reply

NONE = "ACL not found."
_BOTH = "Direction must be either 'in' or 'out'; for both, do not specify a direction."
_EITHER = "Direction must be either 'in' or 'out'."
_NO_DIRECTION = "A direction must be specified for the ACL."


def _rows(call: PvcCall) -> list[dict[str, Any]]:
    """:raises BadRequest: there is no such network."""
    network = network_of(call)
    if network is None:
        raise BadRequest(unknown(call, "'" if call.dialect is Dialect.SEED else '"'))
    return pvc.acls(network)


def _check_direction(call: PvcCall, text: str) -> None:
    """:raises BadRequest: a direction is given that there is not."""
    if call.text("direction") not in ("", *pvc.DIRECTIONS):
        raise BadRequest(f"ERROR: {text}")


def listing(call: PvcCall) -> Reply:
    """``GET /network/N/acl``."""
    _check_direction(call, _BOTH)
    wanted, direction = matcher(call.text("limit"), "fuzzy"), call.text("direction")
    found = [
        row for row in _rows(call) if direction in ("", row["direction"]) and wanted(str(row["description"]))
    ]
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, found)


def single(call: PvcCall) -> Reply:
    """``GET /network/N/acl/A``: a list of one, or an object."""
    found = [row for row in _rows(call) if row["description"] == call.names["acl"]]
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, found[0] if call.dialect is Dialect.V0_6 else found)


def _check_seed(call: PvcCall) -> None:
    """:raises BadRequest: what the oldest dialect needs is missing."""
    for name, text in (
        ("description", "A description must be provided."),
        ("direction", _NO_DIRECTION),
        ("rule", "A valid NFT rule line must be specified for the ACL."),
    ):
        if not call.text(name):
            raise BadRequest(f"ERROR: {text}")
    _check_direction(call, _EITHER)


async def add(call: PvcCall) -> Reply:
    """``POST /network/N/acl``, and in later dialects ``POST /network/N/acl/A``, in without a direction."""
    if call.dialect is Dialect.SEED:
        _check_seed(call)
    network, order = to_change(call), call.text("order")
    acl = Acl(
        name=call.names.get("acl") or call.text("description"),
        direction="out" if call.text("direction") == "out" else "in",
        rule=call.text("rule").strip(),
    )
    place = meant(lambda: pvc.number(order, "The order")) if order else None
    text = f"Firewall rule '{acl.name}' added successfully!"
    return await done(call, call.api.cluster.networks.add_acl(network, acl, place), text)


async def remove(call: PvcCall) -> Reply:
    """``DELETE /network/N/acl/A``."""
    name, direction = call.names["acl"], call.text("direction")
    if call.dialect is Dialect.SEED and not direction:
        raise BadRequest(f"ERROR: {_NO_DIRECTION}")
    _check_direction(call, _EITHER)
    removal = call.api.cluster.networks.remove_acl(to_change(call), name, direction or None)
    return await done(call, removal, f"Firewall rule '{name}' removed successfully!")


_DIRECTION = "in: towards the network, or out: from it"


def _directions(without: str) -> tuple[Value, ...]:
    """The value that says which way; later dialects look at it before anything else."""
    later = ((Dialect.V0_6, ""), (Dialect.V1_0, "A valid direction must be specified."))
    return (
        Value(name="direction", doc=_DIRECTION, dialects=SEED),
        *(
            Value(
                name="direction",
                doc=f"{_DIRECTION}; {without} without",
                dialects=frozenset({dialect}),
                choices=pvc.DIRECTIONS,
                text=text,
            )
            for dialect, text in later
        ),
    )


def _needed(name: str, doc: str, text: str) -> tuple[Value, ...]:
    return (
        Value(name=name, doc=doc, dialects=SEED),
        Value(name=name, doc=doc, dialects=frozenset({Dialect.V0_6}), required=True),
        Value(name=name, doc=doc, dialects=NEWEST, required=True, text=text),
    )


_ACLS, _ACL = "/network/<network>/acl", "/network/<network>/acl/<acl>"
_ADD = (
    *_needed("rule", "An nftables rule, without table and chain", "A rule must be specified."),
    *_directions("in"),
    Value(name="order", doc="Its place among those of its direction, from 0; the last one without"),
)
_DESCRIPTION = _needed(
    "description", "What it is called, as no other is", "A whitespace-free description must be specified."
)

ENDPOINTS = (
    Endpoint(
        path=_ACLS,
        method="GET",
        handler=listing,
        doc="List the rules of a virtual network.",
        values=(
            Value(name="limit", doc="A regular expression that descriptions match"),
            *_directions("both"),
        ),
        kept=True,
    ),
    Endpoint(
        path=_ACLS,
        method="POST",
        handler=add,
        doc="Add a rule that nft understands.",
        values=(*_DESCRIPTION, *_ADD),
    ),
    Endpoint(path=_ACL, method="GET", handler=single, doc="Show one rule.", kept=True),
    Endpoint(
        path=_ACL,
        method="POST",
        handler=add,
        doc="Add a rule of this description.",
        values=_ADD,
        dialects=LATER,
    ),
    Endpoint(
        path=_ACL,
        method="DELETE",
        handler=remove,
        doc="Remove a rule; those after it move up.",
        values=(Value(name="direction", doc=_DIRECTION, dialects=SEED),),
    ),
)
