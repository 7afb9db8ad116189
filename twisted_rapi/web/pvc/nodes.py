"""PVC's endpoints of nodes."""

from collections.abc import Callable
from typing import Any

from twisted_rapi.errors import NotFound
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.pvc import node as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, Dialect
from twisted_rapi.plan.pvc.limit import Match, matcher
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

NONE = "Node not found."
_MATCH: dict[Dialect, Match] = {Dialect.SEED: "fuzzy", Dialect.V0_6: "prefix", Dialect.V1_0: "fuzzy"}
_STATES = ("daemon_state", "coordinator_state", "domain_state")


def listing(call: PvcCall) -> Reply:
    """``GET /node``; filters by state are alternatives."""
    scene, dialect = scene_of(call.api), call.dialect
    wanted = matcher(call.text("limit"), _MATCH[dialect])
    found = [pvc.info(scene, node, dialect) for node in pvc.nodes(scene) if wanted(node.name)]
    filters = {name: call.text(name) for name in _STATES if call.text(name)}
    if filters:
        found = [one for one in found if any(one[name] == state for name, state in filters.items())]
    if not found and dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(dialect, found)


def single(call: PvcCall) -> Reply:
    """``GET /node/N``: a list of one, or an object."""
    scene, dialect = scene_of(call.api), call.dialect
    node = pvc.by_name(scene, call.names["node"])
    if node is None:
        if dialect is Dialect.SEED:
            return answer(dialect, [])
        raise NotFound(NONE)
    found = pvc.info(scene, node, dialect)
    return answer(dialect, found if dialect is Dialect.V0_6 else [found])


def _state(name: str, get: Callable[[Scene, NodeRecord, Dialect], str]) -> Callable[[PvcCall], Reply]:
    def state(call: PvcCall) -> Reply:
        scene = scene_of(call.api)
        node = pvc.by_name(scene, call.names["node"])
        if node is None:
            raise NotFound(NONE)
        found: dict[str, Any] = {"name": call.names["node"], name: get(scene, node, call.dialect)}
        return answer(call.dialect, found)

    return state


LIMIT = Value(name="limit", doc="A regular expression that names match")
_FILTERS = tuple(
    Value(name=name, doc="Only those in this state, or in one of the other states", dialects=NEWEST)
    for name in _STATES
)
_NODE = "/node/<node>"

ENDPOINTS = (
    Endpoint(
        path="/node",
        method="GET",
        handler=listing,
        doc="List the nodes with all about them.",
        values=(LIMIT, *_FILTERS),
        kept=True,
    ),
    Endpoint(path=_NODE, method="GET", handler=single, doc="Show one node.", kept=True),
    Endpoint(
        path=f"{_NODE}/daemon-state",
        method="GET",
        handler=_state("daemon_state", pvc.daemon_state),
        doc="Show whether a node's daemon runs.",
        dialects=LATER,
        kept=True,
    ),
    Endpoint(
        path=f"{_NODE}/coordinator-state",
        method="GET",
        handler=_state("coordinator_state", pvc.coordinator_state),
        doc="Show whether a node is master, or may be.",
        kept=True,
    ),
    Endpoint(
        path=f"{_NODE}/domain-state",
        method="GET",
        handler=_state("domain_state", lambda scene, node, _: pvc.domain_state(scene, node)),
        doc="Show whether machines may run on a node.",
        kept=True,
    ),
)
