"""Judges answers by the document the API gives of itself."""

import json
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from twisted_rapi.cluster.answers import encode
from twisted_rapi.errors import NotFound
from twisted_rapi.web.call import Route
from twisted_rapi.web.openapi.document import document, path_of
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2
from twisted_rapi.web.routing import Routes

if TYPE_CHECKING:
    from tests.unit.web.http import Answer


class Schemas:
    """The document's schemas of answers and bodies."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.document: dict[str, Any] = json.loads(encode(document(routes)))
        self._validators: dict[tuple[str, ...], Any] = {}

    def _validator(self, schema: Any, *key: str) -> Any:
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[key]

    def _operation(self, method: str, pattern: str) -> Any:
        return self.document["paths"][path_of(pattern)][method.lower()]

    def complaints(self, method: str, pattern: str, answer: "Answer") -> list[str]:
        """What of an answer is not as the document says."""
        responses = self._operation(method, pattern)["responses"]
        status = str(answer.status)
        if status not in responses:
            return [f"{status} is not among {sorted(responses)}"]
        kind = answer.headers["content-type"]
        content = responses[status]["content"]
        if kind not in content:
            return [f"{kind} is not among {sorted(content)}"]
        if kind != "application/json":
            return []
        validator = self._validator(content[kind]["schema"], method, pattern, status)
        return [f"{list(e.instance_path)}: {e.message}" for e in validator.iter_errors(answer.json())]

    def is_job(self, method: str, pattern: str) -> bool:
        """Whether a success is, or may be, the id of a job."""
        content = self._operation(method, pattern)["responses"]["200"]["content"]
        schema = content.get("application/json", {}).get("schema", {})
        return {"$ref": "#/components/schemas/JobId"} in (schema, *schema.get("anyOf", ()))

    def has_body(self, method: str, pattern: str) -> bool:
        """Whether the method takes a body."""
        return "requestBody" in self._operation(method, pattern)

    def body_fits(self, method: str, pattern: str, body: Any) -> bool:
        """Whether a body is one that the document promises to understand."""
        schema = self._operation(method, pattern)["requestBody"]["content"]["application/json"]["schema"]
        fits: bool = self._validator(schema, method, pattern, "body").is_valid(body)
        return fits


@cache
def schemas() -> Schemas:
    """The document of all that is always served."""
    return Schemas((*ROUTES, *ROUTES_OF_1_2))


@cache
def _routes() -> Routes:
    return Routes((*ROUTES, *ROUTES_OF_1_2))


def judge(method: str, path: str, answer: "Answer") -> None:
    """
    Whatever is asked of what the document has, the answer is one of those it has.

    :raises AssertionError: it is not.
    """
    try:
        route, _ = _routes().find(path.partition("?")[0])
    except NotFound:
        return
    if method in route.methods:
        complaints = schemas().complaints(method, route.pattern, answer)
        if complaints:
            raise AssertionError(
                f"{method} {path}, {answer.status}, not as /2/openapi.json says: {complaints[:3]}"
            )
