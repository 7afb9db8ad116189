"""Bodies of requests of which a single opcode does not say what they may be (resources.json)."""

from twisted_rapi.model.opcodes import instance, moving
from twisted_rapi.model.opcodes.results import row_of
from twisted_rapi.web.doc import NAMES, NULL, TEXT, Body, body_of, list_of

_CREATED = frozenset({"reason", "dry_run"})

KNOWN = Body(
    "What the client knows of the job",
    {
        "type": "object",
        "properties": {
            "fields": {**NAMES, "description": "Names of fields of jobs"},
            "previous_job_info": {
                "anyOf": [{"type": "array"}, NULL],
                "description": "Values that were told of these fields before; null: none were",
            },
            "previous_log_serial": {
                "anyOf": [{"type": "integer"}, NULL],
                "description": "Serial number of the last log entry that was told; null: none was",
            },
        },
        "required": ["fields"],
    },
    required=True,
)


def creation() -> Body:
    """What an instance is made from, and the version of that form."""
    body = body_of(instance.InstanceCreate, _CREATED, {"os": "os_type", "name": "instance_name"})
    schema = dict(body.schema)
    version = {"const": 1, "description": "Version of this form of a request"}
    schema["properties"] = {"__version__": version, **schema["properties"]}
    schema["required"] = ["__version__", *schema["required"]]
    return Body(body.doc, schema, required=True)


def allocation() -> Body:
    """Several instances; each as it is created alone."""
    body = body_of(moving.InstanceMultiAlloc, _CREATED, {})
    schema = dict(body.schema)
    each = {"type": "object", "description": "As the body of POST /2/instances, without __version__"}
    several = {**list_of(each), "description": "What is to be made; all name their nodes, or none does"}
    schema["properties"] = {**schema["properties"], "instances": several}
    schema["required"] = ["instances"]
    return Body(body.doc, schema, required=True)


def replacement() -> Body:
    """Which disks are rebuilt; the older form has no body, and indexes as text."""
    body = body_of(moving.InstanceReplaceDisks, frozenset({"instance_name", "reason"}), {})
    schema = dict(body.schema)
    disks = schema["properties"]["disks"]
    text = {"type": "string", "pattern": "^[0-9]+(,[0-9]+)*$"}
    either = {"anyOf": [list_of(disks["items"]), text]}
    schema["properties"] = {
        **schema["properties"],
        "disks": {**either, "description": disks["description"]},
    }
    del schema["required"]
    return Body(body.doc, schema)


REINSTALLATION = Body(
    "What is installed; other keys are ignored",
    {
        "type": "object",
        "properties": {
            "os": {"anyOf": [TEXT, NULL], "description": "OS to install; null: the one it has"},
            "start": {"type": "boolean", "default": True, "description": "Whether it is started then"},
            **{
                name: {"anyOf": [{"type": "object"}, NULL], "description": "Parameters of the OS"}
                for name in ("osparams", "osparams_private", "osparams_secret")
            },
        },
    },
)


RULE = Body(
    "A rule about jobs",
    {
        "type": "object",
        "properties": {
            "priority": {
                "type": "integer",
                "minimum": 0,
                "default": 0,
                "description": "Rules of lower numbers are asked first",
            },
            "predicates": {
                "type": "array",
                "items": {"type": "array"},
                "default": [],
                "description": 'What has to be true of a job: [["jobid", FILTER], ["opcode", FILTER],'
                ' ["reason", FILTER] ...]',
            },
            "action": {
                "anyOf": [
                    {"enum": ["ACCEPT", "CONTINUE", "PAUSE", "REJECT"]},
                    row_of({"const": "RATE_LIMIT"}, {"type": "integer", "minimum": 0}),
                ],
                "default": "CONTINUE",
                "description": "What becomes of such a job",
            },
            "reason": {"type": "array", "default": [], "description": "Why the rule is there"},
        },
        "additionalProperties": False,
    },
    required=True,
)

_FILTER = "A filter, as the query language has it; null for all objects"

QUERY = Body(
    "Fields and a filter",
    {
        "type": "object",
        "properties": {
            "fields": {**NAMES, "description": "Names of the wanted fields"},
            "qfilter": {"anyOf": [{"type": "array"}, NULL], "description": _FILTER},
            "filter": {
                "anyOf": [{"type": "array"}, NULL],
                "description": "Older name of qfilter",
            },
        },
    },
    required=True,
)
