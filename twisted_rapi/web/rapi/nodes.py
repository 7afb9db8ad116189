"""RAPI resources of nodes."""

from twisted_rapi.plan.fields.node import ROLES, role
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.rapi.reads import found, listing, single, tags_of
from twisted_rapi.web.rapi.rows import read, tags
from twisted_rapi.web.reply import Reply, success

_NODE = "/2/nodes/[node_name]"


def node_role(call: Call) -> Reply:
    """``GET /2/nodes/N/role``."""
    view = call.api.answers.view()
    return success(ROLES[role(view, found(view, "node", call.names["node_name"]))])


ROUTES = (
    Route("/2/nodes", {"GET": read(listing("node", "nodes", "id"))}),
    Route(_NODE, {"GET": read(single("node", "node_name"))}),
    Route(f"{_NODE}/role", {"GET": read(node_role)}),
    tags(f"{_NODE}/tags", tags_of("node", "node_name"), "node", "nodes_name_tags", "node_name"),
)
