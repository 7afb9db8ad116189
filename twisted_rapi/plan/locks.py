"""
Which locks an opcode needs, and who may have them (behaviour.md §12, locks_hooks.tsv).

Locks are named and belong to a level; a request is granted whole or waits whole, so there is no order in
which two could block each other.
"""

from bisect import insort
from collections.abc import Iterable, Mapping
from typing import Literal

import attrs

Level = Literal["cluster", "instance", "nodegroup", "node", "node-res", "network"]


@attrs.frozen(order=True)
class Lock:
    """
    One lock wanted or held; `name` is an instance's name or another object's uuid.

    A new object's lock is that of the name it will have.
    """

    level: Level
    name: str
    shared: bool = False


Name = tuple[Level, str]


@attrs.frozen(order=True)
class _Rank:
    """Where a request stands among those that wait: the more urgent first, then the older."""

    priority: int
    age: int
    owner: int


@attrs.define
class _Queue:
    """One lock: who has it, and who waits for it in order; the values say whether shared."""

    holders: dict[int, bool] = attrs.field(factory=dict)
    waiting: list[_Rank] = attrs.field(factory=list)
    wants: dict[int, bool] = attrs.field(factory=dict)
    exclusive: int = 0  # how many of those that wait want it for themselves

    def add(self, rank: _Rank, shared: bool) -> None:
        """Someone waits."""
        insort(self.waiting, rank)
        self.wants[rank.owner] = shared
        self.exclusive += not shared

    def drop(self, rank: _Rank) -> None:
        """Someone no longer waits."""
        self.waiting.remove(rank)
        self.exclusive -= not self.wants.pop(rank.owner)

    def admits(self, rank: _Rank) -> bool:
        """Whether neither a holder nor anyone before `rank` stands in its way."""
        shared = self.wants[rank.owner]
        if self.holders and not (shared and all(self.holders.values())):
            return False
        if shared and not self.exclusive:
            return True
        for other in self.waiting:
            if other == rank:
                return True
            if not shared or not self.wants[other.owner]:
                return False
        return True

    def next(self) -> Iterable[int]:
        """The owners that this lock would admit now, in order."""
        if any(not shared for shared in self.holders.values()):
            return
        for n, rank in enumerate(self.waiting):
            if not self.wants[rank.owner]:
                if n == 0 and not self.holders:
                    yield rank.owner
                return
            yield rank.owner


@attrs.frozen
class Queued:
    """
    One lock as of one moment.

    :ivar holders: who has it, and whether they share it; `waiting`: who wants it, in order, and likewise.
    """

    holders: Mapping[int, bool]
    waiting: list[tuple[int, bool]]


class LockTable:
    """
    Who has which locks.

    A request is granted when none of its locks is held in a way that conflicts, and none is wanted in such a
    way by a request before it.  So nobody who waits is overtaken for ever, and as nobody holds one lock while
    waiting for another nobody blocks each other.
    """

    def __init__(self) -> None:
        self._queues: dict[Name, _Queue] = {}
        self._locks: dict[int, frozenset[Lock]] = {}
        self._ranks: dict[int, _Rank] = {}  # of those that wait

    def request(self, owner: int, priority: int, age: int, locks: frozenset[Lock]) -> bool:
        """
        Ask for locks; answers whether they are granted at once, else `owner` waits.

        :param priority: lower is more urgent; `age`: lower is older.
        :raises ValueError: `owner` has or wants locks already.
        """
        if owner in self._locks:
            raise ValueError(f"{owner} has asked before")
        rank = _Rank(priority, age, owner)
        self._locks[owner] = locks
        self._ranks[owner] = rank
        for lock in locks:
            self._queues.setdefault((lock.level, lock.name), _Queue()).add(rank, lock.shared)
        return self._grant(owner)

    def _grant(self, owner: int) -> bool:
        rank, locks = self._ranks[owner], self._locks[owner]
        queues = [(self._queues[lock.level, lock.name], lock.shared) for lock in locks]
        if not all(queue.admits(rank) for queue, _ in queues):
            return False
        for queue, shared in queues:
            queue.drop(rank)
            queue.holders[owner] = shared
        del self._ranks[owner]
        return True

    def release(self, owner: int) -> list[int]:
        """
        Give back what `owner` has, or stop waiting; answers who has got its locks by that.

        One that has and wants nothing is well.
        """
        locks = self._locks.pop(owner, frozenset())
        rank = self._ranks.pop(owner, None)
        freed = []
        for lock in locks:
            queue = self._queues[lock.level, lock.name]
            # Where one sharer of many leaves and all that wait would share too, nobody waited for this lock.
            if not lock.shared or queue.exclusive:
                freed.append(lock)
            queue.holders.pop(owner, None)
            if rank is not None:
                queue.drop(rank)
        granted = self._wake(freed)
        for lock in locks:
            queue = self._queues[lock.level, lock.name]
            if not queue.holders and not queue.waiting:
                del self._queues[lock.level, lock.name]
        return granted

    def _wake(self, freed: Iterable[Lock]) -> list[int]:
        candidates: set[int] = set()
        for lock in freed:
            candidates.update(self._queues[lock.level, lock.name].next())
        order = sorted(candidates, key=lambda owner: self._ranks[owner])
        return [owner for owner in order if self._grant(owner)]

    def granted(self, owner: int) -> frozenset[Lock]:
        """What `owner` has; nothing while it waits."""
        return frozenset() if owner in self._ranks else self._locks.get(owner, frozenset())

    def free(self, lock: Lock) -> bool:
        """Whether somebody new would get this lock at once."""
        queue = self._queues.get((lock.level, lock.name))
        if queue is None:
            return True
        if lock.shared:
            return all(queue.holders.values()) and not queue.exclusive
        return not queue.holders and not queue.waiting

    def queues(self) -> Mapping[Name, "Queued"]:
        """Every lock that somebody has or waits for."""
        return {
            name: Queued(dict(queue.holders), [(r.owner, queue.wants[r.owner]) for r in queue.waiting])
            for name, queue in self._queues.items()
        }

    def holders(self) -> Mapping[Name, Mapping[int, bool]]:
        """Per lock that is held, its owners, and whether they share it."""
        return {name: dict(queue.holders) for name, queue in self._queues.items() if queue.holders}

    def waiting(self) -> list[int]:
        """Who waits, the first first."""
        return [rank.owner for rank in sorted(self._ranks.values())]
