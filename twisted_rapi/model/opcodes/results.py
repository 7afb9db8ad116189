"""What the result of each opcode is (opcodes.json): in words, and as a JSON Schema."""

from collections.abc import Mapping
from typing import Any

import attrs

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
NAMES: Schema = {"type": "array", "items": TEXT}
ROWS: Schema = {"type": "array", "items": {"type": "array"}}


def row_of(*items: Schema) -> Schema:
    """A list of exactly these items."""
    length = {"minItems": len(items), "maxItems": len(items)}
    return {"type": "array", "prefixItems": list(items), "items": False, **length}


def _pairs(*items: Schema) -> Schema:
    """A list of lists that all have these items."""
    return {"type": "array", "items": row_of(*items)}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_JOBS = _object(jobs=_pairs({"type": "boolean"}, {"type": ["integer", "string"]}))
_CHANGES = _pairs(TEXT, {})
_DEFINITIONS: Schema = {
    "type": "array",
    "items": _object(
        name=TEXT,
        title=TEXT,
        kind={"enum": ["text", "bool", "number", "float", "unit", "timestamp", "other", "unknown"]},
        doc=TEXT,
    ),
}
FIELDS = _object(fields=_DEFINITIONS)
ANSWER = _object(
    data={"type": "array", "items": _pairs({"enum": [0, 1, 2, 3, 4]}, {})},
    fields=_DEFINITIONS,
)


@attrs.frozen
class Result:
    """
    What a job that has succeeded shows of an opcode.

    :ivar doc: in words.
    :ivar schema: as a JSON Schema.
    """

    doc: str
    schema: Schema


NOTHING = Result("Nothing", {"type": "null"})
_SUBMITTED = "The jobs that were submitted: [true, job id], or [false, why not] for one that could not be"
_SUBMITTED_IF = (
    "Nothing where nothing is left to do, else the jobs that were submitted: [true, job id] of each"
)
_SETTINGS = Result("What was changed: [parameter, new value] of each", _CHANGES)
_COLUMNS = Result("A row for each, with the columns that were asked for", ROWS)

