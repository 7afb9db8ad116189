"""The page of opcodes."""

from msgspec.structs import FieldInfo

from twisted_rapi.model.opcodes import OPCODES, Opcode
from twisted_rapi.model.opcodes.described import description
from twisted_rapi.model.opcodes.results import RESULTS
from twisted_rapi.reference.rst import code, heading, page, table, title, value, words
from twisted_rapi.web.doc import choice, default_of, headline, parameters

_ABOUT = """\
What jobs are made of.  A request of a resource becomes one or more opcodes; ``POST /2/jobs`` takes them as
they are, as objects with ``OP_ID`` and the parameters below."""
_HEAD = ("Parameter", "Type", "Default", "Meaning")


def _default(field: FieldInfo) -> str:
    return "needed" if field.required else value(default_of(field))


def _parameters(opcode: type[Opcode], fields: list[FieldInfo]) -> str:
    rows = [
        (code(f.name), words(choice(f.type)), _default(f), description(opcode.OP_ID, f.name)) for f in fields
    ]
    return table(_HEAD, rows) if rows else "No parameters of its own."


def _opcode(opcode: type[Opcode]) -> list[str]:
    result = RESULTS[opcode.OP_ID]
    own = [f for f in parameters(opcode).values() if f.name not in Opcode.__struct_fields__]
    return [
        heading(opcode.OP_ID, "-"),
        headline(opcode),
        _parameters(opcode, own),
        f"Result: {words(result.schema)}.  {result.doc}." if result.doc != "Nothing" else "Result: null.",
    ]


def opcodes() -> str:
    """All opcodes with their parameters, types, defaults and results."""
    any_of_them = next(iter(OPCODES.values()))
    every = [f for f in parameters(any_of_them).values() if f.name in Opcode.__struct_fields__]
    blocks = [block for name in sorted(OPCODES) for block in _opcode(OPCODES[name])]
    common = [heading("Parameters of all opcodes", "="), _parameters(any_of_them, every)]
    return page(title("Opcodes"), _ABOUT, *common, heading("Each opcode", "="), *blocks)
