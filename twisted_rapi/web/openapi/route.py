"""The URI the document is served from."""

from collections.abc import Sequence
from functools import cached_property

from twisted_rapi.cluster.answers import encode
from twisted_rapi.web.call import Call, Endpoint, Route
from twisted_rapi.web.doc import Doc
from twisted_rapi.web.openapi.document import document
from twisted_rapi.web.reply import Reply, ready

PATTERN = "/2/openapi.json"
_DOC = Doc(
    summary="Show this document; an extension.",
    answer="An OpenAPI 3.1 document of all methods of all URIs",
    schema={"type": "object", "required": ["openapi", "info", "paths", "components"]},
)


class _Served:
    """The document, made when it is first wanted."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = (*routes, Route(PATTERN, {"GET": Endpoint(self, kept=True, doc=_DOC)}))

    @cached_property
    def body(self) -> bytes:
        """As JSON."""
        return encode(document(self.routes))

    def __call__(self, call: Call) -> Reply:
        """``GET /2/openapi.json``."""
        return ready(self.body)


def with_document(routes: Sequence[Route], at_once: bool = True) -> tuple[Route, ...]:
    """
    The routes and one more: the document of all of them.

    :param at_once: make it now, and not while somebody waits.
    :raises LookupError: a method is not described.
    """
    served = _Served(routes)
    if at_once:
        _ = served.body
    return served.routes
