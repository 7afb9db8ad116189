"""The page of resources: every method of every URI."""

import msgspec
from twisted.internet.defer import maybeDeferred

from twisted_rapi.config import Config
from twisted_rapi.reference.rst import bullets, code, heading, page, title, words
from twisted_rapi.web.call import Endpoint, Route
from twisted_rapi.web.candidacy import joining_routes
from twisted_rapi.web.doc import Body
from twisted_rapi.web.openapi.document import NAMED, REFUSALS, statuses
from twisted_rapi.web.openapi.route import with_document
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2

_ABOUT = """\
Answers are JSON, successes have status 200.  A refusal is an object with ``code``, ``message`` and
``explain``; version 1.2 answers pages instead.  Other methods of a URI are refused with 501.  The same in a
form for programs: ``GET /2/openapi.json``.

Where a method changes something, its answer is mostly the id of a job, and ``GET /2/jobs/ID`` says what
becomes of it.  Bodies have the content type ``application/json``.  Yes-or-no arguments are integers,
0 for no."""
_RIGHTS = {
    "anyone": "Anyone may ask.",
    "reader": "Needs the option read or write.",
    "writer": "Needs the option write.",
}


def every_route() -> tuple[Route, ...]:
    """All routes of the daemon; handlers of joining could not be called."""
    config = msgspec.convert({"node": "none"}, Config)
    joining = joining_routes(config, None, lambda: None, maybeDeferred)
    return with_document((*ROUTES, *ROUTES_OF_1_2, *joining), at_once=False)


def _body(body: Body) -> list[str]:
    needed = "" if body.required else ", if there is one"
    properties = body.schema.get("properties")
    if properties is None:
        return [f"Body{needed}: {body.doc}: {words(body.schema)}."]
    if body.doc.startswith("Parameters of "):
        names = ", ".join(map(code, properties))
        return [f"Body{needed}: parameters of {code(body.doc.rpartition(' ')[2])}:", names + "."]
    keys = [f"{code(name)} ({words(s)}): {s.get('description', '')}." for name, s in properties.items()]
    return [f"Body{needed}: {body.doc}, an object with", bullets(keys)]


def _method(route: Route, method: str, endpoint: Endpoint) -> list[str]:
    doc = endpoint.described()
    blocks = [heading(f"{method} {route.pattern}", "-"), f"{doc.summary}  {_RIGHTS[endpoint.access]}"]
    if doc.query:
        arguments = [
            f"{code(a.name)} ({words(a.schema)}{', needed' if a.required else ''}): {a.doc}."
            for a in doc.query
        ]
        blocks += ["Arguments:", bullets(arguments)]
    if doc.body is not None:
        blocks += _body(doc.body)
    refusals = ", ".join(map(str, statuses(route, endpoint)))
    return [*blocks, f"Answer: {doc.answer}: {words(doc.schema)}.  Refusals: {refusals}."]


def resources() -> str:
    """Every method of every URI."""
    blocks = [
        block
        for route in sorted(every_route(), key=lambda route: route.pattern)
        for method, endpoint in route.methods.items()
        for block in _method(route, method, endpoint)
    ]
    named = bullets(f"{code(f'[{name}]')}: {doc}." for name, (doc, _) in NAMED.items())
    refused = bullets(f"{code(status)}: {text}." for status, text in REFUSALS.items())
    return page(
        title("Resources"),
        _ABOUT,
        heading("Names in URIs", "="),
        named,
        heading("Refusals", "="),
        refused,
        heading("Each method", "="),
        *blocks,
    )
