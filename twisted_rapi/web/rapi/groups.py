"""RAPI resources of node groups."""

from twisted_rapi.cluster.answers import Answers
from twisted_rapi.web.call import Route
from twisted_rapi.web.rapi.reads import listing, single, tags_of
from twisted_rapi.web.rapi.rows import read, tags

_GROUP = "/2/groups/[group_name]"

ROUTES = (
    Route("/2/groups", {"GET": read(listing("group", "groups", "name", Answers.groups))}),
    Route(_GROUP, {"GET": read(single("group", "group_name", lambda a, v, r: a.group(v, r.uuid)))}),
    tags(f"{_GROUP}/tags", tags_of("group", "group_name"), "nodegroup", "groups_name_tags", "group_name"),
)
