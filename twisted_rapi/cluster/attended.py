"""What duties work with that watch nodes and submit jobs: the watchdog, and the fates of nodes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import attrs
from twisted.internet.interfaces import IReactorTime

from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.record_base import Record
from twisted_rapi.plan.locks import LockTable
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of

RulesT = TypeVar("RulesT")


@attrs.frozen(kw_only=True)
class Attended(Generic[RulesT]):
    """
    What a duty works with for one term, and the rules that it has.

    :ivar now: seconds since the epoch.
    :ivar submit: accepts a job of some opcodes; answers its id.
    """

    rules: RulesT
    store: IStateStore
    snapshot: Snapshot
    nodes: INodes
    table: JobTable
    locks: LockTable
    clock: IReactorTime
    now: Callable[[], float]
    term: int
    submit: Callable[[Sequence[Opcode], str], Awaitable[int]]

    async def commit(self, puts: Sequence[Record] = (), deletes: Sequence[Record] = ()) -> None:
        """
        Put and delete records that are as they were seen, and wait until that is seen.

        :raises Conflict: they are not; nothing was done.
        :raises StoreError: it may not have been stored.
        :raises StaleTerm: another is master.
        """
        change = commit_of(puts, deletes, revision_of=self.snapshot.revision_of, term=self.term)
        await self.snapshot.reached(await self.store.commit(change))
