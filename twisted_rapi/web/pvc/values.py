"""
The values of a request: from query, form and, in the dialect of 0.6, a JSON object (behaviour.md of PVC §1).

The oldest dialect merges query and form, and the query wins; in later ones a name may be given once only.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs

from twisted_rapi.errors import BadRequest
from twisted_rapi.plan.pvc.dialect import LATER, SEED, Dialect
from twisted_rapi.web.pvc.endpoints import FLAGS, Endpoint, Found, Value
from twisted_rapi.web.pvc.multipart import parts_of
from twisted_rapi.web.pvc.replies import BadValue

MOST_VALUES = 1000
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"
USUAL = {
    Dialect.SEED: "Missing required parameter",
    Dialect.V0_6: "Missing required parameter in the JSON body or the post body or the query string",
    Dialect.V1_0: "Missing required parameter in the query string or the post body",
}
"""What is told of a value that is missing."""


@attrs.frozen
class Given:
    """What a request says, by name and in order; `json`: whether its body is a JSON object."""

    query: Mapping[str, list[str]]
    form: Mapping[str, list[str]]
    json: bool = False

    def names(self) -> set[str]:
        """The names of all values."""
        return {*self.query, *self.form}

    def first(self, name: str) -> str | None:
        """The value that counts in the oldest dialect."""
        found = self.query.get(name) or self.form.get(name)
        return found[0] if found else None


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _urlencoded(text: str) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_VALUES, errors="strict")
    except UnicodeDecodeError as e:
        raise BadRequest("A value is no UTF-8") from e
    except ValueError as e:
        raise BadRequest("Too many values") from e
    return _collect(pairs)


def _of_json(body: bytes) -> dict[str, list[str]]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise BadRequest("Unable to parse JSON data") from e
    if not isinstance(found, dict) or len(found) > MOST_VALUES:
        raise BadRequest("Unable to parse JSON data: an object is needed")
    pairs = []
    for name, value in found.items():
        for each in value if isinstance(value, list) else [value]:
            if each is None:
                continue
            if not isinstance(each, str | int | float):
                raise BadValue(name, "A text, a number, true or false is needed")
            pairs.append((name, str(each)))
    return _collect(pairs)


def given(query: str, media_type: str, body: bytes) -> Given:
    """
    What a request says; a body of an unknown type says nothing.

    :param query: as received.
    :param media_type: of the body, with its parameters.
    :raises BadRequest: it cannot be read.
    """
    kind = media_type.partition(";")[0].strip().lower()
    asked = _urlencoded(query)
    if not body:
        return Given(asked, {})
    if body.lstrip()[:1] == b"<" and kind != MULTIPART:
        return Given(asked, {"xml": [_text(body)]})  # no form begins so
    if kind == JSON:
        return Given(asked, _of_json(body), json=True)
    if kind == MULTIPART:
        return Given(asked, _collect(parts_of(media_type, body, MOST_VALUES)))
    if kind == FORM:
        try:
            return Given(asked, _urlencoded(body.decode("ascii")))
        except UnicodeDecodeError as e:
            raise BadRequest("The form is not encoded") from e
    return Given(asked, {})


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as e:
        raise BadRequest("The body is no UTF-8") from e


def signs(found: Found, said: Given, key: bool) -> list[frozenset[Dialect]]:
    """
    For each thing a request says that not all dialects know, those that do.

    Of a value that is one of a few words in all of them those count that have the word, if any does.

    :param key: whether it has a header with an API key.
    """
    known: dict[str, frozenset[Dialect]] = {}
    meant: dict[str, frozenset[Dialect]] = {}
    free: set[str] = set()
    for endpoint in found.endpoints:
        for value in endpoint.values:
            name, dialects = value.name, value.dialects & endpoint.dialects
            known[name] = known.get(name, frozenset()) | dialects
            if not value.choices:
                free.add(name)
            elif said.first(name) in value.choices:
                meant[name] = meant.get(name, frozenset()) | dialects
    meant = {name: dialects for name, dialects in meant.items() if name not in free}
    seen = [meant.get(name, known[name]) for name in said.names() if name in known]
    if "token" in said.names() and "token" not in known:
        seen.append(SEED)
    if key:
        seen.append(LATER)
    if said.json:
        seen.append(frozenset({Dialect.V0_6}))
    return seen


def checked(endpoint: Endpoint, said: Given, dialect: Dialect) -> dict[str, Any]:
    """
    The values an endpoint works with, by name.

    :raises BadValue: one is missing or cannot be meant.
    """
    found = {}
    for value in endpoint.values:
        if dialect not in value.dialects:
            continue
        text = _one(value, said, dialect)
        if text is None or (text == "" and not _says(value, dialect)):
            if value.required:
                raise BadValue(value.name, value.text or USUAL[dialect])
            continue
        found[value.name] = _meant(value, text, dialect)
    return found


def _says(value: Value, dialect: Dialect) -> bool:
    """Whether an empty text says something."""
    if value.kind in ("flag", "presence") or value.required:
        return True
    return value.empty and dialect is Dialect.V1_0


def _one(value: Value, said: Given, dialect: Dialect) -> str | None:
    if dialect is Dialect.SEED:
        return said.first(value.name)
    texts = [*said.query.get(value.name, ()), *(_form(said, dialect).get(value.name, ()))]
    if len(texts) > 1 and value.kind == "list":
        return ",".join(texts)
    if len(texts) > 1:
        raise BadValue(value.name, value.text or "It is given more than once")
    return texts[0] if texts else None


def _form(said: Given, dialect: Dialect) -> Mapping[str, list[str]]:
    """What counts of the body: only one dialect has JSON."""
    return {} if said.json and dialect is not Dialect.V0_6 else said.form


def _meant(value: Value, text: str, dialect: Dialect) -> str | bool:
    if value.kind == "presence":
        return True
    if value.kind == "flag":
        if dialect is Dialect.SEED:
            return text != ""
        flag = FLAGS.get(text.lower())
        if flag is None:
            raise BadValue(value.name, value.text or f"{text} is not a valid choice")
        return flag
    if value.choices and text not in value.choices:
        raise BadValue(value.name, value.text or f"{text} is not a valid choice")
    return text
