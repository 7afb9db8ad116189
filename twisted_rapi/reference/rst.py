"""Pieces of reStructuredText."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

GENERATED = ".. Made by ``make docs`` from the tables in the code; changes here are lost."


def heading(text: str, line: str) -> str:
    """A heading, underlined with this character."""
    return f"{text}\n{line * len(text)}"


def title(text: str) -> str:
    """The title of a page."""
    line = "=" * len(text)
    return f"{line}\n{text}\n{line}"


def code(text: object) -> str:
    """Something as it is written."""
    return f"``{text}``"


def page(*blocks: str) -> str:
    """A whole page; blocks are separated by empty lines."""
    return "\n\n".join([GENERATED, *(block for block in blocks if block)]) + "\n"


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; cells are one line each."""
    found = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        first, *others = row
        found.append(f"   * - {first}".rstrip())
        found += [f"     - {cell}".rstrip() for cell in others]
    return "\n".join(found)


def value(given: Any) -> str:
    """A value as JSON, ``-`` for empty text."""
    return code(json.dumps(given)) if given != "" else "empty text"


def _bounds(schema: Mapping[str, Any]) -> str:
    low, above, high = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and low > -(2**50):
        if high is not None and high < 2**50:
            return f" from {low} to {high}"
        return f" from {low}"
    return f" above {above}" if above is not None else ""


_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "text", "null": "null"}


def words(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return value(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(value, schema["enum"]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(words(inner) for inner in schema[several]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(str(_TYPES.get(each, each)) for each in kind)
    if kind == "array":
        return _list_words(schema)
    if kind == "object":
        return _object_words(schema)
    return _TYPES.get(kind, "anything") + _bounds(schema) if isinstance(kind, str) else "anything"


def _object_words(schema: Mapping[str, Any]) -> str:
    inner, keys = schema.get("additionalProperties"), schema.get("propertyNames", {}).get("enum")
    text = f"object of {words(inner)}" if isinstance(inner, Mapping) else "object"
    return f"{text}, keys {', '.join(map(code, keys))}" if keys else text


def _list_words(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return "list (" + "; ".join(words(item) for item in schema["prefixItems"]) + ")"
    items = schema.get("items")
    return f"list of {words(items)}" if isinstance(items, Mapping) else "list"
