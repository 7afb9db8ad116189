"""Remembers what was wrong with the cluster, so that it can be told and acknowledged."""

from collections.abc import Callable, Collection

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.cluster.attended import Attended
from twisted_rapi.cluster.watchdog import Watchdog
from twisted_rapi.errors import Conflict, RapiError
from twisted_rapi.model.fault import Fault, FaultsRecord
from twisted_rapi.plan import faults
from twisted_rapi.plan.watchdog import under_way, words

WAIT = 15.0
"""Seconds that something has to be wrong before it is told of: jobs and restarts take as long."""

LOOK = 5.0
"""Seconds at least between two looks, however much is reported."""


class Faults(Service):
    """
    Notes in the store what is wrong, by the reports of nodes and what is known of their fates.

    It is there for one term; what was noted stays under the next master.
    """

    _log = Logger()

    def __init__(self, attended: Attended[None], watchdog: Watchdog) -> None:
        self._with, self._watchdog = attended, watchdog
        self._since: dict[str, float] = {}  # by id of what is wrong
        self._ends: list[Callable[[], None]] = []
        self._timer: IDelayedCall | None = None
        self._busy: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._ends = [
            self._with.nodes.observe(lambda _: self._arm(LOOK)),
            self._with.snapshot.observe(lambda _: self._arm(LOOK)),
        ]
        self._arm(LOOK)

    def stopService(self) -> Deferred[None]:
        """End."""
        super().stopService()
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._busy.cancel()
        return self._busy

    def _arm(self, seconds: float) -> None:
        if self.running and self._timer is None:
            self._timer = self._with.clock.callLater(seconds, self._fired)

    def _fired(self) -> None:
        self._timer = None
        if self._busy.called:
            self._busy = Deferred.fromCoroutine(self._look())
            self._busy.addErrback(self._failed)
        else:
            self._arm(LOOK)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(RapiError):
            self._log.warn("faults could not be noted: {why}", why=str(failure.value))
        else:
            self._log.failure("noting faults met a bug", failure)
        self._arm(WAIT)

    def _wrongs(self) -> dict[str, faults.Wrong]:
        snapshot, nodes = self._with.snapshot, self._with.snapshot.nodes
        fates = [(nodes[uuid].name, fate) for uuid, fate in snapshot.fates.items() if uuid in nodes]
        down = self._watchdog.down()
        said = words(self._with.table) if down else frozenset[str]()
        by_name = snapshot.names["instance"]
        idle = [
            one.name
            for one in down
            if not under_way(snapshot.instances[by_name[one.name]], said, self._with.locks)
        ]
        strange = [(one.name, nodes[one.node].name) for one in self._watchdog.strangers()]
        return faults.wrongs(fates, idle, strange)

    async def _look(self) -> None:
        now, found = self._with.clock.seconds(), self._wrongs()
        self._since = {key: self._since.get(key, now) for key in found}
        known = {fault.id for fault in self._record().faults if not fault.over}
        lasting = {key: one for key, one in found.items() if key in known or now - self._since[key] >= WAIT}
        early = [self._since[key] for key in found if key not in lasting]
        if early:
            self._arm(max(LOOK, min(early) + WAIT - now))
        await self._put(faults.noted(self._record(), self._with.now(), lasting))

    async def _put(self, record: FaultsRecord) -> None:
        if record != self._record():
            await self._with.commit([record])

    def _record(self) -> FaultsRecord:
        return self._with.snapshot.faults or FaultsRecord()

    # What is asked.

    def all(self) -> list[Fault]:
        """Those that are told of, the oldest first."""
        return faults.shown(self._with.snapshot.faults)

    async def acknowledge(self, ids: Collection[str]) -> None:
        """
        Note that these are known; others than there are, are well.

        :raises StoreError: it could not be stored.
        :raises Conflict: others were noted at the same time, again and again.
        """
        await self._change(lambda record: faults.acknowledged(record, ids, self._with.now()))

    async def delete(self, ids: Collection[str]) -> None:
        """
        Forget these; one that lasts is told of again only after it was over.

        :raises StoreError, Conflict: as `acknowledge`.
        """
        await self._change(lambda record: faults.without(record, ids))

    async def _change(self, changed: Callable[[FaultsRecord], FaultsRecord]) -> None:
        for left in reversed(range(3)):
            try:
                await self._put(changed(self._record()))
                return
            except Conflict:
                if not left:
                    raise
                await self._with.snapshot.catch_up([FaultsRecord.KIND])
