"""The steps about Ceph, carried out by what reaches it."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.ceph import AddOsd
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.storage.ceph_interface import ICeph

Handler = Callable[[Any], Coroutine[Any, Any, Outcome]]

APART = (steps.LookAtCeph, steps.AwaitDrained)
"""Steps that change nothing and that nothing else waits for."""

LOOKS = 8  # that are under way at the same time; each is several tools
LOOK = 2.0  # seconds between two looks at an OSD that is drained: Ceph tells nobody when it is


class CephSteps:
    """
    Carries them out.

    :param ceph: ``None``: the node reaches none.
    :ivar handlers: by type of step.
    """

    def __init__(self, ceph: ICeph | None, clock: IReactorTime) -> None:
        self._found, self._clock = ceph, clock
        self._turn = DeferredSemaphore(LOOKS)
        self.handlers: Mapping[type[Step], Handler] = {
            steps.LookAtCeph: self._look,
            steps.ChangeCeph: self._change,
            steps.AwaitDrained: self._await_drained,
        }

    @property
    def _ceph(self) -> ICeph:
        if self._found is None:
            raise StepFailed("this node reaches no Ceph", "storage")
        return self._found

    async def _look(self, step: steps.LookAtCeph) -> Outcome:
        found: Outcome = await self._turn.run(lambda: Deferred.fromCoroutine(self._look_now(step)))
        return found

    async def _look_now(self, step: steps.LookAtCeph) -> Outcome:
        try:
            return Outcome(units=await self._ceph.look(step.subject, step.pool, step.volume))
        except StepFailed as e:
            if e.kind != "absent":
                raise
            return Outcome(reason=e.text)

    async def _change(self, step: steps.ChangeCeph) -> Outcome:
        answer = await self._ceph.change(step.change)
        return Outcome(text=str(answer) if isinstance(step.change, AddOsd) else "")

    async def _await_drained(self, step: steps.AwaitDrained) -> Outcome:
        until = self._clock.seconds() + step.at_most
        while not await self._ceph.drained(step.osd):
            left = until - self._clock.seconds()
            if left <= 0:
                return Outcome()
            await deferLater(self._clock, min(LOOK, left))
        return Outcome(text="yes")
