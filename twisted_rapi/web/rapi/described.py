"""What is told of methods whose handlers do not say it themselves (resources.json)."""

from collections.abc import Iterable, Mapping

import attrs

from twisted_rapi.model.opcodes import backup, cluster, moving, node
from twisted_rapi.model.opcodes.words import MigrationMode, ReplaceMode, StorageType
from twisted_rapi.web.call import Route
from twisted_rapi.web.doc import (
    BULK,
    DRY_RUN,
    FLAG,
    JOB_ID,
    LOCK,
    NAMES,
    NULL,
    REASON,
    TEXT,
    Argument,
    Body,
    Doc,
    Schema,
    body_of,
    choice,
    list_of,
    ref,
    submits,
)
from twisted_rapi.web.rapi import bodies

_ROLES = ("drained", "master", "master-candidate", "offline", "regular")
_SOME: Schema = {"type": "string", "minLength": 1}
_FIELDS = Argument("fields", "Names of the wanted fields, separated by commas", _SOME)
_INSTANCE = frozenset({"instance_name", "reason"})
_NODE = frozenset({"node_name", "reason"})


def _object(**properties: Schema) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _links(key: str) -> Schema:
    return _object(**{key: TEXT, "uri": TEXT})


def _required(name: str, doc: str, schema: Schema = _SOME) -> Argument:
    return Argument(name, doc, schema, required=True)


_CLUSTER: Mapping[str, Doc] = {
    "GET /": Doc(summary="Nothing; kept for compatibility.", answer="Nothing", schema=NULL),
    "GET /2": Doc(summary="Nothing; kept for compatibility.", answer="Nothing", schema=NULL),
    "GET /version": Doc(summary="Show the version of the API.", answer="2", schema={"const": 2}),
    "GET /2/info": Doc(
        summary="Show the cluster.", answer="All about the cluster", schema=ref("Cluster"), query=(LOCK,)
    ),
    "GET /2/features": Doc(
        summary="Show which newer forms of requests are understood.",
        answer="Names of these features",
        schema=NAMES,
    ),
    "GET /2/os": Doc(
        summary="List the OS definitions that can be used on all nodes.",
        answer="The names, with a variant where there are some: name+variant",
        schema=NAMES,
    ),
    "PUT /2/modify": submits(
        "Change settings of the cluster; compression_tools is refused (403).",
        (REASON,),
        body_of(cluster.ClusterSetParams, frozenset({"reason", "compression_tools"}), {}),
    ),
    "PUT /2/redistribute-config": submits("Tell all nodes again how the cluster is set up.", (REASON,)),
}

_JOBS: Mapping[str, Doc] = {
    "GET /2/jobs": Doc(
        summary="List the jobs that are not in the archive.",
        answer="Id and URI of each; with bulk what GET /2/jobs/ID has, but neither log nor results",
        schema=list_of(
            {"anyOf": [_object(id=ref("JobId"), uri=TEXT), ref("JobWithoutResults")]},
        ),
        query=(BULK,),
    ),
    "POST /2/jobs": submits(
        "Submit any opcodes as one job; an extension.",
        (REASON,),
        Body("Opcodes, carried out in their order", {**list_of(ref("Opcode")), "minItems": 1}, required=True),
    ),
    "GET /2/jobs/[job_id]": Doc(
        summary="Show one job, also from the archive.", answer="All about the job", schema=ref("Job")
    ),
    "DELETE /2/jobs/[job_id]": Doc(
        summary="Cancel a job that does not run yet.",
        answer="Whether it is or will be cancelled, and a sentence about it",
        schema={"allOf": [ref("Cancellation")]},  # some tools read `prefixItems` only behind a reference
    ),
    "GET /2/jobs/[job_id]/wait": Doc(
        summary="Wait for a job to change, for 10 seconds at most.",
        answer="Nothing (null) if it has not; else values of the fields, and what was logged since",
        schema={"anyOf": [NULL, _object(job_info={"type": "array"}, log_entries=list_of(ref("LogEntry")))]},
        body=bodies.KNOWN,
    ),
}


