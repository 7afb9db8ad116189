"""Jobs that requests of PVC's API submit, and waiting for them."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import FINAL, JobRecord, job_status
from twisted_rapi.web.pvc.endpoints import PvcCall
from twisted_rapi.web.pvc.tasks import why
from twisted_rapi.web.reply import Reply

WAIT = 150.0  # seconds; what forwards a request to the master waits for 180


class JobFailed(BadRequest):
    """
    A job has not ended well.

    :ivar why: in words; `code`: of the errors of jobs, "" where there is none.
    """

    def __init__(self, why: str, code: str) -> None:
        super().__init__(f"ERROR: {why}")
        self.why, self.code = why, code


async def submitted(call: PvcCall, ops: Sequence[Opcode], handler: str) -> int:
    """
    The id of a job with these opcodes, which can no longer be lost.

    :param handler: what the reason trail is to name.
    :raises RequestError: see `twisted_rapi.cluster.interface.ICluster.submit`.
    """
    trail: list[Any] = [[f"pvc:{handler}", "", int(call.api.now() * 1e9)]]
    return await call.api.cluster.submit([replace(op, reason=trail) for op in ops], call.request_id)


async def ended(call: PvcCall, job: int, seconds: float = WAIT) -> JobRecord | None:
    """
    The job once it has ended well; ``None``: it goes on after so many seconds, or nobody knows it any more.

    A client that goes away meanwhile is no longer waited for; the job goes on.

    :raises JobFailed: it has not.
    """
    found = await call.api.cluster.wait(job, lambda record: job_status(record) not in FINAL, seconds)
    if found is None or job_status(found) not in FINAL:
        return None
    if job_status(found) != "success":
        raise JobFailed(failure(found), code_of(found))
    return found


async def told(call: PvcCall, job: int, text: str) -> Reply:
    """
    The answer once a job has ended well, or that it goes on (202) where that takes very long.

    :raises JobFailed: it has not.
    """
    return goes_on(call, job) if await ended(call, job) is None else call.told(text)


def goes_on(call: PvcCall, job: int) -> Reply:
    """The answer about a job that was waited for, and has not ended yet."""
    return call.told(f"It goes on as job {job}, which has not ended yet.", 202)


async def all_ended(call: PvcCall, job: int, seconds: float = WAIT) -> bool:
    """
    Whether a job has ended well, and the last of the jobs it has submitted, and so on; no: they go on.

    :raises JobFailed: one of them has not.
    """
    until = call.api.now() + seconds
    while (left := until - call.api.now()) > 0:
        found = await ended(call, job, left)
        if found is None:
            return False
        result = found.ops[-1].result
        jobs = result.get("jobs") if isinstance(result, dict) else None
        if not jobs:
            return True
        accepted, last = jobs[-1]
        if not accepted:
            raise JobFailed(str(last), "")
        job = int(last)
    return False


def failure(job: JobRecord) -> str:
    """Why a job has not ended well."""
    failed = [why(op) for op in job.ops if op.status == "error"]
    return failed[0] if failed else "the job was cancelled"


def code_of(job: JobRecord) -> str:
    """The code of the error it has ended with; "" where there is none."""
    for op in job.ops:
        match op.result:
            case [_, [_, str(code)]] if op.status == "error":
                return code
    return ""
