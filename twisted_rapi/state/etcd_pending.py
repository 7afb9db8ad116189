"""
Commits that wait to be sent, and which of them are sent together.

Commits are made in the order they were asked for.  Those that were asked for while one was under way go into
one transaction, as long as none expects something of what another one writes; the later value of a key wins,
as it would if they were made one after the other.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rapi.errors import StoreError, StoreUnreachable
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.etcd_asking import Deadline
from twisted_rapi.state.etcd_wire import Document, Space, delete_of, put_of
from twisted_rapi.state.interface import Commit

OPERATIONS = 100  # in one transaction of several commits; etcd takes 128 if it was not told otherwise
BYTES = 500_000


@attrs.frozen(eq=False)
class Waiting:
    """
    A commit somebody waits for; made by `waiting_for`.

    :ivar expect: by key, the revision, ours, it must have.
    :ivar operations: by key, what is done with it.
    :ivar alone: it is not sent together with others.
    """

    change: Commit
    expect: Mapping[str, int]
    operations: Mapping[str, Document]
    size: int
    alone: bool
    deadline: Deadline
    answer: Deferred[int] = attrs.field(factory=Deferred)

    @property
    def count(self) -> int:
        """How many operations or comparisons it is."""
        return len(self.expect) + len(self.operations)

    def tell(self, result: Any) -> None:
        """Answer; whoever waited may have been told before."""
        if not self.answer.called:
            self.answer.callback(result)


def waiting_for(change: Commit, space: Space, deadline: Deadline) -> Waiting:
    """
    A commit in the form in which it waits.

    :raises StoreError: it has a key or value that is none.
    """
    try:
        for key in change.expect:
            space.entry(key)
        puts = {key: put_of(space.entry(key), v, change.leased.get(key, 0)) for key, v in change.puts.items()}
        deletes = {key: delete_of(space.entry(key)) for key in change.deletes}
    except (ValueError, TypeError) as e:
        raise StoreError(f"this cannot be stored: {e}") from e
    alone = bool(change.leased) or ElectionRecord.KIND in puts or ElectionRecord.KIND in deletes
    size = sum(len(value) for value in change.puts.values())
    return Waiting(change, dict(change.expect), {**puts, **deletes}, size, alone, deadline)


class Pending:
    """The commits of one process that were not sent yet."""

    def __init__(self) -> None:
        self._queue: deque[Waiting] = deque()

    def add(self, waiting: Waiting) -> None:
        """It is the last now."""
        self._queue.append(waiting)

    def take(self) -> list[Waiting]:
        """What is sent next, together: the first one, and those behind it that can go with it."""
        group = _Group()
        while self._queue and group.takes(self._queue[0]):
            group.add(self._queue.popleft())
        return group.members

    def expire(self, now: float) -> None:
        """Give up those whose time is over; nothing of them was sent."""
        while self._queue and self._queue[0].deadline.end <= now:
            waiting = self._queue.popleft()
            error = StoreUnreachable(f"a commit could not be made within {waiting.deadline.patience:g} s")
            waiting.tell(Failure(error))


class _Group:
    """Commits that go into one transaction."""

    def __init__(self) -> None:
        self.members: list[Waiting] = []
        self._written: set[str] = set()
        self._operations = self._size = 0

    def takes(self, waiting: Waiting) -> bool:
        """Whether it can go with those that are in it."""
        if not self.members:
            return True
        if waiting.alone or self.members[0].alone:
            return False
        if self._operations + waiting.count > OPERATIONS or self._size + waiting.size > BYTES:
            return False
        return self._written.isdisjoint(waiting.expect)

    def add(self, waiting: Waiting) -> None:
        """Have it go with them."""
        self.members.append(waiting)
        self._written |= waiting.operations.keys()
        self._operations += waiting.count
        self._size += waiting.size
