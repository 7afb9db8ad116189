"""The page of PVC's API: every method of every URI, and which forms have it."""

from collections.abc import Iterable, Sequence

from twisted_rapi.plan.pvc.dialect import ALL, NAMES, Dialect
from twisted_rapi.reference.rst import bullets, code, heading, page, title
from twisted_rapi.web.pvc.endpoints import PREFIX, Endpoint, Value
from twisted_rapi.web.pvc.openapi import REFUSALS, with_document
from twisted_rapi.web.pvc.routes import ENDPOINTS

_ABOUT = """\
The forms ``seed``, ``0.6`` and ``1.0`` are served side by side; ``docs/pvc.rst`` says which of them a
request is answered in.  Values are in the query or a form, in any method; in ``0.6`` also in a JSON
object.  An element such as ``/node/NAME`` is a list of one in ``seed`` and ``1.0`` and an object in
``0.6``; what changes something answers with a ``message``, or in ``1.0`` with status 202 and the task,
where that is said there.  A refusal is an object with a ``message``.  The same in a form for programs:
``GET /api/v1/openapi.json``.

A flag is a yes by any text in ``seed``, and by ``true``, ``yes``, ``on`` or ``1`` later; a mark is a yes
by being there."""

_KINDS = {"flag": "a flag", "presence": "a mark", "list": "may be given several times"}


def _forms(dialects: Iterable[Dialect], among: frozenset[Dialect] = ALL) -> str:
    """Which forms have something; nothing where all of them have."""
    some = frozenset(dialects)
    names = [name for name, dialect in NAMES.items() if dialect in some]
    return "" if some == among else " or ".join(code(name) for name in names)


def _value(value: Value, among: frozenset[Dialect]) -> str:
    about = [_KINDS.get(value.kind, ""), "needed" if value.required else ""]
    forms = _forms(value.dialects & among, among)
    about.append(f"in {forms}" if forms else "")
    told = ", ".join(filter(None, about))
    choices = f": {', '.join(map(code, value.choices))}" if value.choices else ""
    return f"{code(value.name)}{f' ({told})' if told else ''}: {value.doc}{choices}."


def _method(rows: Sequence[Endpoint]) -> list[str]:
    first = rows[0]
    blocks = [heading(f"{first.method} {PREFIX}{first.path}", "-")]
    for row in rows:
        only = _forms(row.dialects)
        known = [value for value in row.values if value.dialects & row.dialects]
        blocks.append(f"{row.doc}{f'  In {only}.' if only else ''}{'  Needs no token.' if row.open else ''}")
        if known:
            blocks += ["Values:", bullets(_value(value, row.dialects) for value in known)]
    own = sorted({status for row in rows for status in row.refusals})
    return [*blocks, f"Also refused with {', '.join(map(str, own))}."] if own else blocks


def pvc() -> str:
    """Every method of every URI."""
    found: dict[tuple[str, str], list[Endpoint]] = {}
    for endpoint in with_document(ENDPOINTS):
        found.setdefault((endpoint.path, endpoint.method), []).append(endpoint)
    refused = bullets(f"{code(status)}: {text}." for status, text in REFUSALS.items())
    methods = [block for key in sorted(found) for block in _method(found[key])]
    return page(
        title("PVC's API"),
        _ABOUT,
        heading("Refusals", "="),
        refused,
        heading("Each method", "="),
        *methods,
    )
