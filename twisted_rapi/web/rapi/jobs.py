"""RAPI resources of jobs."""

from typing import Any

from twisted_rapi.cluster.answers import encode
from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.plan.fields import job as job_fields
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.rapi.rows import FORBIDDEN, forbidden, live, trail, waiting, write
from twisted_rapi.web.reply import Reply, ready, ready_list, success

MOST_OPCODES = 1000
WAIT = 10.0  # seconds, constants.json wait_for_job_change_rapi_s


async def jobs(call: Call) -> Reply:
    """``GET /2/jobs``."""
    if not call.flag("bulk"):
        return success([{"id": job.id, "uri": f"/2/jobs/{job.id}"} for job in call.api.cluster.jobs()])
    slices, found = call.api.answers.slices(), []
    for job in call.api.cluster.jobs():
        await slices.pause()
        found.append(encode(job_fields.document(job, job_fields.BULK_FIELDS)))
    return ready_list(found)


async def job(call: Call) -> Reply:
    """``GET /2/jobs/N``."""
    record = await call.api.cluster.job(int(call.names["job_id"]))
    if record is None:
        raise NotFound
    return success(job_fields.document(record))


async def cancel(call: Call) -> Reply:
    """``DELETE /2/jobs/N``."""
    return success(list(await call.api.cluster.cancel(int(call.names["job_id"]))))


async def submit(call: Call) -> Reply:
    """
    ``POST /2/jobs``: a list of opcodes, with their ``OP_ID``, becomes one job.

    An extension: every opcode can be asked for, also those without a resource of their own.  A reason trail
    that is given is kept as it is.
    """
    if not isinstance(call.body, list) or not all(isinstance(op, dict) for op in call.body):
        raise BadRequest("Body contents: a list of opcodes is expected")
    for values in call.body:
        for name in FORBIDDEN.get(str(values.get("OP_ID")), ()):
            if name in values:
                raise forbidden(name)
    if len(call.body) > MOST_OPCODES:
        raise BadRequest(f"A job has at most {MOST_OPCODES} opcodes")
    ops = [from_wire({"reason": trail(call, "jobs"), **values}) for values in call.body]
    return success(await call.api.cluster.submit(ops, call.request_id))


def _wanted(call: Call) -> tuple[list[str], list[Any] | None, int]:
    body = call.fields()
    if "fields" not in body:
        raise BadRequest("Required parameter 'fields' is missing")
    fields, before, serial = body["fields"], body.get("previous_job_info"), body.get("previous_log_serial")
    if not isinstance(fields, list) or not all(isinstance(f, str) for f in fields):
        raise BadRequest("The 'fields' parameter should be a list")
    if before is not None and not isinstance(before, list):
        raise BadRequest("The 'previous_job_info' parameter should be a list")
    if serial is not None and (not isinstance(serial, int) or isinstance(serial, bool)):
        raise BadRequest("The 'previous_log_serial' parameter should be a number")
    return fields, before, -1 if serial is None else serial


async def wait(call: Call) -> Reply:
    """``GET /2/jobs/N/wait`` (behaviour.md §3.3)."""
    fields, before, serial = _wanted(call)

    def values(record: Any) -> list[Any]:
        # As they are after their way over the wire: a client sends back what it has received.
        return [_plain(job_fields.value(record, name)) for name in fields]

    def entries(record: Any) -> list[Any]:
        return [_plain(e) for op in record.ops for e in op.log if e[0] > serial]

    def unchanged(record: Any) -> bool:
        return before is not None and values(record) == before and not entries(record)

    record = await call.api.cluster.wait(int(call.names["job_id"]), unchanged, WAIT)
    if record is None:
        raise NotFound
    final = job_fields.value(record, "status") in ("success", "error", "canceled")
    if unchanged(record) and not final:
        return ready(b"null")
    return success({"job_info": values(record), "log_entries": entries(record)})


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


ROUTES = (
    Route("/2/jobs", {"GET": live(jobs), "POST": write(submit)}),
    Route("/2/jobs/[job_id]", {"GET": live(job), "DELETE": write(cancel)}),
    Route("/2/jobs/[job_id]/wait", {"GET": waiting(write(wait))}),
)
