"""
What every opcode is: a frozen struct whose fields are its parameters.

The struct is the checked form, its wire form is what clients send, what a job stores and what job answers
show.  Parameters, types and defaults are those of opcodes.json ("newest").
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from twisted_rapi.errors import BadRequest

NonEmpty = Annotated[str, Meta(min_length=1)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Positive = Annotated[int, Meta(gt=0, le=2**63 - 1)]
Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
IPv4 = Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$")]
IPv6 = Annotated[str, Meta(pattern=r"^[0-9a-fA-F:.]{2,45}$")]
IPv4Net = Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?$")]
IPv6Net = Annotated[str, Meta(pattern=r"^[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?$")]
AnyJobId = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, Meta(pattern=r"^[0-9]{1,18}$")]
FinalStatus = Literal["canceled", "error", "success"]
Private = Meta(extra={"private": True})


class Opcode(Struct, frozen=True, kw_only=True):
    """
    An opcode; the fields here are accepted by all of them.

    :cvar OP_ID: its name on the wire.
    :cvar SUMMARY: the parameter that stands in the job's summary, if any.
    """

    OP_ID: ClassVar[str]
    SUMMARY: ClassVar[str | None] = None

    dry_run: bool | None = None
    debug_level: Natural | None = None
    priority: Literal[-10, 0, 10] = 0
    depends: list[tuple[AnyJobId, list[FinalStatus]]] | None = None
    comment: str | None = None
    reason: list[Any] | None = field(default_factory=list)

    @classmethod
    def check(cls, values: dict[str, Any]) -> None:
        """
        Judge combinations a field's type cannot express.  `values` have passed the types.

        :raises InvalidParameter: naming the parameter.
        """


AnyOpcode = TypeVar("AnyOpcode", bound=Opcode)


class InvalidParameter(BadRequest):
    """A parameter is missing, or its value is not of its type."""

    def __init__(self, op_id: str, name: str) -> None:
        super().__init__(
            f"Invalid body parameters: (\"Parameter '{op_id}.{name}' fails validation\", 'wrong_input')"
        )


@cache
def fields_of(cls: type[Opcode]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """An opcode's parameters as declared; to find them takes longer than to use them."""
    return msgspec.structs.fields(cls)


def decode(cls: type[AnyOpcode], values: Mapping[str, Any]) -> AnyOpcode:
    """
    The opcode of this class with these parameters.

    :raises BadRequest: a parameter is unknown, missing or of another type; as observed, unknown ones are
        reported before wrong ones and the first in the order of declaration counts.
    """
    for name in values:
        if name not in cls.__struct_fields__:
            raise BadRequest(
                f"Invalid body parameters: Object Op{cls.__name__} doesn't support the parameter '{name}'"
            )
    try:
        op = msgspec.convert(values, cls)
        checked = {name: getattr(op, name) for name in op.__struct_fields__ if name in values}
    except (msgspec.ValidationError, RecursionError):
        checked = _each(cls, values)  # which says what is wrong
    cls.check(checked)  # which also gives some of them the one form they are kept in
    return cls(**checked)


def _each(cls: type[Opcode], values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, one after the other."""
    checked: dict[str, Any] = {}
    for f in fields_of(cls):
        if f.name in values:
            try:
                checked[f.name] = msgspec.convert(values[f.name], f.type)
            except (msgspec.ValidationError, RecursionError) as e:
                raise InvalidParameter(cls.OP_ID, f.name) from e
        elif f.required:
            raise InvalidParameter(cls.OP_ID, f.name)
    return checked


def to_wire(op: Opcode) -> dict[str, Any]:
    """
    The wire and stored form: the parameters of every opcode, ``OP_ID``, then its own as declared.

    Own parameters without a value are left out, and so are ``dry_run`` and ``debug_level`` (observations.md).
    """
    every = {f.name: getattr(op, f.name) for f in fields_of(Opcode)}
    for name in ("dry_run", "debug_level"):
        if every[name] is None:
            del every[name]
    own = {
        f.name: value
        for f in fields_of(type(op))
        if f.name not in Opcode.__struct_fields__ and (value := getattr(op, f.name)) is not None
    }
    if isinstance(own.get("nics"), list):
        own["nics"] = [_ordered(nic) for nic in own["nics"]]
    return {**every, "OP_ID": op.OP_ID, **own}


_NIC_ORDER = ("mac", "ip", "mode", "link", "name", "vlan", "bridge", "network")


def _ordered(nic: Any) -> Any:
    """A NIC's values, also those of an edit, in the order jobs show them in (as observed)."""
    if isinstance(nic, (list, tuple)):
        return [_ordered(part) for part in nic]
    if not isinstance(nic, dict):
        return nic
    return {name: nic[name] for name in sorted(nic, key=_place)}


def _place(name: str) -> int:
    return _NIC_ORDER.index(name) if name in _NIC_ORDER else len(_NIC_ORDER)


def summary(op: Opcode) -> str:
    """How a job's summary names the opcode: ``INSTANCE_CREATE(inst1)``."""
    name = op.OP_ID.removeprefix("OP_")
    if op.SUMMARY is None:
        return name
    value = getattr(op, op.SUMMARY)
    return f"{name}({','.join(map(str, value)) if isinstance(value, list) else value})"
