"""Answers of PVC's API as they go over the wire (behaviour.md of PVC §1)."""

import html
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs

from twisted_rapi.errors import QueueDrained, RequestError
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.limit import Unanswerable
from twisted_rapi.web.reply import Joined, Reply

HTML = b"text/html; charset=utf-8"
SERVER = (b"Server", b"twisted_rapi")

_sorted = json.JSONEncoder(separators=(",", ":"), allow_nan=False, sort_keys=True)
_spaced = json.JSONEncoder(separators=(", ", ": "), allow_nan=False)


class BadValue(RequestError):
    """A value is missing, or cannot be meant."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name, self.text = name, text


def encode(dialect: Dialect, value: Any) -> bytes:
    """JSON as servers of this dialect write it, without a newline."""
    encoder = _sorted if dialect is Dialect.SEED else _spaced
    return encoder.encode(value).encode("ascii")


def answer(dialect: Dialect, value: Any, status: int = 200) -> Reply:
    """A value as JSON."""
    return Reply(encode(dialect, value) + b"\n", status, headers=(SERVER,))


def ready_list(dialect: Dialect, items: Sequence[bytes]) -> Reply:
    """A list of items that `encode` has written."""
    between = b"," if dialect is Dialect.SEED else b", "
    return Reply(b"", headers=(SERVER,), joined=Joined(b"[", items, b"]\n", between))


def message(dialect: Dialect, text: str | Mapping[str, str], status: int = 200) -> Reply:
    """What most answers are."""
    return answer(dialect, {"message": text}, status)


def page(status: int, text: str) -> Reply:
    """What people are told; `text` is no HTML."""
    title = HTTPStatus(status).phrase
    whole = (
        f"<!doctype html>\n<title>{status} {title}</title>\n<h1>{title}</h1>\n<p>{html.escape(text)}</p>\n"
    )
    return Reply(whole.encode(), status, HTML, (SERVER,))


def redirect(target: str, status: int = 302) -> Reply:
    """Where to go on."""
    link = html.escape(target, quote=True)
    text = f'<!doctype html>\n<title>Go on</title>\n<p><a href="{link}">{link}</a></p>\n'
    return Reply(text.encode(), status, HTML, (SERVER, (b"Location", target.encode("ascii"))))


def not_allowed(dialect: Dialect, methods: tuple[str, ...]) -> Reply:
    """The URI exists without this method."""
    allow = (b"Allow", ", ".join(sorted({*methods, "OPTIONS"})).encode())
    text = "The method is not allowed for the requested URL."
    reply = page(405, text) if dialect is Dialect.SEED else message(dialect, text, 405)
    return attrs.evolve(reply, headers=(*reply.headers, allow))


def refusal(dialect: Dialect, error: RequestError) -> Reply:
    """What a client is told of an error."""
    if isinstance(error, BadValue) and dialect is not Dialect.SEED:
        return message(dialect, {error.name: error.text}, error.status)
    if isinstance(error, Unanswerable) and dialect is Dialect.SEED:
        return answer(dialect, error.message, error.status)
    if isinstance(error, QueueDrained):  # that this is 500 is a habit of RAPI's
        return message(dialect, "ERROR: No jobs are taken at present", 503)
    text = f"{error.name}: {error.text}" if isinstance(error, BadValue) else error.message
    return message(dialect, text or HTTPStatus(error.status).phrase, error.status)
