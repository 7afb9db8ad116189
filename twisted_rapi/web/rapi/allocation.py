"""RAPI resources that have allocators asked: several creations, evacuation and migration of nodes."""

from typing import Any

import attrs

from twisted_rapi.errors import BadGateway, BadRequest, JobError
from twisted_rapi.model.opcodes import Opcode, decode
from twisted_rapi.model.opcodes.cluster import TestAllocator
from twisted_rapi.model.opcodes.moving import InstanceMultiAlloc
from twisted_rapi.model.opcodes.node import NodeEvacuate, NodeMigrate
from twisted_rapi.model.opcodes.several import part, whole
from twisted_rapi.model.records import FINAL, JobRecord, job_status
from twisted_rapi.plan.allocation.questions import Evacuate, Moves
from twisted_rapi.plan.allocation.response import read
from twisted_rapi.web.call import Call, Route, type_name
from twisted_rapi.web.rapi.instances import CREATE_RENAMES
from twisted_rapi.web.rapi.reads import found
from twisted_rapi.web.rapi.rows import Submission, renamed, trail, write
from twisted_rapi.web.reply import Reply, success

_NODE = "/2/nodes/[node_name]"
_NAMES = {"node_name": "node_name"}
WAIT = 60.0  # seconds; then it is looked again whether who asked is still there

EVACUATE = Submission(opcode=NodeEvacuate, handler="nodes_name_evacuate", names=_NAMES, dry_run=True)
MIGRATE = Submission(opcode=NodeMigrate, handler="nodes_name_migrate", names=_NAMES)
MULTI_ALLOC = Submission(opcode=InstanceMultiAlloc, handler="instances_multi_alloc", dry_run=True)


async def multi_alloc(call: Call) -> Reply:
    """``POST /2/instances-multi-alloc``; the instances are as for ``POST /2/instances``."""
    if not isinstance(call.body, dict) or "instances" not in call.body:
        raise BadRequest("Request is missing required 'instances' field in body")
    given = call.body["instances"]
    several: list[Any] = list(given) if isinstance(given, (list, str, dict)) else [given]
    for wrong in (each for each in several if not isinstance(each, dict)):
        raise BadRequest(f"Body contents: Type is '{type_name(wrong)}', but 'dict' is expected")
    instances = [_creation(each) for each in several]
    return await MULTI_ALLOC(attrs.evolve(call, body={**call.body, "instances": instances}))


def _creation(given: dict[str, Any]) -> dict[str, Any]:
    values = renamed(dict(given), CREATE_RENAMES)
    return whole(part(values), values)


async def migrate(call: Call) -> Reply:
    """``POST /2/nodes/N/migrate``; with any argument the older form counts, and the body does not."""
    if not call.arguments():
        return await MIGRATE(call)
    live, mode = call.argument("live"), call.argument("mode")
    if live is not None and mode is not None:
        raise BadRequest("Only one of 'live' and 'mode' should be passed")
    if live is not None:
        mode = "live" if call.flag("live") else "non-live"
    return await MIGRATE(attrs.evolve(call, body=None if mode is None else {"mode": mode}))


# The evacuation of 2.1 to 2.4.


async def evacuate(call: Call) -> Reply:
    """``POST /2/nodes/N/evacuate``; without a body but with who says where to, in the older form."""
    if call.body is None and (call.argument("iallocator") or call.argument("remote_node")):
        return success(await _triples(call))
    return await EVACUATE(call)


async def _triples(call: Call) -> list[list[Any]]:
    """
    For each instance whose secondary node it is, the job that gives it another one, its name and that node.

    With ``dry-run`` there are no jobs, and ``None`` stands for each.
    """
    view = call.api.answers.view()
    node = found(view, "node", call.names["node_name"])
    values = {
        "node_name": node.name,
        "mode": "secondary-only",
        "early_release": call.flag("early_release"),
        "iallocator": call.argument("iallocator"),
        "remote_node": call.argument("remote_node"),
        "reason": trail(call, "nodes_name_evacuate"),
    }
    if values["iallocator"] and values["remote_node"]:
        raise BadRequest("Only one of 'iallocator' and 'remote_node' should be passed")
    if call.flag("dry-run"):
        return await _planned(call, node.uuid, values)
    op = decode(NodeEvacuate, {name: value for name, value in values.items() if value is not None})
    result = await _result(call, op)
    jobs = [await call.api.cluster.job(number) if well else number for well, number in result["jobs"]]
    return [_triple(job) for job in jobs]


def _triple(job: JobRecord | str | None) -> list[Any]:
    if not isinstance(job, JobRecord):
        raise BadGateway(f"A job could not be submitted: {job}")
    op = job.ops[-1].input
    return [job.id, op["instance_name"], op.get("remote_node")]


async def _planned(call: Call, node: str, values: dict[str, Any]) -> list[list[Any]]:
    view = call.api.answers.view()
    names = sorted(i.name for i in view.secondaries_on(node) if i.pending is None)
    if values["remote_node"]:
        remote = found(view, "node", values["remote_node"])
        return [[None, name, remote.name] for name in names]
    if not names:
        return []
    op = TestAllocator(
        direction="out",
        mode="node-evacuate",
        name=values["node_name"],
        instances=names,
        evac_mode="secondary-only",
        iallocator=values["iallocator"],
        reason=values["reason"],
    )
    question = Evacuate(instances=(), mode="secondary-only")
    try:
        moves = read(view, question, values["iallocator"], await _result(call, op))
    except JobError as e:
        raise BadGateway(e.text) from e
    assert isinstance(moves, Moves)
    return [[None, name, nodes[-1]] for name, _, nodes in moves.moved if nodes]


async def _result(call: Call, op: Opcode) -> Any:
    """
    The result of a job with this opcode, once it has ended.

    :raises BadGateway: it has not ended well.
    """
    number = await call.api.cluster.submit([op], call.request_id)
    job: JobRecord | None = None
    while job is None or job_status(job) not in FINAL:
        job = await call.api.cluster.wait(number, lambda record: job_status(record) not in FINAL, WAIT)
        if job is None:
            raise BadGateway(f"Job {number} is gone")
    result = job.ops[0].result
    if job_status(job) != "success":
        text = result[1][0] if isinstance(result, list) else "it was cancelled"
        raise BadGateway(f"Job {number} failed: {text}")
    return result


ROUTES = (
    Route("/2/instances-multi-alloc", {"POST": write(multi_alloc)}),
    Route(f"{_NODE}/evacuate", {"POST": write(evacuate)}),
    Route(f"{_NODE}/migrate", {"POST": write(migrate)}),
)
