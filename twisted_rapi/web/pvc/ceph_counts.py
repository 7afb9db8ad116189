"""
What the state of the cluster tells of Ceph, without having anybody wait for it long.

Note [One look for many].  To count everything takes several tools a second or more.  Requests that come
meanwhile wait for the same look, and what it finds is good for those of the next two seconds.  Who has waited
long enough is told what was found before, if that was within the last minute; later that Ceph says nothing.
"""

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger

from twisted_rapi.errors import JobError
from twisted_rapi.model.ceph import Subject
from twisted_rapi.plan.ceph_nodes import reaching
from twisted_rapi.plan.pvc.limit import Unanswerable
from twisted_rapi.plan.pvc.storage import Storage, storage
from twisted_rapi.web.call import Api
from twisted_rapi.web.pvc.ceph_looks import CephLooks, Seen

FRESH = 2.0  # seconds that what was found is good for
KNOWN = 60.0  # seconds that it is better than nothing for
PATIENCE, LITTLE = 5.0, 1.0  # seconds a request waits, where nothing is known and where something is
_SUBJECTS: tuple[Subject, ...] = ("status", "osds", "pools", "volumes", "snapshots")


@attrs.define(eq=False)
class _Look:
    """One that is under way, and who waits for it."""

    waiting: list[Deferred[Storage]] = attrs.field(factory=list)


class CephCounts:
    """See Note [One look for many]."""

    _log = Logger()

    def __init__(self, looks: CephLooks) -> None:
        self._looks, self._clock = looks, looks.clock
        self._found, self._at = Storage(), float("-inf")
        self._look: _Look | None = None

    def forget(self) -> None:
        """Something has changed: what was found is good for nobody any more, nor is what is being found."""
        self._at, self._look = float("-inf"), None

    async def get(self, api: Api) -> Storage:
        """What there is; nothing where no node reaches a Ceph."""
        try:
            reaching(api.answers.view())
        except JobError:
            return Storage()
        age = self._clock.seconds() - self._at
        if age <= FRESH:
            return self._found
        waiting: Deferred[Storage] = Deferred()
        waiting.addTimeout(LITTLE if age <= KNOWN else PATIENCE, self._clock)
        self._join(api, waiting)
        try:
            return await waiting
        except DeferredTimeout:
            return self._found if age <= KNOWN else Storage(silent=True)

    def _join(self, api: Api, waiting: Deferred[Storage]) -> None:
        """Wait for the look that is under way, or begin one."""
        if self._look is not None:
            self._look.waiting.append(waiting)
            return
        look = self._look = _Look([waiting])
        Deferred.fromCoroutine(self._tell(api, look))

    async def _tell(self, api: Api, look: _Look) -> None:
        """Look, and tell who waits; what nobody can make sense of is told as nothing, and looked at again."""
        try:
            found = await self._count(api)
        except Exception:  # noqa: BLE001 -- a look that never ended would be waited for by all that come later
            self._log.failure("what Ceph says could not be counted")
            found = Storage(silent=True)
        if self._look is look:
            self._look, self._found, self._at = None, found, self._clock.seconds()
        for d in look.waiting:
            if not d.called:
                d.callback(found)

    async def _count(self, api: Api) -> Storage:
        asked = [Deferred.fromCoroutine(self._seen(api, subject)) for subject in _SUBJECTS]
        try:
            return storage(*await gatherResults(asked, consumeErrors=True))
        except FirstError as e:
            if not e.subFailure.check(Unanswerable):
                self._log.failure("Ceph could not be counted", e.subFailure)
            return Storage(silent=True)

    async def _seen(self, api: Api, subject: Subject) -> tuple[Seen, ...]:
        return await self._looks.look(api, subject) or ()
