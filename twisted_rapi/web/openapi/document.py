"""The document as a whole: each method of each URI."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from twisted_rapi.model.opcodes.words import QueryResource
from twisted_rapi.web.call import Endpoint, Route
from twisted_rapi.web.doc import Argument, Doc, Schema, choice, ref
from twisted_rapi.web.openapi.components import components

_NAME: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9_.-]+$"}
_NUMBER: Schema = {"type": "string", "pattern": "^[0-9]{1,40}$"}
NAMED: Mapping[str, tuple[str, Schema]] = {
    "instance_name": ("Name of the instance, whole or its beginning up to a dot, or UUID", _NAME),
    "node_name": ("Name of the node, whole or its beginning up to a dot, or UUID", _NAME),
    "group_name": ("Name or UUID of the group", _NAME),
    "network_name": ("Name or UUID of the network", _NAME),
    "filter_uuid": ("UUID of the rule", _NAME),
    "disk_uuid": ("UUID of the detached disk", _NAME),
    "job_id": ("Id of the job", _NUMBER),
    "disk_index": ("Index of the disk, from 0", _NUMBER),
    "resource": ("Kind of object", choice(QueryResource)),
    "name": ("Name of the object", _NAME),
}
"""What stands in URIs: its meaning and form."""

REFUSALS: Mapping[int, str] = {
    400: "Something about the request is wrong",
    401: "Credentials are needed, or those that were sent are wrong",
    403: "This user may not do that",
    404: "There is no such object",
    413: "The body is too large",
    415: "The body is not application/json",
    502: "The query cannot be understood, or a job this was waiting for failed",
    503: "It cannot be answered at present",
}
_ALL = (400, 401, 413, 415, 503)
_ABOUT = """\
The Ganeti remote API (RAPI): requests of all its forms up to release 3.0, answers in the newest form.
Most changes are jobs: the answer is the id of a job, and GET /2/jobs/{job_id} says what becomes of it."""
_PAGE: Schema = {"text/html": {"schema": {"type": "string"}}}
_ERROR: Schema = {"application/json": {"schema": ref("Error")}}
_BASIC: list[Schema] = [{"basic": []}]
_IN_PATH = re.compile(r"\[(\w+)\]")


def path_of(pattern: str) -> str:
    """A URI pattern as OpenAPI writes it."""
    return _IN_PATH.sub(r"{\1}", pattern)


def statuses(route: Route, endpoint: Endpoint) -> tuple[int, ...]:
    """All statuses of refusals that a method may answer."""
    more = set(endpoint.described().refusals)
    if endpoint.access != "anyone":
        more.add(403)
    if "[" in route.pattern:
        more.add(404)
    return tuple(sorted({*_ALL, *more}))


def _path_parameters(pattern: str) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": NAMED[name][0],
            "schema": NAMED[name][1],
        }
        for name in _IN_PATH.findall(pattern)
    ]


def _argument(argument: Argument) -> Schema:
    return {
        "name": argument.name,
        "in": "query",
        "required": argument.required,
        "description": argument.doc,
        "schema": argument.schema,
    }


def _refusal(status: int, html: bool) -> Schema:
    answer: dict[str, Any] = {
        "description": REFUSALS[status],
        "content": {**_PAGE, **_ERROR} if html else _ERROR,
    }
    if status == 401:
        answer["headers"] = {
            "WWW-Authenticate": {"description": "Basic, and the realm", "schema": {"type": "string"}}
        }
    return answer


def _security(endpoint: Endpoint) -> list[Schema]:
    """Who may; what anyone may is answered without credentials too."""
    return [{}, *_BASIC] if endpoint.access == "anyone" else _BASIC


_RIGHTS = {
    "anyone": "Anyone may, unless the cluster asks for credentials always.",
    "reader": "Users with the option read or write may.",
    "writer": "Users with the option write may.",
}


def _operation_id(method: str, pattern: str) -> str:
    words = re.sub(r"\W+", "_", pattern).strip("_") or "root"
    return f"{method.lower()}_{words}"


def operation(route: Route, method: str, endpoint: Endpoint) -> Schema:
    """One method of one URI."""
    doc: Doc = endpoint.described()
    success = {"description": doc.answer, "content": {doc.media_type: {"schema": doc.schema}}}
    refusals = {str(status): _refusal(status, route.html) for status in statuses(route, endpoint)}
    found: dict[str, Any] = {
        "operationId": _operation_id(method, route.pattern),
        "summary": doc.summary,
        "description": _RIGHTS[endpoint.access],
        "security": _security(endpoint),
        "responses": {"200": success, **refusals},
    }
    if doc.query:
        found["parameters"] = [_argument(argument) for argument in doc.query]
    if doc.body is not None:
        found["requestBody"] = {
            "description": doc.body.doc,
            "required": doc.body.required,
            "content": {"application/json": {"schema": doc.body.schema}},
        }
    return found


def document(routes: Iterable[Route]) -> Schema:
    """
    The OpenAPI 3.1 document of these routes.

    :raises LookupError: a method is not described.
    """
    paths: dict[str, Any] = {}
    for route in routes:
        item: dict[str, Any] = {m.lower(): operation(route, m, e) for m, e in route.methods.items()}
        if parameters := _path_parameters(route.pattern):
            item["parameters"] = parameters
        paths[path_of(route.pattern)] = item
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Remote API of a cluster of virtual machines",
            "version": "2",
            "description": _ABOUT,
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components(),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "A user of the users file"}
            },
        },
    }
