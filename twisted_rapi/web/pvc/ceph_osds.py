"""PVC's endpoints of OSDs."""

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.opcodes import Opcode, decode
from twisted_rapi.model.opcodes.ceph import CephOsdAdd, CephOsdRemove
from twisted_rapi.plan.ceph_nodes import of_host
from twisted_rapi.plan.pvc import ceph as pvc
from twisted_rapi.plan.pvc.dialect import NEWEST, Dialect
from twisted_rapi.plan.pvc.limit import matcher
from twisted_rapi.web.pvc.ceph import LIMIT
from twisted_rapi.web.pvc.ceph_changes import (
    CEPH,
    CONFIRMED,
    change,
    check_seed,
    check_sure,
    done,
    needed,
)
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.jobs import submitted
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.pvc.tasks import accepted
from twisted_rapi.web.reply import Reply

NONE = "OSD not found."
_MOST_DIGITS = 9
MOST_WEIGHT = 1e6


async def _osds(call: PvcCall) -> list[pvc.Seen]:
    return sorted(await call.ceph.look(call.api, "osds") or (), key=lambda osd: int(osd["id"]))


async def _single(call: PvcCall) -> pvc.Seen | None:
    return next((osd for osd in await _osds(call) if str(osd["id"]) == call.names["osd"]), None)


async def listing(call: PvcCall) -> Reply:
    """``GET /storage/ceph/osd``; a pattern is for the numbers."""
    wanted = matcher(call.text("limit"), "fuzzy")
    view = scene_of(call.api).view
    found = [pvc.osd(view, osd, call.dialect) for osd in await _osds(call) if wanted(str(osd["id"]))]
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, found)


async def single(call: PvcCall) -> Reply:
    """``GET /storage/ceph/osd/O``: a list of one in all dialects."""
    osd = await _single(call)
    if osd is None and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    found = [] if osd is None else [pvc.osd(scene_of(call.api).view, osd, call.dialect)]
    return answer(call.dialect, found)


async def state(call: PvcCall) -> Reply:
    """``GET /storage/ceph/osd/O/state``."""
    osd = await _single(call)
    if osd is None:
        raise NotFound(NONE)
    return answer(call.dialect, pvc.osd_state(osd, call.names["osd"]))


def _missing(call: PvcCall) -> str:
    return f"ERROR: No OSD with ID '{call.names['osd']}' is present in the cluster."


def _number(call: PvcCall) -> int:
    text = call.names["osd"]
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise BadRequest(_missing(call))
    return int(text)


async def set_state(call: PvcCall) -> Reply:
    """``POST /storage/ceph/osd/O/state``."""
    check_seed(call, ("state", "A state"))
    wish = call.text("state")
    if wish not in ("in", "out"):
        raise BadRequest("ERROR: State must be one of: in, out.")
    word = "online" if wish == "in" else "offline"
    text = f"Set OSD {call.names['osd']} {word}"
    op = change("osd.move", osd=_number(call), into=wish == "in")
    text += "." if call.dialect is Dialect.V1_0 else " in the cluster."
    return await done(call, op, text, f"set OSD {word}", {"unknown_entity": _missing(call)})


def _weight(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < MOST_WEIGHT:
        raise BadRequest(f"ERROR: '{text[:60]}' is no weight.")
    return found


def _new(node: str, device: str, weight: float) -> Opcode:
    try:
        return decode(CephOsdAdd, {"node_name": node, "device": device, "weight": weight})
    except BadRequest as e:
        raise BadRequest(f"ERROR: The OSD cannot be: {e.message}.".replace('"', "'")) from e


async def add(call: PvcCall) -> Reply:
    """``POST /storage/ceph/osd``; answered before it is done in the newest dialect."""
    check_seed(call, ("node", "A node"), ("device", "A block device"), ("weight", "An OSD weight"))
    node, device = call.text("node"), call.text("device")
    op = _new(node, device, _weight(call.text("weight")))
    if call.dialect is Dialect.V1_0:
        return accepted(call, await submitted(call, [op], "ceph"), "osd.add", node)
    text = f"Created new OSD with block device '{device}' on node '{node}'."
    told = {"unknown_entity": f"ERROR: No node named '{node}' is present in the cluster."}
    return await done(call, op, text, "create new OSD", told)


async def _there(call: PvcCall) -> tuple[pvc.Seen, str]:
    """
    An OSD and the name of its node.

    :raises BadRequest: there is none of this number.
    """
    osd = await _single(call)
    if osd is None:
        raise BadRequest(_missing(call))
    node = of_host(scene_of(call.api).view, osd["node"])
    return osd, str(osd["node"]) if node is None else node.name


async def replace(call: PvcCall) -> Reply:
    """``POST /storage/ceph/osd/O``: another device is in its place, once others have its data."""
    check_sure(call)
    osd, node = await _there(call)
    weight = _weight(call.text("weight")) if call.text("weight") else float(osd["weight"])
    ops = [CephOsdRemove(osd=_number(call)), _new(node, call.text("new_device"), weight)]
    return accepted(call, await submitted(call, ops, "ceph"), "osd.replace", node)


async def remove(call: PvcCall) -> Reply:
    """
    ``DELETE /storage/ceph/osd/O``, once others have its data.

    Answered before it is done in the newest dialect; in others after a while that it goes on.
    """
    check_sure(call)
    op = CephOsdRemove(osd=_number(call))
    if call.dialect is Dialect.V1_0:
        _, run_on = await _there(call)
        return accepted(call, await submitted(call, [op], "ceph"), "osd.remove", run_on)
    text = f"Removed OSD '{call.names['osd']}' from the cluster."
    return await done(call, op, text, "remove OSD", {"unknown_entity": _missing(call)})


_STATE = needed("state", "What it is to be", "A valid state must be specified.", choices=("in", "out"))
_VALUES = (
    *needed("node", "The node with the device", "A valid node must be specified."),
    *needed("device", "A block device, such as /dev/sdb", "A valid device must be specified."),
    *needed("weight", "Its weight among others", "An OSD weight must be specified."),
)
_REPLACED = (
    Value(
        name="new_device",
        doc="The block device instead",
        dialects=NEWEST,
        required=True,
        text="A valid new device must be specified.",
    ),
    Value(name="weight", doc="Its weight among others; as before without", dialects=NEWEST),
    CONFIRMED[-1],
)
_OSD = f"{CEPH}/osd"

ENDPOINTS = (
    Endpoint(path=_OSD, method="GET", handler=listing, doc="List the OSDs.", values=(LIMIT,)),
    Endpoint(
        path=_OSD, method="POST", handler=add, doc="Make an OSD of a device, which is wiped.", values=_VALUES
    ),
    Endpoint(path=f"{_OSD}/<osd>", method="GET", handler=single, doc="Show one OSD."),
    Endpoint(
        path=f"{_OSD}/<osd>",
        method="POST",
        handler=replace,
        doc="Have another device in the place of an OSD's, once others have its data.",
        values=_REPLACED,
        dialects=NEWEST,
    ),
    Endpoint(
        path=f"{_OSD}/<osd>",
        method="DELETE",
        handler=remove,
        doc="Have others have the data of an OSD, then remove it.",
        values=CONFIRMED,
    ),
    Endpoint(
        path=f"{_OSD}/<osd>/state",
        method="GET",
        handler=state,
        doc="Show whether an OSD takes part.",
    ),
    Endpoint(
        path=f"{_OSD}/<osd>/state",
        method="POST",
        handler=set_state,
        doc="Have an OSD take part, or not.",
        values=_STATE,
    ),
)
