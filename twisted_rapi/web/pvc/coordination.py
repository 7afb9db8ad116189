"""PVC's endpoints that hand the mastership on: a coordinator that is primary is the master."""

from twisted_rapi.errors import BadRequest
from twisted_rapi.plan.pvc import node as pvc
from twisted_rapi.plan.pvc.dialect import LATER, SEED, Dialect
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

_WORDS = {
    False: {
        "unknown": "ERROR: No node named '{name}' is present in the cluster.",
        "client": "ERROR: Cannot change router mode on non-coordinator node '{name}'",
        "inactive": "ERROR: Node '{name}' is not active",
        "already": "Node '{name}' is already in {state} router mode.",
        "done": "Setting node {name} in {state} router mode.",
    },
    True: {
        "unknown": "ERROR: No node named {name} is present in the cluster.",
        "client": "ERROR: Cannot change coordinator state on non-coordinator node {name}",
        "inactive": "ERROR: Node {name} is not active",
        "already": "Node {name} is already in {state} coordinator state.",
        "done": "Setting node {name} in {state} coordinator state.",
    },
}
"""What is told, by whether it is the newest form."""


async def set_state(call: PvcCall) -> Reply:
    """``POST /node/N/coordinator-state``; answered before the switch."""
    scene, dialect, name = scene_of(call.api), call.dialect, call.names["node"]
    state = call.text("coordinator-state" if dialect is Dialect.SEED else "state")
    newest = dialect is Dialect.V1_0

    def words(which: str) -> str:
        return _WORDS[newest][which].format(name=name, state=state)

    node = pvc.by_name(scene, name)
    if node is None:
        raise BadRequest(words("unknown"))
    # Who is master is not told by what is being handed over, as the newest form has it.
    now = pvc.coordinator_state(scene, node, Dialect.SEED)
    if now == "client":
        raise BadRequest(words("client"))
    if pvc.daemon_state(scene, node, dialect) != "run":
        raise BadRequest(words("inactive"))
    if now == state:
        return call.told(words("already"), 200 if newest else 400)
    target = node.uuid if state == "primary" else ""
    await call.api.cluster.switch_master(target, f"request {call.request_id}")
    return call.told(words("done"))


_CHOICES = ("primary", "secondary")

ENDPOINTS = (
    Endpoint(
        path="/node/<node>/coordinator-state",
        method="POST",
        handler=set_state,
        doc="Make a node master, or have another one follow it; answered before it is done.",
        values=(
            Value(
                name="coordinator-state",
                doc="What it is to be",
                required=True,
                dialects=SEED,
                choices=_CHOICES,
                text="A valid state must be specified",
            ),
            Value(
                name="state",
                doc="What it is to be",
                required=True,
                dialects=LATER,
                choices=_CHOICES,
                text="A valid state must be specified",
            ),
        ),
    ),
)
