"""
Jobs of who may only read: they must not fill the queue.

Note [Reading by jobs].  A few reads are jobs (``/2/instances/N/info``), and where no user is needed for
reading anybody may ask for them.  Equal ones that have not begun are one job (one that has may have seen what
was changed since); and of all jobs that are not archived only a part may be of readers, so that there is room
for those who change something.
"""

from collections.abc import Sequence

from msgspec.json import encode
from twisted.internet.defer import Deferred

from twisted_rapi.errors import ServiceUnavailable
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.opcodes import Opcode, to_wire
from twisted_rapi.model.records import job_status

PART = 2  # one job in so many may be of readers


class Readers:
    """
    The jobs of readers, for one term.

    :param limit: how many jobs of all kinds there may be.
    """

    def __init__(self, table: JobTable, limit: int) -> None:
        self._table, self._most = table, limit // PART
        self._latest: dict[bytes, int] = {}  # by what is asked for
        self._jobs: set[int] = set()
        self._accepting = 0

    def known(self, ops: Sequence[Opcode]) -> int | None:
        """
        An equal job that has not begun.

        :raises ServiceUnavailable: there is none, and there are too many of readers.
        """
        if len(self._jobs) + self._accepting >= self._most:
            self._sweep()
        job_id = self._latest.get(_asked(ops))
        job = None if job_id is None else self._table.get(job_id)
        if job is not None and job_status(job) in ("queued", "waiting"):
            return job.id
        if len(self._jobs) + self._accepting >= self._most:
            raise ServiceUnavailable("Too many jobs that only read; please ask again later")
        return None

    def _sweep(self) -> None:
        """Forget those that were archived."""
        self._jobs = {job_id for job_id in self._jobs if self._table.get(job_id) is not None}
        self._latest = {asked: job_id for asked, job_id in self._latest.items() if job_id in self._jobs}

    def note(self, ops: Sequence[Opcode], accepted: Deferred[int]) -> Deferred[int]:
        """Such a job is being accepted."""
        self._accepting += 1
        return accepted.addBoth(self._noted, _asked(ops))

    def _noted(self, result: object, asked: bytes) -> object:
        self._accepting -= 1
        if isinstance(result, int):
            self._jobs.add(result)
            self._latest[asked] = result
        return result


def _asked(ops: Sequence[Opcode]) -> bytes:
    """What is asked for, whoever asks and whenever."""
    return encode([{**to_wire(op), "reason": None} for op in ops])
