"""The store: where wanted state is kept, and its contract."""

from collections.abc import Mapping, Sequence

import attrs
from zope.interface import Attribute, Interface

LARGEST = 8 * 1024 * 1024
"""What every store has to take in one commit, in bytes of values."""


@attrs.frozen
class Entry:
    """A value and the revision of the commit that wrote it."""

    value: bytes
    revision: int


@attrs.frozen
class Page:
    """
    Part of a listing.

    :ivar revision: the store's revision this part is as of; the next part may be as of a later one, so who
        wants all of a listing watches from the revision of its first part.
    :ivar entries: in the order of their keys.
    :ivar more: the key to go on after, or ``None`` at the end.
    """

    revision: int
    entries: Mapping[str, Entry]
    more: str | None = None


@attrs.frozen(kw_only=True)
class Commit:
    """
    A change that is made whole or not at all.

    :ivar expect: the revision each of these keys must have; 0: there is no such key.
    :ivar puts: new values; `deletes`: keys to remove (one that is not there is well).
    :ivar leased: the keys among the puts that vanish with a lease, and which (`ILeases.grant`).
    :ivar term: the master's term; the commit is refused when the store's election record has a higher one.
        ``None`` for tools that write without being master (only while no master runs).
    """

    expect: Mapping[str, int] = attrs.field(factory=dict)
    puts: Mapping[str, bytes] = attrs.field(factory=dict)
    deletes: frozenset[str] = frozenset()
    leased: Mapping[str, int] = attrs.field(factory=dict)
    term: int | None = None


@attrs.frozen
class Changes:
    """One commit as a watcher sees it: the values after it, ``None`` for removed keys."""

    revision: int
    values: Mapping[str, bytes | None]


class IWatch(Interface):
    """A running watch."""

    async def next() -> Sequence[Changes]:
        """
        The changes since the last call, oldest first, at least one; waits for one.  One caller at a time.

        :raises Compacted: changes were lost (too slow, or too old a revision): list again.
        :raises StoreClosed: the store was closed.
        """

    def close() -> None:
        """End it; a waiting `next` is cancelled (``CancelledError``).  May be called again."""


class IStateStore(Interface):
    """
    An ordered map from keys (text, ``kind/…``) to values (bytes) with a revision that counts commits.

    All reads are of committed state.  A commit that was answered survives kill -9 and power loss.
    """

    largest = Attribute("How many bytes the values of one commit may have; of more it may not take any.")
    revision = Attribute("The revision of the newest commit this process knows of; 0 for an empty store.")

    async def get(keys: Sequence[str]) -> Mapping[str, Entry]:
        """
        What these keys have; missing ones are left out.

        :raises StoreError: it cannot be read.
        """

    async def list(prefix: str, after: str = "", limit: int = 1000) -> Page:
        """
        Up to `limit` (at least 1) keys that begin with `prefix` and are greater than `after`.

        :raises StoreError: it cannot be read.
        """

    async def commit(change: Commit) -> int:
        """
        Make the change and answer its revision, once it is durable.

        :raises Conflict: an expectation does not hold; nothing was written.
        :raises StaleTerm: the election record names a higher term; nothing was written.
        :raises LeaseGone: a lease it names is over; nothing was written.
        :raises CommitTooLarge: the store takes less at once; nothing was written.
        :raises Unanswered: a store over a network did not say whether it was written.  No later commit of
            this process with one of its keys is made before that is known.
        :raises StoreError: it could not be written.

        Cancelling it does not take the change back.
        """

    def watch(prefixes: Sequence[str], after: int) -> IWatch:
        """
        See all commits with a higher revision than `after` that touch keys beginning with one of
        `prefixes`; only those keys are shown.
        """

    def age() -> float:
        """
        Seconds since it was certain that watchers have been told everything; 0 for a store in this process.

        It grows while a store over a network does not answer; what is known of it then is that old.
        """

    async def close() -> None:
        """
        End it once the commits under way are done; later calls raise `StoreClosed`.

        May be called again.
        """


class ILeases(Interface):
    """Keys that vanish by themselves when who put them is gone; offered by stores that several share."""

    async def grant(ttl: int) -> int:
        """
        A new lease, by its number: it ends `ttl` seconds after it was granted or renewed last.

        :param ttl: whole seconds, at least 2.
        :raises StoreError: none could be had; one may have been granted, and ends by itself.
        """

    async def renew(lease: int, patience: float) -> None:
        """
        Have it go on for its whole time, counted from a moment after this was called.

        :param patience: seconds to wait for the answer.
        :raises LeaseGone: it has ended.
        :raises StoreError: it is not known to have been renewed.
        """

    async def revoke(lease: int) -> None:
        """
        End it and remove its keys, in one commit; one that has ended is well.

        :raises StoreError: it could not be asked for; the lease ends by itself.
        """
