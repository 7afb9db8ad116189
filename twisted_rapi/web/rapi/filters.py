"""RAPI resources of the rules about jobs."""

import re
from typing import Any

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.plan.fields import rule
from twisted_rapi.plan.fields.base import shown
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.web.call import Call, Route, type_name
from twisted_rapi.web.rapi.rows import read, write
from twisted_rapi.web.reply import Reply, success

_FILTER = "/2/filters/[filter_uuid]"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BODY: dict[str, tuple[type, Any]] = {
    "priority": (int, 0),
    "predicates": (list, ()),
    "action": (object, "CONTINUE"),
    "reason": (list, ()),
}
MOST_PRIORITY = 2**53


def filters(call: Call) -> Reply:
    """``GET /2/filters``, in the order the rules are asked."""
    view = call.api.answers.view()
    uuids = RESOURCES["filter"].ids(view)
    if call.flag("bulk"):
        return success([shown(rule.TABLE, view, view.filters[uuid]) for uuid in uuids])
    return success([{"uuid": uuid, "uri": f"/2/filters/{uuid}"} for uuid in uuids])


def single(call: Call) -> Reply:
    """``GET /2/filters/UUID``."""
    view = call.api.answers.view()
    record = view.filters.get(call.names["filter_uuid"])
    if record is None:
        raise NotFound
    return success(shown(rule.TABLE, view, record))


def _given(call: Call) -> dict[str, Any]:
    """The rule as the body has it, with defaults."""
    if not isinstance(call.body, dict):
        raise BadRequest("Invalid body contents, not a dictionary")
    for name in call.body:
        if name not in _BODY:
            raise BadRequest(f"Invalid body parameters: a filter rule doesn't support the parameter '{name}'")
    found = {}
    for name, (kind, default) in _BODY.items():
        value = call.body.get(name, default)
        if name in call.body and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            wanted, got = kind.__name__, type_name(value)
            raise BadRequest(f"'{name}' parameter: Type is '{got}', but '{wanted}' is expected")
        found[name] = value
    if not 0 <= found["priority"] <= MOST_PRIORITY:
        raise BadRequest("'priority' parameter: it is a natural number")
    return found


async def add(call: Call) -> Reply:
    """``POST /2/filters``."""
    return success(await call.api.cluster.put_filter(None, **_given(call)))


async def replace(call: Call) -> Reply:
    """``PUT /2/filters/UUID``: replaces the rule, or makes one of this UUID."""
    uuid = call.names["filter_uuid"]
    if _UUID.fullmatch(uuid) is None:
        raise BadRequest("Unable to parse UUID")
    return success(await call.api.cluster.put_filter(uuid, **_given(call)))


async def delete(call: Call) -> Reply:
    """``DELETE /2/filters/UUID``."""
    await call.api.cluster.delete_filter(call.names["filter_uuid"])
    return success(None)


ROUTES = (
    Route("/2/filters", {"GET": read(filters), "POST": write(add)}),
    Route(_FILTER, {"GET": read(single), "PUT": write(replace), "DELETE": write(delete)}),
)
