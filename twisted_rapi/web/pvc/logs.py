"""PVC's endpoints that show the ends of logs: consoles of machines, and what nodes log."""

from twisted_rapi.errors import BadRequest, NodeUnreachable, ServiceUnavailable, StepFailed
from twisted_rapi.model.steps import ReadLog
from twisted_rapi.plan.pvc import machine, node
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.nodes import NONE
from twisted_rapi.web.pvc.replies import BadValue, answer
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

MOST = 10_000
_USUAL = "10"

LINES = Value(name="lines", doc=f"How many lines, at most {MOST}; {_USUAL} without")


def _lines(call: PvcCall) -> int:
    """:raises BadValue: it is no number of lines."""
    text = call.text("lines") or _USUAL
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MOST):
        raise BadValue("lines", f"a number from 1 to {MOST} is needed")
    return int(text)


async def _read(call: PvcCall, node: str, step: ReadLog) -> Reply:
    """What the node shows."""
    try:
        outcome = await call.api.cluster.nodes.perform(node, step)
    except StepFailed as e:
        raise BadRequest(f"ERROR: {e.text}") from e
    except NodeUnreachable as e:
        name = call.api.cluster.snapshot.nodes[node].name
        raise ServiceUnavailable(f"ERROR: Node {name} does not answer") from e
    name = next(iter(call.names.values()))
    return answer(call.dialect, {"name": name, "data": outcome.text})


async def console(call: PvcCall) -> Reply:
    """``GET /vm/V/console``."""
    scene, name = scene_of(call.api), call.names["vm"]
    found = machine.find(scene, name)
    if found is None:
        raise BadRequest(f'ERROR: Could not find VM "{name}" in the cluster!')
    return await _read(call, found.primary_node, ReadLog(instance=found.name, lines=_lines(call)))


async def of_node(call: PvcCall) -> Reply:
    """``GET /node/N/log``."""
    found = node.by_name(scene_of(call.api), call.names["node"])
    if found is None:
        raise BadRequest(NONE)
    return await _read(call, found.uuid, ReadLog(instance="", lines=_lines(call)))


ENDPOINTS = (
    Endpoint(
        path="/vm/<vm>/console",
        method="GET",
        handler=console,
        doc="Show the end of what a machine has written on its serial port.",
        values=(LINES,),
        dialects=LATER,
    ),
    Endpoint(
        path="/node/<node>/log",
        method="GET",
        handler=of_node,
        doc="Show the end of what a node's agent has logged.",
        values=(LINES,),
        dialects=NEWEST,
    ),
)
