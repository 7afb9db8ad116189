"""What the API layers ask of the cluster, and its contract."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zope.interface import Attribute, Interface

from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import JobRecord


class ICluster(Interface):
    """
    The cluster's use cases, while this process is master.

    Reads are from memory and never wait for the store or a node, except for archived jobs.

    There is one implementation, `twisted_rapi.cluster.service.Cluster`, and no fake of it: all it does is
    decided by plans, which are pure, and all it touches is behind `IStateStore` and `INodes`, which have
    fakes.  `twisted_rapi.testing.cluster.make_cluster` puts the real one on those, answers at once and holds
    the clock; a fake would have to imitate jobs, and tests of the API would then hold of the imitation.
    """

    snapshot = Attribute("The `twisted_rapi.state.snapshot.Snapshot` that reads are served from.")
    nodes = Attribute("The `twisted_rapi.rpc.interface.INodes` with the nodes' reports.")
    watchdog = Attribute("The `twisted_rapi.cluster.watchdog.Watchdog` of the term.")
    fates = Attribute("The `twisted_rapi.cluster.fates.Fates` of the term.")
    faults = Attribute("The `twisted_rapi.cluster.faults.Faults` of the term.")
    networks = Attribute("The `twisted_rapi.cluster.networks.VirtualNetworks` of the term.")
    locks = Attribute("The `twisted_rapi.plan.locks.LockTable`: which jobs have and want which locks.")

    async def submit(ops: Sequence[Opcode], request_id: str = "", reading: bool = False) -> int:
        """
        Accept a job of these opcodes and answer its id, once it can no longer be lost.

        :param reading: who asks may only read.  An equal job that has not begun will do, and such jobs
            have a part of the queue only.
        :raises ServiceUnavailable: the queue is full, or there is no master at present.
        :raises BodyTooLarge: the job is too large.
        :raises RequestError: the queue is drained (500 ``Queue drained``, as observed).
        :raises BadRequest: an opcode's dependencies cannot be meant.

        Cancelling it does not take the job back.
        """

    def jobs() -> Iterable[JobRecord]:
        """All jobs that are not archived, by id."""

    def unfinished() -> Iterable[JobRecord]:
        """The jobs that have not ended, by id."""

    async def job(job_id: int) -> JobRecord | None:
        """A job, archived or not; ``None`` for an unknown id."""

    async def archive(after: str = "") -> tuple[Iterable[JobRecord], str | None]:
        """
        Some of the archived jobs by id, and what to give as `after` for the next (``None``: that is all).

        Each is decoded as it is come to.

        :raises StoreError: the store cannot be read.
        """

    async def wait(job_id: int, unchanged: Callable[[JobRecord], bool], timeout: float) -> JobRecord | None:
        """
        The job as soon as it is final or no longer `unchanged`, at the latest after `timeout` seconds.

        ``None`` for an unknown id.  Cancelling the wait changes nothing.

        :raises ServiceUnavailable: the term ended meanwhile.
        """

    async def put_filter(
        uuid: str | None, priority: int, predicates: list[Any], action: Any, reason: list[Any]
    ) -> str:
        """
        Make a rule about jobs, or put it in the place of the one of this uuid; answers its uuid.

        It is in force when this answers: queued jobs have been judged by it.

        :raises BadRequest: it cannot be meant (`twisted_rapi.model.job_filter`).
        """

    async def delete_filter(uuid: str) -> None:
        """
        Remove a rule about jobs; those it kept in the queue go on.

        :raises NotFound: there is none of this uuid.
        """

    async def cancel(job_id: int) -> tuple[bool, str]:
        """
        Cancel a job that has not begun, and ask one that waits to end.

        Answers whether, and what to tell (observations.md, Jobs); never raises for an unknown job.

        :raises ServiceUnavailable: the term ended meanwhile; it may have been cancelled.
        """

    async def switch_master(target: str, who: str) -> SwitchRecord:
        """
        Ask that another candidate be master; the term ends soon after this answers.

        :param target: uuid of the node, "" for any other candidate.
        :param who: the user, for the log.
        :raises BadRequest: it cannot be; nothing was changed.
        :raises StoreError: the wish could not be stored.
        """

    async def session_key() -> bytes:
        """
        What sessions of the API are signed with; made if there was none yet.

        :raises StoreError: it could not be stored.
        """
