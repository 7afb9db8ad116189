"""PVC's endpoint that has machines leave a node, and come back."""

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.domain import NodeSetDomainState
from twisted_rapi.model.opcodes.node import NodeSetParams
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.flushing import leaving
from twisted_rapi.plan.pvc import node as pvc
from twisted_rapi.plan.pvc.dialect import LATER, SEED, Dialect
from twisted_rapi.plan.pvc.power import Words
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.jobs import all_ended, submitted
from twisted_rapi.web.pvc.power import WAITING
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

_OLDER = {
    "flush": Words("Flushing hypervisor {} of running VMs.", "Flushed hypervisor {} of running VMs."),
    "ready": Words("Restoring hypervisor {} to active service.", "Restored hypervisor {} to active service."),
}
_NEWEST = {
    "flush": Words("Removing node {} from active service.", "Removed node {} from active service."),
    "ready": Words("Restoring node {} to active service.", "Restored node {} to active service."),
}


async def set_state(call: PvcCall) -> Reply:
    """``POST /node/N/domain-state``; answered once it is accepted, or done where that is asked for."""
    scene, name = scene_of(call.api), call.names["node"]
    newest = call.dialect is Dialect.V1_0
    state = call.text("domain-state" if call.dialect is Dialect.SEED else "state")
    node = pvc.by_name(scene, name)
    if node is None:
        called = name if newest else f"'{name}'"
        raise BadRequest(f"ERROR: No node named {called} is present in the cluster.")
    if newest and _is_so(scene, node, state):
        return call.told(f"Node {name} is already {'flushed' if state == 'flush' else 'ready'}.")
    if state == "ready" and node.offline:
        raise BadRequest(f"ERROR: Node '{name}' is not active")
    job = await submitted(call, _opcodes(node, state), "node_domain_state")
    told = (_NEWEST if newest else _OLDER)[state]
    done = call.flag("wait") and await all_ended(call, job)
    return call.told((told.done if done else told.accepted).format(name))


def _is_so(scene: Scene, node: NodeRecord, state: str) -> bool:
    """Whether there is nothing to do."""
    shown = pvc.domain_state(scene, node)
    if state == "ready":
        return shown == "ready"
    return shown == "flushed" and not leaving(scene.view, node)


def _opcodes(node: NodeRecord, state: str) -> tuple[Opcode, ...]:
    """What is ready is not drained for RAPI either."""
    change = NodeSetDomainState(node_name=node.name, state="flush" if state == "flush" else "ready")
    if state == "ready" and node.drained:
        return (NodeSetParams(node_name=node.name, drained=False), change)
    return (change,)


_CHOICES = ("flush", "ready")
_DOC = "Whether machines are to leave it, or to come back"
_TEXT = "A valid state must be specified"

ENDPOINTS = (
    Endpoint(
        path="/node/<node>/domain-state",
        method="POST",
        handler=set_state,
        doc="Have all machines leave a node, or come back, by jobs.",
        values=(
            Value(name="domain-state", doc=_DOC, required=True, dialects=SEED, choices=_CHOICES, text=_TEXT),
            Value(name="state", doc=_DOC, required=True, dialects=LATER, choices=_CHOICES, text=_TEXT),
            WAITING,
        ),
    ),
)