_INSTANCES: Mapping[str, Doc] = {
    "POST /2/instances": submits("Create or import an instance.", (DRY_RUN, REASON), bodies.creation()),
    "POST /2/instances-multi-alloc": submits(
        "Find room for several instances at once, and create them.", (DRY_RUN, REASON), bodies.allocation()
    ),
    "GET /2/instances/[instance_name]/info": submits(
        "Show all about an instance, as its nodes report it; what they say is the job's result.",
        (Argument("static", "With 1, only what is configured: no node is asked", FLAG), REASON),
    ),
    "GET /2/instances/[instance_name]/console": Doc(
        summary="Show how the instance's console is reached.",
        answer="Kind of the console and what that kind needs",
        schema=ref("Console"),
    ),
    "POST /2/instances/[instance_name]/reinstall": submits(
        "Install the OS of an instance again: stop it, install, start it.",
        (
            Argument("os", "Older form: OS to install"),
            Argument("nostartup", "Older form: with 1, the instance is not started then", FLAG),
        ),
        bodies.REINSTALLATION,
    ),
    "POST /2/instances/[instance_name]/replace-disks": submits(
        "Rebuild or relocate mirrored disks.",
        (
            Argument("mode", "Older form: what is replaced", choice(ReplaceMode)),
            Argument("disks", "Older form: indexes of disks, separated by commas"),
            Argument("remote_node", "Older form: the new secondary node"),
            Argument("iallocator", "Older form: the allocator that picks it"),
            Argument("early_release", "Older form: give up the old disks as soon as possible", FLAG),
            REASON,
        ),
        bodies.replacement(),
    ),
    "POST /2/instances/[instance_name]/disk/[disk_index]/grow": submits(
        "Enlarge a disk.",
        (REASON,),
        body_of(moving.InstanceGrowDisk, _INSTANCE | {"disk"}, {}),
    ),
    "PUT /2/instances/[instance_name]/prepare-export": submits(
        "Make ready for an export.",
        (
            _required("mode", "local or remote", {"enum": ["local", "remote"]}),
            REASON,
        ),
    ),
    "PUT /2/instances/[instance_name]/export": submits(
        "Write an instance's disks to a node, or send them to another cluster.",
        (REASON,),
        body_of(backup.BackupExport, _INSTANCE, {"destination": "target_node"}),
    ),
}

_UNIT = (
    _required("storage_type", "Kind of storage", choice(StorageType)),
    _required("name", "Name of the unit"),
)

