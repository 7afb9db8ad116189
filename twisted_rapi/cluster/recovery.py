"""Bringing dead nodes back that answer again."""

from typing import Any

from msgspec.structs import replace
from twisted.logger import Logger

from twisted_rapi.cluster.attended import Attended
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.opcodes.node import NodeSetParams
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.fate import SOURCE, DeathRules, old_copies
from twisted_rapi.plan.watchdog import words

AGAIN = 60.0
"""Seconds until a node that could not be set online is tried again."""

ROLES: dict[str, dict[str, Any]] = {
    "candidate": {"master_candidate": True},
    "drained": {"drained": True},
    "regular": {"offline": False},
}
"""What a node is asked to be, by `NodeFateRecord.role`."""


class Recovery:
    """
    Has a node that was dead stop what is elsewhere now, while it is still offline: nothing can be started on
    it before.  Then, where that is configured, it is set online.
    """

    _log = Logger()

    def __init__(self, attended: Attended[DeathRules]) -> None:
        self._with = attended
        self._not_before: dict[str, float] = {}  # by node: when it may be tried again to set it online

    async def go_on(self, node: NodeRecord, record: NodeFateRecord) -> None:
        """
        Do what comes next.

        :raises RapiError: it cannot be done; it is to be tried again.
        """
        if not node.offline:
            if not record.back:
                await self._with.commit([replace(record, back=True)])
        elif record.back:
            # It was online: somebody has taken it out of use again.
            await self._with.commit(deletes=[record])
        elif not await self._stopped(node, record) and self._with.rules.recover == "auto":
            await self._set_online(node, record)

    async def _stopped(self, node: NodeRecord, record: NodeFateRecord) -> bool:
        """Stop old copies; answers whether there were any."""
        snapshot, stopped = self._with.snapshot, list(record.stopped)
        steps = old_copies(record, snapshot.leftovers.values(), snapshot.instances)
        for uuid, step in steps.items():
            now = snapshot.nodes.get(node.uuid)
            if now is None or not now.offline:
                return True  # what is there is others' now
            await self._with.nodes.perform(node.uuid, step, offline=True)
            self._log.info("{name} does not run on {node}", name=step.instance, node=node.name)
            stopped.append(uuid)
        if steps:
            current = snapshot.fates.get(node.uuid)
            if current is not None:
                await self._with.commit([replace(current, stopped=tuple(stopped))])
        return bool(steps)

    async def _set_online(self, node: NodeRecord, record: NodeFateRecord) -> None:
        given = self._with
        if given.snapshot.cluster.drained_queue or not {node.uuid, node.name}.isdisjoint(words(given.table)):
            return
        if given.clock.seconds() < self._not_before.get(node.uuid, 0.0):
            return
        self._not_before[node.uuid] = given.clock.seconds() + AGAIN
        op = NodeSetParams(
            node_name=node.name,
            node_uuid=node.uuid,
            reason=[[SOURCE, "it answers again", int(given.now() * 1e9)]],
            **ROLES.get(record.role, ROLES["regular"]),
        )
        await given.submit([op], SOURCE)
