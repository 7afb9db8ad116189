"""
Rows of the resource tables: how a method of a URI becomes opcodes.

A row says which opcode, which of its parameters come from the URI and the query, and whether the body's keys
are parameters too (resources.json).
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from twisted_rapi.errors import BadRequest, Forbidden
from twisted_rapi.model.opcodes import Opcode, cluster, decode
from twisted_rapi.web.call import Access, Call, Endpoint, Handler, Route
from twisted_rapi.web.doc import (
    DRY_RUN,
    FLAG,
    NAMES,
    REASON,
    TEXT,
    Argument,
    Body,
    Doc,
    body_of,
    headline,
    parameter,
    parameters,
    submits,
)
from twisted_rapi.web.reply import Reply, success

QueryValue = Callable[[Call, str], Any]


def flag(call: Call, name: str) -> Any:
    """A yes-or-no argument; no when it is absent."""
    return call.flag(name)


def text(call: Call, name: str) -> Any:
    """An argument as it is; ``None`` when it is absent."""
    return call.argument(name)


def text_or(default: str) -> QueryValue:
    """An argument as it is, with a default."""

    def read_text(call: Call, name: str) -> Any:
        value = call.argument(name)
        return default if value is None else value

    return read_text


@attrs.frozen(kw_only=True)
class Submission:
    """
    How a request becomes an opcode.

    :ivar handler: its name in the reason trail.
    :ivar names: parameter -> name in the URI.
    :ivar query: argument -> parameter and how it is read; given or not, the body must not give it.
    :ivar fixed: parameters with the one value they have here.
    :ivar body: whether the body's keys are parameters; or which of them are, others are then ignored.
    :ivar renames: older key of the body -> parameter.
    :ivar dry_run: whether the resource has the argument ``dry-run``: the opcode then says it, given or not.
    """

    opcode: type[Opcode]
    handler: str
    names: Mapping[str, str] = attrs.field(factory=dict)
    query: Mapping[str, tuple[str, QueryValue]] = attrs.field(factory=dict)
    fixed: Mapping[str, Any] = attrs.field(factory=dict)
    body: bool | frozenset[str] = True
    renames: Mapping[str, str] = attrs.field(factory=dict)
    dry_run: bool = False

    async def __call__(self, call: Call) -> Reply:
        """Submit the job and answer its id."""
        return success(await call.api.cluster.submit([self.opcode_of(call)], call.request_id))

    def opcode_of(self, call: Call) -> Opcode:
        """
        The opcode a request means.

        :raises BadRequest: it means none.
        """
        values = self._given(call)
        static = {name: call.names[key] for name, key in self.names.items()} | dict(self.fixed)
        static["reason"] = trail(call, self.handler)
        static |= {name: read_value(call, argument) for argument, (name, read_value) in self.query.items()}
        if (
            self.dry_run or call.argument("dry-run") is not None
        ):  # also where it is not documented: it is safe
            static["dry_run"] = call.flag("dry-run")
        clash = sorted(set(values) & set(static))
        if clash:
            listed = ", ".join(f"'{name}'" for name in clash)
            raise BadRequest(f"Can't overwrite static parameters {{{listed}}}")
        return decode(self.opcode, {**values, **{k: v for k, v in static.items() if v is not None}})

    @property
    def doc(self) -> Doc:
        """What is told of it: as its opcode is described."""
        query = [self._argument(name, *how) for name, how in self.query.items()]
        more = (DRY_RUN, REASON) if self.dry_run else (REASON,)
        return submits(headline(self.opcode), (*query, *more), self._body_doc())

    def _argument(self, name: str, parameter_name: str, read_value: QueryValue) -> Argument:
        schema = parameter(self.opcode, parameters(self.opcode)[parameter_name])
        doc = schema.pop("description")
        return Argument(name, doc, FLAG if read_value is flag else schema)

    def _body_doc(self) -> Body | None:
        if not self.body:
            return None
        static = {"reason", *self.names, *self.fixed, *(name for name, _ in self.query.values())}
        if self.dry_run:
            static.add("dry_run")
        if self.body is not True:
            static |= set(parameters(self.opcode)) - self.body
        return body_of(self.opcode, frozenset(static), self.renames, closed=self.body is True)

    def _given(self, call: Call) -> dict[str, Any]:
        if self.body is True:
            return renamed(call.fields(), self.renames)
        if not self.body or not isinstance(call.body, dict):
            return {}
        return {name: value for name, value in call.body.items() if name in self.body}


FORBIDDEN: Mapping[str, tuple[str, ...]] = {cluster.ClusterSetParams.OP_ID: ("compression_tools",)}
"""Parameters that may not be set over the API, by opcode."""


def forbidden(name: str) -> Forbidden:
    """The refusal of such a parameter."""
    return Forbidden(f"The parameter {name} cannot be set via RAPI")


def renamed(values: dict[str, Any], renames: Mapping[str, str]) -> dict[str, Any]:
    """
    The body with older keys under their new names.

    :raises BadRequest: a key is given under both.
    """
    for old, new in renames.items():
        if old in values:
            if new in values:
                raise BadRequest(f"Parameter '{old}' was renamed to '{new}', but both are specified")
            values[new] = values.pop(old)
    return values


def trail(call: Call, handler: str) -> list[list[Any]]:
    """The reason trail of a request (behaviour.md §3.8)."""
    ns = int(call.api.now() * 1e9)
    given = call.argument("reason")
    user = [] if given is None else [["gnt:user", given, ns]]
    return [*user, [f"gnt:library:rlib2:{handler}", "", ns]]


@attrs.frozen
class TagChange:
    """
    ``PUT`` and ``DELETE`` of tags of one kind of object.

    Tags are arguments of the query, or a JSON list as the documents promise (docs/compatibility.rst); a list
    that only says the arguments again, as Ganeti's own client sends, adds nothing.
    """

    opcode: type[cluster.TagsSet] | type[cluster.TagsDel]
    kind: str
    handler: str
    name: str = ""  # in the URI

    @property
    def doc(self) -> Doc:
        """What is told of it."""
        tag = Argument(
            "tag", "A tag; may be given many times", {"type": "array", "items": TEXT}, several=True
        )
        body = Body("Tags, as well as or instead of those of the query", NAMES)
        return submits(headline(self.opcode), (tag, DRY_RUN, REASON), body)

    async def __call__(self, call: Call) -> Reply:
        """Submit the job and answer its id."""
        given = call.arguments().get("tag", [])
        if isinstance(call.body, list):
            if not all(isinstance(tag, str) for tag in call.body):
                raise BadRequest("Tags must be a list of text")
            given = [*given, *(tag for tag in call.body if tag not in given)]
        elif call.body not in (None, {}):
            raise BadRequest("Tags must be a list of text")
        if not given:
            raise BadRequest("Invalid usage: at least one 'tag' is needed")
        values: dict[str, Any] = {"kind": self.kind, "tags": given, "reason": trail(call, self.handler)}
        values["name"] = call.names[self.name] if self.name else None
        op = decode(self.opcode, {**values, "dry_run": call.flag("dry-run")})
        return success(await call.api.cluster.submit([op], call.request_id))


def read(handler: Handler, access: Access = "anyone", doc: Doc | None = None) -> Endpoint:
    """A read; what anyone may have is kept until something changes."""
    return Endpoint(handler, access, access == "anyone", doc)


def live(handler: Handler, doc: Doc | None = None) -> Endpoint:
    """A read whose answer is never kept."""
    return Endpoint(handler, "anyone", doc=doc)


def waiting(endpoint: Endpoint) -> Endpoint:
    """A read whose answer may take long by nature."""
    return attrs.evolve(endpoint, waits=True)


def write(handler: Handler, doc: Doc | None = None) -> Endpoint:
    """What only users with write access may ask for."""
    return Endpoint(handler, "writer", doc=doc)


def tags(pattern: str, get: Handler, kind: str, handler: str, name: str = "") -> Route:
    """The tags of one kind of object."""
    return Route(
        pattern,
        {
            "GET": read(get),
            "PUT": write(TagChange(cluster.TagsSet, kind, handler, name)),
            "DELETE": write(TagChange(cluster.TagsDel, kind, handler, name)),
        },
    )