_OTHERS: Mapping[str, Result] = {
    "OP_BACKUP_EXPORT": Result(
        "Whether the export was completed, and for each disk whether it was written",
        row_of({"type": "boolean"}, {"type": "array", "items": {"type": "boolean"}}),
    ),
    "OP_BACKUP_PREPARE": Result(
        "Nothing for mode local; for remote what the receiving cluster is to be told:"
        " handshake, x509_key_name and x509_ca",
        _or_null(_object(handshake={"type": "array"}, x509_key_name={"type": "array"}, x509_ca=TEXT)),
    ),
    "OP_CEPH_OSD_ADD": Result("The number of the OSD", {"type": "integer"}),
    "OP_CLUSTER_QUERY": Result("What GET /2/info answers", {"type": "object"}),
    "OP_NODE_SET_DOMAIN_STATE": Result(_SUBMITTED_IF, _or_null(_JOBS)),
    "OP_NODE_END_DOMAIN_STATE": Result(_SUBMITTED_IF, _or_null(_JOBS)),
    "OP_CLUSTER_SET_PARAMS": Result("Nothing, or jobs that were submitted because of it", _or_null(_JOBS)),
    "OP_CLUSTER_VERIFY": Result(_SUBMITTED, _JOBS),
    "OP_CLUSTER_VERIFY_CONFIG": Result("Whether all is well", {"type": "boolean"}),
    "OP_CLUSTER_VERIFY_GROUP": Result("Whether all is well", {"type": "boolean"}),
    "OP_CLUSTER_RENAME": Result("The new name, whole", TEXT),
    "OP_CLUSTER_REPAIR_DISK_SIZES": Result(
        "For each size that was put right: the instance, the index of the disk, what was wrong (size), and"
        " the size in MiB",
        _pairs(TEXT, {"type": "integer"}, TEXT, {"type": "integer"}),
    ),
    "OP_CLUSTER_VERIFY_DISKS": Result(_SUBMITTED, _JOBS),
    "OP_EXT_STORAGE_DIAGNOSE": _COLUMNS,
    "OP_GROUP_VERIFY_DISKS": Result(
        "By node why its disks could not be looked at; the names of instances whose disks have to be"
        " activated; and by instance its missing volumes: [node, volume] of each",
        row_of(
            {"type": "object", "additionalProperties": TEXT},
            NAMES,
            {"type": "object", "additionalProperties": _pairs(TEXT, TEXT)},
        ),
    ),
    "OP_NODE_QUERYVOLS": _COLUMNS,
    "OP_GROUP_ADD": Result("Nothing, or jobs that were submitted because of it", _or_null(_JOBS)),
    "OP_GROUP_EVACUATE": Result(_SUBMITTED, _JOBS),
    "OP_GROUP_RENAME": Result("The new name", TEXT),
    "OP_GROUP_SET_PARAMS": _SETTINGS,
    "OP_INSTANCE_ACTIVATE_DISKS": Result(
        "For each disk: the node, the name the instance has for it, such as disk/0, and the path on the node",
        _pairs(TEXT, TEXT, _or_null(TEXT)),
    ),
    "OP_INSTANCE_CHANGE_GROUP": Result(_SUBMITTED, _JOBS),
    "OP_INSTANCE_CONSOLE": Result("How its console is reached", {"type": "object"}),
    "OP_INSTANCE_CREATE": Result("The names of its nodes, the primary one first", NAMES),
    "OP_MACHINE_DEFINE": Result("The name and the UUID of the machine", row_of(TEXT, TEXT)),
    "OP_INSTANCE_MULTI_ALLOC": Result(
        "The jobs that were submitted, the names of instances that are made and of those that have no room",
        _object(jobs=_JOBS["properties"]["jobs"], allocatable=NAMES, failed=NAMES),
    ),
    "OP_INSTANCE_QUERY_DATA": Result(
        "All about each instance, by its name", {"type": "object", "additionalProperties": {"type": "object"}}
    ),
    "OP_INSTANCE_RENAME": Result("The new name, whole", TEXT),
    "OP_INSTANCE_SET_PARAMS": Result(
        "What was changed: [what, new value] of each, such as be/vcpus or disk/1", _CHANGES
    ),
    "OP_NETWORK_RENAME": Result("The new name", TEXT),
    "OP_NODE_EVACUATE": Result(_SUBMITTED, _JOBS),
    "OP_NODE_MIGRATE": Result(_SUBMITTED, _JOBS),
    "OP_NODE_POWERCYCLE": Result("What the node says of it, or nothing", _or_null(TEXT)),
    "OP_NODE_QUERY_STORAGE": _COLUMNS,
    "OP_NODE_SET_PARAMS": _SETTINGS,
    "OP_OS_DIAGNOSE": _COLUMNS,
    "OP_QUERY": Result(
        "The definition of each field, and for each object a row of pairs: a status, which is 0 for a value,"
        " and the value",
        ANSWER,
    ),
    "OP_QUERY_FIELDS": Result("The definition of each field", FIELDS),
    "OP_TAGS_GET": Result("The tags", NAMES),
    "OP_TAGS_SEARCH": Result("Where tags were found: [path, tag] of each", _pairs(TEXT, TEXT)),
    "OP_TEST_ALLOCATOR": Result("The text of the request, or of the answer", TEXT),
}

_NOTHING = """
    BACKUP_REMOVE CEPH_CHANGE CEPH_OSD_REMOVE CLUSTER_ACTIVATE_MASTER_IP CLUSTER_DEACTIVATE_MASTER_IP
    CLUSTER_REDIST_CONF DISK_REMOVE GROUP_ASSIGN_NODES GROUP_REMOVE INSTANCE_DEACTIVATE_DISKS
    INSTANCE_FAILOVER INSTANCE_GROW_DISK INSTANCE_MIGRATE INSTANCE_MOVE INSTANCE_REBOOT
    INSTANCE_RECREATE_DISKS INSTANCE_REINSTALL INSTANCE_REMOVE INSTANCE_REPLACE_DISKS
    INSTANCE_SHUTDOWN INSTANCE_STARTUP INSTANCE_UNLOCK_DISKS MACHINE_LEAVE MACHINE_MIGRATE
    MACHINE_MODIFY MACHINE_RETURN MACHINE_SET_PARAMS MACHINE_UNDEFINE
    NETWORK_ADD NETWORK_CONNECT NETWORK_DISCONNECT NETWORK_REMOVE
    NETWORK_SET_PARAMS NODE_MODIFY_STORAGE NODE_REMOVE REPAIR_NODE_STORAGE TAGS_DEL TAGS_SET TEST_DELAY
"""

RESULTS: Mapping[str, Result] = {**_OTHERS, **{f"OP_{name}": NOTHING for name in _NOTHING.split()}}
"""By opcode."""
