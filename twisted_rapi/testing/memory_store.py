"""A store that forgets everything with its process."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

from zope.interface import implementer

from twisted_rapi.errors import Conflict, StaleTerm, StoreClosed
from twisted_rapi.model.records import ElectionRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.state.history import History, Watch
from twisted_rapi.state.interface import Changes, Commit, Entry, IStateStore, Page


@implementer(IStateStore)
class MemoryStore:
    """
    `IStateStore` in a dictionary; every call answers at once.

    :ivar commits: how many commits were made or refused, for tests.
    """

    def __init__(self, history_length: int = 10_000) -> None:
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
        self._check_term(change.term)
        stale = [k for k, r in change.expect.items() if self._revision_of(k) != r]
        if stale:
            raise Conflict(sorted(stale))
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

    async def close(self) -> None:
        """End it."""
        self._closed = True
        self._history.close()
