"""PVC's endpoints of tasks, which are the jobs of the cluster."""

from typing import Any

import attrs

from twisted_rapi.errors import NotFound
from twisted_rapi.model.records import JobRecord, JobStatus, OpRecord, job_status
from twisted_rapi.plan.pvc.dialect import NEWEST
from twisted_rapi.plan.pvc.status import primary_node
from twisted_rapi.web.pvc.endpoints import PREFIX, Endpoint, PvcCall
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.reply import Reply

_STATES: dict[JobStatus, str] = {
    "queued": "PENDING",
    "waiting": "PENDING",
    "running": "RUNNING",
    "canceling": "RUNNING",
    "success": "SUCCESS",
    "error": "FAILURE",
    "canceled": "REVOKED",
}
_MOST_DIGITS = 18  # of a job's id
_LISTED = {"scheduled": (), "active": ("running", "canceling"), "reserved": ("queued", "waiting")}
"""What the newest form calls the tasks of a worker, and the statuses of the jobs among them."""


def why(op: OpRecord) -> str:
    """Why an opcode has failed."""
    told = op.result[1] if isinstance(op.result, (list, tuple)) and len(op.result) > 1 else op.result
    return str(told[0] if isinstance(told, (list, tuple)) and told else told)


def _words(job: JobRecord, status: JobStatus) -> str:
    """What there is to say of a job."""
    if status in ("queued", "waiting"):
        return "Pending job start"
    if status == "error":
        return next(why(op) for op in job.ops if op.status == "error")
    at_work = [op for op in job.ops if op.status == "running"] or [job.ops[-1]]
    lines = [entry[3] for op in at_work for entry in op.log if isinstance(entry[3], str)]
    return lines[-1] if lines and status == "running" else at_work[0].summary


def task(job: JobRecord) -> dict[str, Any]:
    """A job as a task: how many of its opcodes have ended, and what it is at."""
    status = job_status(job)
    return {
        "state": _STATES[status],
        "current": sum(1 for op in job.ops if op.status == "success"),
        "total": len(job.ops),
        "status": _words(job, status),
    }


def _entry(job: JobRecord, worker: str) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "name": " ".join(op.summary for op in job.ops[:3]),
        "args": [],
        "kwargs": {"run_on": worker},
        "hostname": worker,
        "time_start": None if job.start_ts is None else job.start_ts[0] + job.start_ts[1] / 1e6,
    }


async def listing(call: PvcCall) -> Reply:
    """``GET /tasks``: those that have not ended, all of the master's; null where there is none."""
    worker, slices = primary_node(scene_of(call.api)), call.api.answers.slices()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _LISTED}
    for job in call.api.cluster.unfinished():
        await slices.pause()
        status = job_status(job)
        for name, statuses in _LISTED.items():
            if status in statuses:
                found[name].append(_entry(job, worker))
    shown = {name: {worker: jobs} if jobs else None for name, jobs in found.items()}
    return answer(call.dialect, shown)


async def single(call: PvcCall) -> Reply:
    """``GET /tasks/T``."""
    name = call.names["task"]
    number = int(name) if name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS else 0
    job = await call.api.cluster.job(number) if number else None
    if job is None:
        raise NotFound("Task not found.")
    return answer(call.dialect, task(job))


def accepted(call: PvcCall, job: int, name: str, node: str = "") -> Reply:
    """
    What tells that a job goes on, and where to ask after it.

    :param name: what the task is called; `node`: where it is carried out, the master without.
    """
    run_on = node or f"{primary_node(scene_of(call.api))} (primary)"
    reply = answer(call.dialect, {"task_id": str(job), "task_name": name, "run_on": run_on}, 202)
    place = (b"Location", f"{PREFIX}/tasks/{job}".encode("ascii"))
    return attrs.evolve(reply, headers=(*reply.headers, place))


ENDPOINTS = (
    Endpoint(path="/tasks", method="GET", handler=listing, doc="List the jobs at work.", dialects=NEWEST),
    Endpoint(
        path="/tasks/<task>",
        method="GET",
        handler=single,
        doc="Show how far a job has come.",
        dialects=NEWEST,
    ),
)