_NODES: Mapping[str, Doc] = {
    "GET /2/nodes/[node_name]/role": Doc(
        summary="Show the role of a node.", answer="Its role", schema={"enum": list(_ROLES)}, query=(LOCK,)
    ),
    "PUT /2/nodes/[node_name]/role": submits(
        "Give a node another role.",
        (
            Argument("force", "Accepted; no check is skipped", FLAG),
            Argument("auto-promote", "With 1, other nodes become master candidates as needed", FLAG),
            REASON,
        ),
        Body("The role", {"enum": [role for role in _ROLES if role != "master"]}, required=True),
    ),
    "POST /2/nodes/[node_name]/evacuate": Doc(
        summary="Move instances off a node: submit the jobs that do it.",
        answer=f"{JOB_ID}; in the older form [job id, instance, new secondary node] for each instance",
        schema={"anyOf": [ref("JobId"), list_of(ref("Evacuated"))]},
        query=(
            Argument("iallocator", "Older form, without a body: who says where secondary instances go"),
            Argument("remote_node", "Older form, without a body: where secondary instances go"),
            Argument("early_release", "Older form: with 1, as the parameter of this name", FLAG),
            DRY_RUN,
            REASON,
        ),
        body=body_of(node.NodeEvacuate, _NODE | {"dry_run"}, {}),
        refusals=(502,),
    ),
    "POST /2/nodes/[node_name]/migrate": submits(
        "Migrate all instances off their primary node: submit a job for each.",
        (
            Argument("mode", "Older form, in which the body does not count: how", choice(MigrationMode)),
            Argument("live", "Older form: 1 for mode live, 0 for non-live", FLAG),
            DRY_RUN,
            REASON,
        ),
        body_of(node.NodeMigrate, _NODE, {}),
    ),
    "GET /2/nodes/[node_name]/storage": submits(
        "List the node's units of storage; the list is the job's result.",
        (
            Argument("storage_type", "Kind of storage; file storage without it", choice(StorageType)),
            _required("output_fields", "Names of the wanted columns, separated by commas"),
            REASON,
        ),
    ),
    "PUT /2/nodes/[node_name]/storage/modify": submits(
        "Change whether a unit of storage gives space to new disks.",
        (*_UNIT, Argument("allocatable", "1 if it does, 0 if not", FLAG), REASON),
    ),
    "PUT /2/nodes/[node_name]/storage/repair": submits(
        "Repair a unit of storage.",
        (*_UNIT, REASON),
    ),
}

_UUID = "The rule's UUID"

_FILTERS: Mapping[str, Doc] = {
    "GET /2/filters": Doc(
        summary="List the rules about jobs, in the order they are asked.",
        answer="UUID and URI of each; with bulk all about each",
        schema=list_of({"anyOf": [_links("uuid"), ref("Filter")]}),
        query=(BULK,),
    ),
    "POST /2/filters": Doc(summary="Add a rule about jobs.", answer=_UUID, schema=TEXT, body=bodies.RULE),
    "GET /2/filters/[filter_uuid]": Doc(
        summary="Show one rule.", answer="All about the rule", schema=ref("Filter")
    ),
    "PUT /2/filters/[filter_uuid]": Doc(
        summary="Replace a rule, or add one with this UUID.", answer=_UUID, schema=TEXT, body=bodies.RULE
    ),
    "DELETE /2/filters/[filter_uuid]": Doc(summary="Remove a rule.", answer="Nothing", schema=NULL),
}

_QUERIES: Mapping[str, Doc] = {
    "GET /2/query/[resource]": Doc(
        summary="Ask for fields of all objects of a kind.",
        answer="The definitions of the fields; for each object pairs of a status and a value",
        schema=ref("QueryAnswer"),
        query=(attrs.evolve(_FIELDS, required=True),),
        refusals=(502,),
    ),
    "PUT /2/query/[resource]": Doc(
        summary="Ask for fields of the objects of a kind that a filter lets through.",
        answer="The definitions of the fields; for each object pairs of a status and a value",
        schema=ref("QueryAnswer"),
        query=(attrs.evolve(_FIELDS, doc=f"{_FIELDS.doc}; if the body has none"),),
        body=bodies.QUERY,
        refusals=(502,),
    ),
    "GET /2/query/[resource]/fields": Doc(
        summary="Show which fields a kind of object has.",
        answer="The definitions of the fields",
        schema=ref("QueryFields"),
        query=(attrs.evolve(_FIELDS, doc=f"{_FIELDS.doc}; all without it"),),
        refusals=(502,),
    ),
}

DESCRIBED: Mapping[str, Doc] = {**_CLUSTER, **_JOBS, **_INSTANCES, **_NODES, **_FILTERS, **_QUERIES}
"""By method and URI pattern."""


def described(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes; methods the table tells of are described by it."""
    return tuple(
        attrs.evolve(
            route,
            methods={
                method: attrs.evolve(endpoint, doc=DESCRIBED.get(f"{method} {route.pattern}", endpoint.doc))
                for method, endpoint in route.methods.items()
            },
        )
        for route in routes
    )
