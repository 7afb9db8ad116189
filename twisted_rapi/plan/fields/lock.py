"""Fields of locks (fields.json; behaviour.md §12)."""

from collections.abc import Iterator

import attrs

from twisted_rapi.plan.fields.base import Field
from twisted_rapi.plan.view import View


@attrs.frozen
class LockRow:
    """
    A lock that somebody has or waits for.

    :ivar owners: job ids, negative ones of what is no job's; `pending`: those that wait, in their order, and
        whether they would share it.
    """

    name: str
    owners: tuple[int, ...]
    shared: bool
    pending: tuple[tuple[int, bool], ...]


def rows(view: View) -> Iterator[LockRow]:
    """All locks that somebody has or waits for, by level and name."""
    for (level, name), queue in sorted(view.locks.queues().items()):
        holders = queue.holders
        yield LockRow(
            name=f"{level}/{name}",
            owners=tuple(sorted(holders)),
            shared=all(holders.values()),
            pending=tuple(queue.waiting),
        )


def _owner(owner: int) -> str:
    return str(owner) if owner > 0 else "leftover"


def _word(shared: bool) -> str:
    return "shared" if shared else "exclusive"


TABLE = (
    Field("name", "Name", "other", "Level and name", lambda v, k: k.name),
    Field("mode", "Mode", "other", "How it is held: shared, exclusive, or not at all", lambda v, k: _word(k.shared) if k.owners else None, nullable=True),
    Field("owner", "Owner", "other", "Ids of the jobs that have it", lambda v, k: [_owner(job) for job in k.owners]),
    Field("pending", "Pending", "other", "Who waits for it, and how", lambda v, k: [[_word(shared), [_owner(job)]] for job, shared in k.pending]),
)  # fmt: skip
