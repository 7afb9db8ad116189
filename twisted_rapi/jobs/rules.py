"""Keeping the rules about jobs."""

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

from twisted_rapi.errors import NotFound
from twisted_rapi.model.job_filter import checked_action, checked_predicates, checked_reason
from twisted_rapi.model.records import FilterRecord
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of

SOURCE = "luxid"  # what the last entry of a rule's reason trail names, as observed


class Rules:
    """
    The rules about jobs, for one term.

    :param last_job: the last job id given out.
    """

    def __init__(
        self,
        store: IStateStore,
        snapshot: Snapshot,
        now: Callable[[], float],
        chance: Random,
        term: int,
        last_job: Callable[[], int],
    ) -> None:
        self._store, self._snapshot, self._now, self._chance = store, snapshot, now, chance
        self._term, self._last_job = term, last_job

    async def put(
        self, uuid: str | None, priority: int, predicates: list[Any], action: Any, reason: list[Any]
    ) -> str:
        """See `twisted_rapi.cluster.interface.ICluster.put_filter`."""
        trail = (*checked_reason(reason), [SOURCE, "", int(self._now() * 1e9)])
        record = FilterRecord(
            uuid=uuid or str(UUID(int=self._chance.getrandbits(128), version=4)),
            watermark=self._last_job(),
            priority=priority,
            predicates=checked_predicates(predicates),
            action=checked_action(action),
            reason=trail,
        )
        # Expecting nothing: of two who replace one rule at once, the later wins.
        revision = await self._store.commit(commit_of([record], term=self._term))
        await self._snapshot.reached(revision)
        return record.uuid

    async def delete(self, uuid: str) -> None:
        """See `twisted_rapi.cluster.interface.ICluster.delete_filter`."""
        record = self._snapshot.filters.get(uuid)
        if record is None:
            raise NotFound
        revision = await self._store.commit(commit_of(deletes=[record], term=self._term))
        await self._snapshot.reached(revision)
