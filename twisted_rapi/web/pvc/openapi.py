"""PVC's API as an OpenAPI 3.1 document, made from the tables of endpoints."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from twisted_rapi import __version__
from twisted_rapi.plan.pvc.dialect import ALL, NAMES, Dialect
from twisted_rapi.web.doc import Schema
from twisted_rapi.web.pvc.endpoints import PREFIX, Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.reply import Reply

PATH = "/openapi.json"
_IN_PATH = re.compile(r"<(\w+)>")
_ABOUT = """\
PVC's HTTP API in three forms: its first documentation (seed), 0.6 and 1.0.  The form of an answer follows
from what is asked for, the client's User-Agent, and the configuration.  Values may be in query or form.
Elements are lists of one in seed and 1.0, and objects in 0.6."""
_MESSAGE: Schema = {
    "description": "Why not; a bare text in some answers of the oldest form",
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "message": {
                    "description": "In words; in later forms an object with the words by the name of a value",
                    "type": ["string", "object"],
                }
            },
            "required": ["message"],
        },
        {"type": "string"},
    ],
}
REFUSALS = {
    400: "It cannot be meant, or cannot be done",
    401: "A token is needed, or the one that was shown is none",
    403: "Another site has had a browser ask",
    404: "There is no such object",
    413: "The body is too large",
    502: "Something behind this API gave an answer that cannot be used",
    503: "It cannot be answered at present",
    504: "Something behind this API did not answer in time",
    520: "A network cannot be made so, in the oldest form",
}
"""What is told by which status."""
_SECURITY: list[Schema] = [{"key": []}, {"token": []}, {"session": []}]
_SCHEMES: Schema = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
    "session": {"type": "apiKey", "in": "cookie", "name": "session"},
}


def _forms(dialects: Iterable[Dialect]) -> str:
    """Which forms have something, in words; nothing where all have."""
    some = frozenset(dialects)
    names = [name for name, dialect in NAMES.items() if dialect in some]
    return "" if some == ALL else f" ({', '.join(names)} only)"


def _schema(value: Value) -> Schema:
    match value.kind:
        case "flag":
            return {"type": "string", "enum": ["true", "false"], "default": "false"}
        case "presence":
            return {"type": "string", "description": "Yes by being there"}
    return {"type": "string", "enum": list(value.choices)} if value.choices else {"type": "string"}


def _values(endpoints: Sequence[Endpoint]) -> list[tuple[Value, str, bool]]:
    """Each value once, with what is told of it, and whether all forms need it."""
    found: dict[str, list[Value]] = {}
    for value in (value for endpoint in endpoints for value in endpoint.values):
        found.setdefault(value.name, []).append(value)
    forms = frozenset[Dialect]().union(*(e.dialects for e in endpoints))
    told = []
    for values in found.values():
        dialects = forms.intersection(frozenset[Dialect]().union(*(v.dialects for v in values)))
        text = values[0].doc + (_forms(dialects) if dialects != forms else "")
        told.append((values[0], text, dialects == forms and all(v.required for v in values)))
    return told


def statuses(endpoints: Sequence[Endpoint]) -> list[int]:
    """The statuses that these may be refused with."""
    found = {400, 401, 404, 413, 502, 503, 504}
    if any(e.method != "GET" for e in endpoints):
        found.add(403)
    return sorted(found.union(*(e.refusals for e in endpoints)))


def _answers(endpoints: Sequence[Endpoint]) -> Schema:
    content: dict[str, Any] = {e.media_type: {} for e in endpoints}
    found: dict[str, Any] = {"2XX": {"description": "What was asked for, or a message", "content": content}}
    if all(e.open for e in endpoints):
        # The root, logins and logouts.
        found["3XX"] = {"description": "Go on elsewhere", "content": {"text/html": {}}}
        content["application/json"] = {}
    told = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    for status in statuses(endpoints):
        found[str(status)] = {"description": REFUSALS[status], "content": told}
    return found


def operation(method: str, endpoints: Sequence[Endpoint]) -> Schema:
    """One method of one URI, in all forms that have it."""
    first = endpoints[0]
    forms = frozenset[Dialect]().union(*(e.dialects for e in endpoints))
    words = re.sub(r"\W+", "_", first.path).strip("_") or ("slash" if first.path else "root")
    values = _values(endpoints)
    found: dict[str, Any] = {
        "operationId": f"{method.lower()}_{words}",
        "summary": first.doc + _forms(forms),
        "security": [] if first.open else _SECURITY,
        "responses": _answers(endpoints),
        "tags": [first.path.strip("/").partition("/")[0] or "root"],
        "x-forms": [name for name, dialect in NAMES.items() if dialect in forms],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _IN_PATH.findall(first.path)
        ],
    }
    found["parameters"] += [
        # A form may have it instead.
        {"name": value.name, "in": "query", "description": text, "schema": _schema(value)}
        for value, text, _ in values
    ]
    if values and method != "GET":
        properties = {value.name: {**_schema(value), "description": text} for value, text, _ in values}
        form = {"type": "object", "properties": properties}
        found["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": form}}}
    needed = [value.name for value, _, required in values if required]
    if needed:
        found["description"] = f"Needed: {', '.join(needed)}."
    return found


def document(endpoints: Sequence[Endpoint]) -> Schema:
    """The document of all endpoints."""
    found: dict[tuple[str, str], list[Endpoint]] = {}
    for endpoint in endpoints:
        found.setdefault((endpoint.path, endpoint.method), []).append(endpoint)
    paths: dict[str, dict[str, Schema]] = {}
    for (path, method), rows in found.items():
        uri = PREFIX + _IN_PATH.sub(r"{\1}", path)
        paths.setdefault(uri, {})[method.lower()] = operation(method, rows)
    return {
        "openapi": "3.1.0",
        "info": {"title": "PVC", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {"securitySchemes": _SCHEMES, "schemas": {"Refusal": _MESSAGE}},
    }


class _Served:
    """The document, made when it is first wanted."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        own = Endpoint(path=PATH, method="GET", handler=self, doc="Show this document.", open=True)
        self.endpoints = (*endpoints, own)

    @cached_property
    def document(self) -> Schema:
        """All of it."""
        return document(self.endpoints)

    def __call__(self, call: PvcCall) -> Reply:
        """``GET /api/v1/openapi.json``."""
        return answer(call.dialect, self.document)


def with_document(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints and one more: the document of all of them."""
    return _Served(endpoints).endpoints
