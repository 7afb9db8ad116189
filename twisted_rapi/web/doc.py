"""What is told of each method of a URI: the source of the reference and of ``/2/openapi.json``."""

import builtins
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args, get_origin

import attrs
import msgspec

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.base import fields_of
from twisted_rapi.model.opcodes.described import description

Schema = Mapping[str, Any]
"""A JSON Schema (draft 2020-12)."""

FLAG: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
NULL: Schema = {"type": "null"}
NAMES: Schema = {"type": "array", "items": TEXT}


def ref(name: str) -> Schema:
    """One of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(items: Schema) -> Schema:
    """A list of any length."""
    return {"type": "array", "items": items}


@lru_cache(maxsize=500)
def choice(kind: Any) -> Schema:
    """The schema of a type that opcodes use."""
    return _with_keys(kind, msgspec.json.schema(kind))


def _with_keys(kind: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, also saying which keys objects of a type may have; msgspec leaves that out."""
    arguments = get_args(kind)
    match get_origin(kind):
        case typing.Annotated:
            return _with_keys(arguments[0], schema)
        case types.UnionType | typing.Union if arguments[1:] == (types.NoneType,):
            return {"anyOf": [_with_keys(arguments[0], schema["anyOf"][0]), schema["anyOf"][1]]}
        case builtins.list:
            return (
                {**schema, "items": _with_keys(arguments[0], schema["items"])}
                if "items" in schema
                else schema
            )
        case builtins.dict if get_origin(arguments[0]) is typing.Literal:
            return {**schema, "propertyNames": {"enum": list(get_args(arguments[0]))}}
    return schema


@attrs.frozen
class Argument:
    """
    An argument of the query.

    :ivar several: whether all its values count, and not only the first.
    """

    name: str
    doc: str
    schema: Schema = TEXT
    required: bool = False
    several: bool = False


@attrs.frozen
class Body:
    """What a request's body may be."""

    doc: str
    schema: Schema
    required: bool = False


@attrs.frozen(kw_only=True)
class Doc:
    """
    A method of a URI.

    :ivar summary: what it does.
    :ivar answer: what a success answers, in words; `schema`: the same as a JSON Schema.
    :ivar refusals: the statuses of refusals that not all methods have.
    :ivar media_type: of the answer.
    """

    summary: str
    answer: str
    schema: Schema
    query: tuple[Argument, ...] = ()
    body: Body | None = None
    refusals: tuple[int, ...] = ()
    media_type: str = "application/json"


JOB_ID = "The id of the job that was submitted"
BULK = Argument("bulk", "With 1, all about each object", FLAG)
LOCK = Argument("lock", "Only 0: reads never wait for locks", {"const": 0})
DRY_RUN = Argument("dry-run", "With 1, only check whether it could be done", FLAG)
REASON = Argument("reason", "Why it is asked for; it is kept with the job")


def submits(
    summary: str, query: tuple[Argument, ...] = (), body: Body | None = None, refusals: tuple[int, ...] = ()
) -> Doc:
    """A method that submits a job and answers its id."""
    return Doc(summary=summary, answer=JOB_ID, schema=ref("JobId"), query=query, body=body, refusals=refusals)


def headline(thing: object) -> str:
    """The first sentence of a docstring."""
    return (thing.__doc__ or "").strip().partition("\n")[0]


def parameter(opcode: type[Opcode], field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    """A parameter of an opcode: its schema, default and meaning."""
    schema = dict(choice(field.type))
    default = default_of(field)
    if default is not None:
        schema["default"] = default
    return {**schema, "description": description(opcode.OP_ID, field.name)}


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """What a parameter is when it is not given; ``None`` also for one that has to be."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def parameters(opcode: type[Opcode]) -> dict[str, msgspec.structs.FieldInfo]:
    """An opcode's parameters by name, its own first."""
    fields = fields_of(opcode)
    every = set(Opcode.__struct_fields__)
    own = [f for f in fields if f.name not in every]
    return {f.name: f for f in (*own, *(f for f in fields if f.name in every))}


def body_of(
    opcode: type[Opcode], left_out: frozenset[str], older: Mapping[str, str], closed: bool = True
) -> Body:
    """
    A body whose keys are parameters.

    :param left_out: those that come from elsewhere.
    :param older: other names of parameters.
    :param closed: whether other keys are refused.
    """
    fields = {name: f for name, f in parameters(opcode).items() if name not in left_out}
    properties = {name: parameter(opcode, f) for name, f in fields.items()}
    names = {new: old for old, new in older.items() if new in properties}
    properties |= {
        old: {**properties[new], "description": f"Older name of {new}"} for new, old in names.items()
    }
    needed = [name for name, f in fields.items() if f.required]
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if plain := [name for name in needed if name not in names]:
        schema["required"] = plain
    if either := [_one_of(new, old, new in needed) for new, old in names.items()]:
        schema["allOf"] = either
    if closed:
        schema["additionalProperties"] = False
    return Body(f"Parameters of {opcode.OP_ID}", schema, bool(needed))


def _one_of(new: str, old: str, needed: bool) -> Schema:
    """A parameter is given under one of two names, not both."""
    if needed:
        return {"oneOf": [{"required": [new]}, {"required": [old]}]}
    return {"not": {"required": [new, old]}}
