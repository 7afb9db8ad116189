"""Who is master, and the wish that it be another: an extension of RAPI."""

from typing import Any

from twisted_rapi.errors import BadRequest
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.doc import Argument, Body, Doc, Schema
from twisted_rapi.web.rapi.rows import read, write
from twisted_rapi.web.reply import Reply, success


def _name(snapshot: Snapshot, uuid: str) -> str:
    node = snapshot.nodes.get(uuid)
    return uuid if node is None else node.name


def _candidates(snapshot: Snapshot, master: str) -> list[dict[str, Any]]:
    found = []
    for node in snapshot.nodes.values():
        there = snapshot.candidates.get(node.uuid)
        if not node.master_candidate and there is None:
            continue
        found.append(
            {
                "name": node.name,
                "uuid": node.uuid,
                "master_candidate": node.master_candidate,
                "offline": node.offline,
                "drained": node.drained,
                # With one candidate no record is kept of it: it answers.
                "present": there is not None or node.uuid == master,
                "since": None if there is None else there.since,
                "version": None if there is None else there.version,
                "hindered": None if there is None else there.hindered or None,
            }
        )
    return sorted(found, key=lambda each: str(each["name"]))


def show(call: Call) -> Reply:
    """``GET /2/master``."""
    snapshot = call.api.cluster.snapshot
    election, wish = snapshot.election, snapshot.switch
    node = "" if election is None else election.node
    wished = None
    if wish is not None and election is not None and wish.term == election.term:
        target = _name(snapshot, wish.target) if wish.target else None
        wished = {"target": target, "asked": wish.asked, "who": wish.who, "refused": wish.refused or None}
    return success(
        {
            "term": None if election is None else election.term,
            "name": _name(snapshot, node) or None,
            "uuid": node or None,
            "candidates": _candidates(snapshot, node),
            "switch": wished,
        }
    )


async def switch(call: Call) -> Reply:
    """``PUT /2/master``; the answer comes before the switch."""
    fields = call.fields()
    if set(fields) - {"node"}:
        raise BadRequest(f"Unknown parameters: {', '.join(sorted(set(fields) - {'node'}))}")
    name = fields.get("node", call.argument("node"))
    snapshot = call.api.cluster.snapshot
    target = ""
    if name is not None:
        if not isinstance(name, str):
            raise BadRequest("Invalid value for the 'node' parameter")
        found = snapshot.names["node"].get(name) or (name if name in snapshot.nodes else None)
        if found is None:
            raise BadRequest(f"Can't switch the master: there is no node {name}")
        target = found
    wish = await call.api.cluster.switch_master(target, f"request {call.request_id}")
    return success({"term": wish.term, "target": _name(snapshot, target) if target else None})


_SHOWN: Schema = {
    "type": "object",
    "properties": {
        "term": {"type": ["integer", "null"]},
        "name": {"type": ["string", "null"]},
        "uuid": {"type": ["string", "null"]},
        "candidates": {"type": "array", "items": {"type": "object"}},
        "switch": {"type": ["object", "null"]},
    },
    "required": ["term", "name", "uuid", "candidates", "switch"],
}
_SHOW = Doc(
    summary="Show who is master, for which term, and who could follow; an extension.",
    answer="The master, all candidates and whether their daemons are there, and the wish for another",
    schema=_SHOWN,
)
_NODE = {
    "type": ["string", "null"],
    "description": "The next master; any other candidate if none",
}
_SWITCH = Doc(
    summary="Hand the mastership to another candidate; answered before it is done.  An extension.",
    answer="The term that ends, and the node that follows",
    schema={"type": "object", "required": ["term", "target"]},
    query=(Argument("node", "As in the body"),),
    body=Body("Who is to follow", {"type": "object", "properties": {"node": _NODE}}),
)

ROUTES = (Route("/2/master", {"GET": read(show, doc=_SHOW), "PUT": write(switch, doc=_SWITCH)}),)
