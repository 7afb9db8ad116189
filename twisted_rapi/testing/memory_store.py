"""A store that forgets everything with its process."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from twisted_rapi.errors import CommitTooLarge, Conflict, LeaseGone, StaleTerm, StoreClosed, StoreError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.state.history import History, Watch
from twisted_rapi.state.interface import LARGEST, Changes, Commit, Entry, ILeases, IStateStore, Page


@attrs.define
class _Lease:
    """:ivar end: removes its keys when its time is over."""

    ttl: int
    end: IDelayedCall
    keys: set[str] = attrs.field(factory=set)


@implementer(IStateStore, ILeases)
class MemoryStore:
    """
    `IStateStore` and `ILeases` in a dictionary; every call answers at once.

    :param clock: when leases end; without one there are none.
    :ivar largest: bytes of values a commit may have; `refused`: from which on it is refused, as by one that
        is set up to take less than it should; `most_keys`: how many keys it may have.
    :ivar commits: how many commits were made or refused, for tests.
    """

    def __init__(self, history_length: int = 10_000, clock: IReactorTime | None = None) -> None:
        self._clock = clock
        self.largest = self.refused = LARGEST
        self.most_keys = 100_000
        self._leases: dict[int, _Lease] = {}
        self._granted = 0
        self.revision = 0
        self.commits = 0
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._history = History(length=history_length)
        self._closed = False

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the store was closed")

    async def get(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """What these keys have."""
        self._check_open()
        return {key: self._entries[key] for key in keys if key in self._entries}

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """Part of a listing."""
        self._check_open()
        start = bisect_right(self._keys, after) if after >= prefix else bisect_left(self._keys, prefix)
        found = self._keys[start : start + limit]
        entries = {key: self._entries[key] for key in found if key.startswith(prefix)}
        rest = self._keys[start + limit : start + limit + 1]
        more = found[-1] if len(entries) == limit and rest and rest[0].startswith(prefix) else None
        return Page(self.revision, entries, more)

    async def commit(self, change: Commit) -> int:
        """Make the change."""
        self._check_open()
        self.commits += 1
        self._check_size(change)
        self._check_term(change.term)
        stale = [k for k, r in change.expect.items() if self._revision_of(k) != r]
        if stale:
            raise Conflict(sorted(stale))
        leased = {key: self._lease(lease) for key, lease in change.leased.items()}
        for lease in self._leases.values():
            lease.keys -= {*change.puts, *change.deletes}
        for key, lease in leased.items():
            lease.keys.add(key)
        self.revision += 1
        for key, value in change.puts.items():
            if key not in self._entries:
                insort(self._keys, key)
            self._entries[key] = Entry(value, self.revision)
        for key in change.deletes:
            if self._entries.pop(key, None) is not None:
                self._keys.remove(key)
        revision = self.revision  # whoever is told of the change may commit at once
        self._history.add(Changes(revision, {**change.puts, **dict.fromkeys(change.deletes)}))
        return revision

    def _check_size(self, change: Commit) -> None:
        size, keys = sum(map(len, change.puts.values())), len(change.puts) + len(change.deletes)
        if size > self.refused or keys > self.most_keys:
            raise CommitTooLarge(f"{size} bytes under {keys} keys: the store takes {self.refused}")

    def _revision_of(self, key: str) -> int:
        entry = self._entries.get(key)
        return 0 if entry is None else entry.revision

    def _check_term(self, term: int | None) -> None:
        entry = self._entries.get(ElectionRecord.KIND)
        if term is None or entry is None:
            return
        election = decode(ElectionRecord.KIND, entry.value)
        assert isinstance(election, ElectionRecord)
        if election.term > term:
            raise StaleTerm(term, election.term)

    def watch(self, prefixes: Sequence[str], after: int) -> Watch:
        """See the commits after a revision."""
        return self._history.watch(prefixes, after)

    def age(self) -> float:
        """Nothing is between it and its watchers."""
        return 0.0

    async def grant(self, ttl: int) -> int:
        """See `ILeases.grant`."""
        self._check_open()
        if self._clock is None:
            raise StoreError("this store has no clock")
        self._granted += 1
        self._leases[self._granted] = _Lease(ttl, self._clock.callLater(ttl, self._end_lease, self._granted))
        return self._granted

    async def renew(self, lease: int, patience: float) -> None:
        """See `ILeases.renew`."""
        self._check_open()
        found = self._lease(lease)
        found.end.reset(found.ttl)

    async def revoke(self, lease: int) -> None:
        """See `ILeases.revoke`."""
        self._check_open()
        if lease in self._leases:
            self._leases[lease].end.cancel()
            self._end_lease(lease)

    def _lease(self, lease: int) -> _Lease:
        if lease not in self._leases:
            raise LeaseGone(f"there is no lease {lease}")
        return self._leases[lease]

    def _end_lease(self, lease: int) -> None:
        gone = sorted(self._leases.pop(lease).keys & self._entries.keys())
        if gone:
            self.revision += 1
            for key in gone:
                del self._entries[key]
                self._keys.remove(key)
            self._history.add(Changes(self.revision, dict.fromkeys(gone)))

    async def close(self) -> None:
        """End it."""
        self._closed = True
        for lease in self._leases.values():
            lease.end.cancel()
        self._leases.clear()
        self._history.close()
