"""RAPI resources of queries (resources.json; texts as observed)."""

import json
from collections.abc import Sequence
from typing import Any

from twisted_rapi.cluster.answers import encode
from twisted_rapi.cluster.queries import rows_of
from twisted_rapi.errors import BadGateway, BadRequest
from twisted_rapi.model.query import FilterError
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.query import Query, chosen, prepare
from twisted_rapi.web.call import Call, Endpoint, Route, type_name
from twisted_rapi.web.rapi.rows import read
from twisted_rapi.web.reply import Reply, ready_list, success

_QUERY = "/2/query/[resource]"
MOST_WORDS = 2000  # characters of a request that its refusal repeats


def _refused(request: Sequence[Any], reason: str) -> BadGateway:
    """A request whose form is wrong, as the original's job daemon refuses it."""
    words = json.dumps(request)
    if len(words) > MOST_WORDS:
        words = words[:MOST_WORDS] + "..."
    return BadGateway(f"Failed to parse request: Cannot convert value '{words}', error: {reason}")


def _known(what: str, request: Sequence[Any]) -> None:
    if what not in RESOURCES:
        raise _refused(request, f"Can't parse value '{what}' as neitherQueryTypeLuxi nor QueryTypeOp")


def _listed(call: Call) -> list[str] | None:
    """The names of the argument ``fields``; ``None`` without it."""
    text = call.argument("fields")
    return None if text is None else [name.strip() for name in text.split(",")]


def _needed(call: Call) -> list[str]:
    names = _listed(call)
    if names is None:
        raise BadRequest("Missing 'fields' query argument")
    return names


def _asked(call: Call) -> tuple[Any, Any]:
    """Fields and filter of a body; the older keys and forms too."""
    if not isinstance(call.body, dict):
        raise BadRequest(f"Body contents: Type is '{type_name(call.body)}', but 'dict' is expected")
    given = call.body.get("qfilter")
    fields = call.body["fields"] if "fields" in call.body else _needed(call)
    return fields, call.body.get("filter") if given is None else given


def _prepared(what: str, fields: Any, given: Any) -> Query:
    request = [what, fields, given]
    _known(what, request)
    if not isinstance(fields, list):
        raise _refused(request, "Unable to read list")
    if not all(isinstance(name, str) for name in fields):
        raise _refused(request, "Unable to read String")
    try:
        return prepare(what, fields, given)
    except FilterError as e:
        if e.form:
            raise _refused(request, str(e)) from e
        raise


async def _answered(call: Call, query: Query) -> Reply:
    rows = await rows_of(query, call.api.answers, call.api.cluster)
    return ready_list(rows, b'{"data": [', b'], "fields": ' + encode(query.definitions()) + b"}")


async def get(call: Call) -> Reply:
    """``GET /2/query/R``."""
    return await _answered(call, _prepared(call.names["resource"], _needed(call), None))


async def put(call: Call) -> Reply:
    """``PUT /2/query/R``."""
    return await _answered(call, _prepared(call.names["resource"], *_asked(call)))


def fields(call: Call) -> Reply:
    """``GET /2/query/R/fields``."""
    what, names = call.names["resource"], _listed(call)
    _known(what, [what, names])
    return success({"fields": [field.definition() for field in chosen(RESOURCES[what], names)]})


ROUTES = (
    Route(_QUERY, {"GET": Endpoint(get, "reader"), "PUT": Endpoint(put, "reader")}),
    Route(f"{_QUERY}/fields", {"GET": read(fields)}),
)
