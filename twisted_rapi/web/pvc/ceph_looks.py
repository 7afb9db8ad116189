"""Looking at Ceph for requests of PVC's API: each look is of now, and none waits for ever."""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from twisted_rapi.errors import JobError, NodeError, NodeUnreachable, StaleTerm, StepFailed
from twisted_rapi.model.ceph import Subject
from twisted_rapi.model.steps import LookAtCeph, Outcome
from twisted_rapi.plan.ceph_nodes import reaching
from twisted_rapi.plan.pvc.limit import Unanswerable
from twisted_rapi.web.call import Api

Seen = Mapping[str, Any]
LONGEST = 60.0  # seconds; a tool of Ceph that reaches none says so after 25
MOST_NODES = 2  # that are asked, one after the other where one does not answer


@attrs.frozen
class CephLooks:
    """Asks the nodes, on a clock."""

    clock: IReactorTime

    async def look(
        self, api: Api, subject: Subject, pool: str = "", volume: str = "", seconds: float = LONGEST
    ) -> tuple[Seen, ...] | None:
        """
        What there is, as `twisted_rapi.storage.ceph_interface.ICeph.look` says; ``None``: what is named is
        not there.

        :raises Unanswerable: nobody says it in time, with the reason.
        """
        step = LookAtCeph(instance="", subject=subject, pool=pool, volume=volume)
        asked: Deferred[Outcome] = Deferred.fromCoroutine(self._ask(api, step))
        asked.addTimeout(seconds, self.clock)
        try:
            outcome = await asked
        except DeferredTimeout as e:
            raise Unanswerable("ERROR: Ceph does not answer at present.") from e
        except (JobError, StepFailed) as e:
            raise Unanswerable(f"ERROR: {e.text}") from e
        except (NodeError, StaleTerm) as e:
            raise Unanswerable("ERROR: No node that reaches Ceph answers at present.") from e
        return None if outcome.reason else outcome.units

    async def _ask(self, api: Api, step: LookAtCeph) -> Outcome:
        *first, last = [node.uuid for node in reaching(api.answers.view())[:MOST_NODES]]
        for node in first:
            try:
                return await self._of(api, node, step)
            except NodeUnreachable:
                continue
        return await self._of(api, last, step)

    async def _of(self, api: Api, node: str, step: LookAtCeph) -> Outcome:
        found: Outcome = await api.cluster.nodes.perform(node, step)
        return found
