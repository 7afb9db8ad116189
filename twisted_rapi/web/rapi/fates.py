"""What has become of a node that fell silent, and the word that it is dead: an extension of RAPI."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.fate import FenceAttempt
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.fate import stays
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.doc import Body, Doc, Schema
from twisted_rapi.web.rapi.rows import read, write
from twisted_rapi.web.reply import Reply, success


def _node(call: Call) -> NodeRecord:
    snapshot = call.api.cluster.snapshot
    name = call.names["node_name"]
    uuid = snapshot.names["node"].get(name) or name
    node: NodeRecord | None = snapshot.nodes.get(uuid)
    if node is None:
        raise NotFound
    return node


def _shown(call: Call, node: NodeRecord) -> dict[str, Any]:
    cluster = call.api.cluster
    record, fates = cluster.snapshot.fates.get(node.uuid), cluster.fates
    nodes = cluster.snapshot.nodes
    reasons = [(each.name, stays(each, fates.rules)) for each in fates.instances(node.uuid)]
    return {
        "name": node.name,
        "fate": None if record is None else record.fate,
        "since": None if record is None else record.since,
        "proof": (record.proof or None) if record is not None else None,
        "waits": cluster.fates.waits(node.uuid) or None,
        "tries": 0 if record is None else record.tries,
        "attempts": [] if record is None else [_attempt(each, nodes) for each in record.attempts],
        "answers": node.uuid in cluster.nodes.reports,
        "offline": node.offline,
        "instances": [{"name": name, "stays": why or None} for name, why in reasons],
    }


def _attempt(attempt: FenceAttempt, nodes: Mapping[str, NodeRecord]) -> dict[str, Any]:
    by = nodes.get(attempt.by)
    name = attempt.by if by is None else by.name
    return {"at": attempt.at, "by": name, "error": attempt.error or None}


def show(call: Call) -> Reply:
    """``GET /2/nodes/[node_name]/fate``."""
    return success(_shown(call, _node(call)))


async def confirm(call: Call) -> Reply:
    """``PUT /2/nodes/[node_name]/fate``."""
    node, fields = _node(call), call.fields()
    if set(fields) != {"dead"} or fields["dead"] is not True:
        raise BadRequest('The body has to be {"dead": true}: the node runs nothing and will not')
    await call.api.cluster.fates.confirm(node.uuid, f"request {call.request_id}")
    return success(_shown(call, node))


_SHOWN: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "fate": {"enum": ["suspect", "fencing", "fenced", "recovering", None]},
        "since": {"type": ["number", "null"]},
        "proof": {"type": ["string", "null"]},
        "waits": {"type": ["string", "null"], "description": "Why it is not switched off now"},
        "tries": {"type": "integer", "description": "How often it was tried to switch it off"},
        "attempts": {
            "type": "array",
            "description": "The last of them",
            "items": {
                "type": "object",
                "properties": {
                    "at": {"type": "number"},
                    "by": {"type": "string"},
                    "error": {"type": ["string", "null"], "description": "null: not failed, as yet"},
                },
            },
        },
        "answers": {"type": "boolean"},
        "offline": {"type": "boolean"},
        "instances": {"type": "array", "items": {"type": "object"}},
    },
    "required": [
        *("name", "fate", "since", "proof", "waits", "tries", "attempts", "answers", "offline", "instances")
    ],
}
_SHOW = Doc(
    summary="Show what has become of a node that fell silent; an extension.",
    answer="Its fate, null for none, what was done to switch it off, and why which instances stay",
    schema=_SHOWN,
)
_DEAD = {"type": "boolean", "description": "True: nothing runs there, nor will before it is set online"}
_CONFIRM = Doc(
    summary="Confirm that a node that does not answer is dead: instances start elsewhere.  An extension.",
    answer="As it is shown",
    schema=_SHOWN,
    body=Body("The word", {"type": "object", "properties": {"dead": _DEAD}, "required": ["dead"]}),
)

ROUTES = (
    Route("/2/nodes/[node_name]/fate", {"GET": read(show, doc=_SHOW), "PUT": write(confirm, doc=_CONFIRM)}),
)
