"""The schemas that answers and requests share, made from the tables of fields and of opcodes."""

from collections.abc import Iterable, Mapping
from typing import Any

from twisted_rapi.cluster.answers import BULK
from twisted_rapi.model.opcodes import OPCODES
from twisted_rapi.model.opcodes.base import Opcode
from twisted_rapi.model.opcodes.results import ANSWER, FIELDS, row_of
from twisted_rapi.plan.fields import cluster, detached, job, node, rule
from twisted_rapi.plan.fields.base import Field, Kind
from twisted_rapi.web.doc import NAMES, NULL, TEXT, Schema, body_of, headline, ref

KINDS: Mapping[Kind, Schema] = {
    "text": TEXT,
    "bool": {"type": "boolean"},
    "number": {"type": "integer"},
    "float": {"type": "number"},
    "unit": {"type": "integer"},
    "timestamp": {"type": "number"},
}
"""What values of a kind of field are, where there are any."""

_OBJECT: Schema = {"type": "object"}
_OBJECTS: Schema = {"type": "array", "items": _OBJECT}
_ARRAY: Schema = {"type": "array"}
_STAMP: Schema = {
    "type": "array",
    "items": {"type": "integer"},
    "minItems": 2,
    "maxItems": 2,
    "description": "Seconds and microseconds",
}


def _all(schema: Schema, names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), schema)


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}


OTHERS: Mapping[str, Schema] = {
    **_all(
        NAMES,
        "tags snodes nic.macs nic.uuids pinst_list sinst_list node_list inst_list summary architecture"
        " enabled_hypervisors hidden_os blacklisted_os enabled_disk_templates compression_tools reserved_lvs"
        " disk.uuids opstatus nodes",
    ),
    **_all(
        {"type": "array", "items": _or_null(TEXT)},
        "nic.ips nic.modes nic.names nic.links nic.bridges nic.networks nic.networks.names disk.names",
    ),
    **_all({"type": "array", "items": _or_null({"type": "integer"})}, "disk.sizes disk.spindles"),
    **_all(
        _OBJECT,
        "beparams hvparams custom_beparams custom_hvparams ndparams custom_ndparams ipolicy custom_ipolicy"
        " diskparams custom_diskparams os_hvp osparams nicparams default_iallocator_params"
        " enabled_data_collectors data_collector_interval",
    ),
    **_all(_ARRAY, "uid_pool group_list opresult predicates reason_trail logical_id"),
    "network_port": {"type": "integer"},
    "custom_nicparams": _OBJECTS,
    "ops": {"type": "array", "items": ref("JobOpcode")},
    **_all(_STAMP, "received_ts start_ts end_ts"),
    "oplog": {"type": "array", "items": {"type": "array", "items": ref("LogEntry")}},
    "gateway": TEXT,
    "network6": TEXT,
    "gateway6": TEXT,
    "mac_prefix": TEXT,
    "action": {"type": ["string", "array"]},
    "priority": {"type": "integer"},
    "watermark": {"type": "integer"},
    "uuid": TEXT,
}
"""What values of fields are whose kind is ``other``."""

_ALWAYS = (
    "name",
    "uuid",
    "ctime",
    "mtime",
    "serial_no",
    "tags",
    "id",
    "status",
    "ops",
    "opstatus",
    "summary",
)


def field_schema(field: Field) -> Schema:
    """
    What a field's value is.

    :raises KeyError: nobody has said it.
    """
    schema = OTHERS[field.name] if field.kind == "other" else KINDS[field.kind]
    schema = schema if field.name in _ALWAYS else _or_null(schema)
    return {**schema, "description": field.doc}


def of_fields(fields: Iterable[Field]) -> Schema:
    """An object that has these fields, and no others."""
    properties = {field.name: field_schema(field) for field in fields}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def opcode_schema(opcode: type[Opcode]) -> Schema:
    """An opcode as ``POST /2/jobs`` takes it."""
    schema: dict[str, Any] = dict(body_of(opcode, frozenset(), {}).schema)
    schema["properties"] = {"OP_ID": {"const": opcode.OP_ID}, **schema["properties"]}
    schema["required"] = ["OP_ID", *schema.get("required", [])]
    return {**schema, "description": headline(opcode)}


_ERROR: Schema = {
    "type": "object",
    "properties": {
        "code": {"type": "integer", "description": "The status"},
        "message": {**TEXT, "description": "What was wrong, escaped for HTML"},
        "explain": {**TEXT, "description": "What the status means"},
    },
    "required": ["code", "message", "explain"],
    "additionalProperties": False,
}

_CONSOLE: Schema = {
    "type": "object",
    "properties": {
        "instance": {**TEXT, "description": "Name of the instance"},
        "kind": {"enum": ["msg", "ssh", "spice", "vnc"], "description": "How it is reached"},
        "message": {**TEXT, "description": "Why it cannot be (msg)"},
        "host": {**TEXT, "description": "Where it is"},
        "port": {"type": "integer", "description": "Port to connect to (vnc, spice)"},
        "display": {"type": "integer", "description": "Number of the display (vnc)"},
        "user": {**TEXT, "description": "User who may (ssh)"},
        "command": {**NAMES, "description": "Command to run there (ssh)"},
    },
    "required": ["instance", "kind"],
    "additionalProperties": False,
}

_LOG_ENTRY: Schema = row_of(
    {"type": "integer", "description": "Serial number, counted over the whole job"},
    _STAMP,
    {**TEXT, "description": "Type of the entry, such as message"},
    {"description": "Text, or what entries of that type have"},
)


def components() -> dict[str, Schema]:
    """By name."""
    return {
        "Error": _ERROR,
        "JobId": {"type": "integer", "minimum": 1},
        "Cluster": of_fields(cluster.FIELDS),
        **{kind.capitalize(): of_fields(fields) for kind, fields in BULK.items() if kind != "node"},
        "Node": _node(),
        "DetachedDisk": _detached(),
        "Filter": of_fields(rule.TABLE),
        "Job": of_fields(job.FIELDS),
        "JobWithoutResults": of_fields(job.BULK_FIELDS),
        "JobOpcode": {"type": "object", "properties": {"OP_ID": TEXT}, "required": ["OP_ID"]},
        "LogEntry": _LOG_ENTRY,
        "Cancellation": row_of({"type": "boolean"}, TEXT),
        "Evacuated": row_of({"anyOf": [ref("JobId"), NULL]}, TEXT, TEXT),
        "QueryAnswer": _query_answer(),
        "QueryValue": row_of({"enum": [0, 1, 2, 3, 4]}, {}),
        "QueryFields": FIELDS,
        "Console": _CONSOLE,
        "Opcode": {
            "oneOf": [ref(name) for name in OPCODES],
            "discriminator": {
                "propertyName": "OP_ID",
                "mapping": {name: ref(name)["$ref"] for name in OPCODES},
            },
        },
        **{name: opcode_schema(opcode) for name, opcode in OPCODES.items()},
    }


def _query_answer() -> Schema:
    """An answer to a query; its rows are lists of values."""
    rows = {"type": "array", "items": {"type": "array", "items": ref("QueryValue")}}
    return {**ANSWER, "properties": {**ANSWER["properties"], "data": rows}}


def _detached() -> Schema:
    """A detached disk, which need not have a name."""
    schema = of_fields(detached.TABLE)
    properties = schema["properties"]
    return {**schema, "properties": {**properties, "name": _or_null(properties["name"])}}


def _node() -> Schema:
    """A node; what only a read of it alone shows need not be there."""
    schema = of_fields(node.SINGLE)
    return {**schema, "required": [field.name for field in node.BULK]}
