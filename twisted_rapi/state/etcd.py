"""
The store that several candidates share: etcd, through its v3 JSON gateway.

Etcd counts revisions over everything that is kept in it.  Ours begin where the cluster's part was made: the
revision at which its key ``base`` was created is our 0.  They rise with every commit and may leave numbers
out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twisted_rapi.deadline import within
from twisted_rapi.errors import (
    Compacted,
    LeaseGone,
    StoreClosed,
    StoreError,
    StoreTooNew,
    StoreUnreachable,
    Unanswered,
)
from twisted_rapi.state.etcd_asking import Asker, Deadline
from twisted_rapi.state.etcd_commit import Committer
from twisted_rapi.state.etcd_feed import Feed
from twisted_rapi.state.etcd_gateway import NOT_FOUND, OUT_OF_RANGE, IGateway, Refused
from twisted_rapi.state.etcd_leader import Local, move_leader
from twisted_rapi.state.etcd_wire import (
    Document,
    Pair,
    Space,
    number,
    pairs,
    put_of,
    range_of,
    ranges,
    revision_of,
    transaction,
    written_at,
)
from twisted_rapi.state.interface import LARGEST, Commit, Entry, ILeases, IStateStore, IWatch, Page

SCHEMA = 1
KEYS_AT_ONCE = 100  # asked for in one transaction; etcd takes 128 if it was not told otherwise
LAST_WORDS = 2.0  # seconds that closing waits for watchers to be told of the last commits


@implementer(IStateStore, ILeases)
class EtcdStore:
    """
    `IStateStore` and `ILeases` in etcd; made by `open_etcd`.

    :ivar doubtful: called when a commit of this process stays in doubt: who relies on what is in memory
        should read everything anew.
    """

    largest = LARGEST

    def __init__(
        self, asker: Asker, space: Space, writer: str, base: int, revision: int, history: int, end: Any
    ) -> None:
        self._asker, self._space, self._base = asker, space, base
        self._clock: IReactorTime = asker.clock
        self._committer = Committer(asker, space, writer, base)
        self._feed = Feed(asker, space, base, history)
        self._revision = revision
        self._end = end
        self._closing: Deferred[None] | None = None
        self._closed = False
        self._waiting: list[Deferred[None]] = []
        self._under_way: set[Deferred[None]] = set()
        self.doubtful: Callable[[], None] = lambda: None

    @property
    def revision(self) -> int:
        """See `IStateStore.revision`."""
        return max(self._revision, self._feed.revision)

    def age(self) -> float:
        """See `IStateStore.age`."""
        return self._clock.seconds() - self._feed.verified if self._feed.running else 0.0

    async def move_leader(self, local: Local) -> bool:
        """See `twisted_rapi.state.etcd_leader.move_leader`."""
        self._check_open()
        return await move_leader(self._asker, local)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise StoreClosed("the store is closed")

    # Reading.

    async def get(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """See `IStateStore.get`."""
        self._check_open()
        found: dict[str, Entry] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            wanted = [range_of(self._entry(key)) for key in keys[start : start + KEYS_AT_ONCE]]
            asked = transaction([], [{"request_range": look} for look in wanted], [])
            answer = await self._asker.insist("kv/txn", asked)
            for pairs_of_key in ranges(answer):
                found.update(map(self._shown, pairs_of_key))
        return found

    def _entry(self, key: str) -> bytes:
        try:
            return self._space.entry(key)
        except UnicodeEncodeError as e:
            raise StoreError(f"{key!r} cannot be a key: {e}") from e

    def _shown(self, pair: Pair) -> tuple[str, Entry]:
        key = self._space.key(pair.key)
        assert key is not None
        return key, Entry(pair.value, pair.revision - self._base)

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """See `IStateStore.list`."""
        self._check_open()
        inner = self._entry(prefix)
        first = max(inner, self._entry(after) + b"\0") if after else inner
        end = self._space.after(prefix)
        if first >= end:  # nothing can be there; the revision is asked for
            answer = await self._asker.insist("kv/range", range_of(self._space.base))
            return Page(revision_of(answer) - self._base, {})
        answer = await self._asker.insist("kv/range", range_of(first, end, limit))
        entries = dict(map(self._shown, pairs(answer)))
        more = max(entries) if answer.get("more") else None
        return Page(revision_of(answer) - self._base, entries, more)

    async def everything(self, limit: int = 1000) -> Mapping[str, Entry]:
        """
        All there is as of one revision, but what hangs on a lease: that is of processes, not of the cluster.

        :param limit: keys asked for at once.
        :raises Compacted: etcd forgot that revision meanwhile.
        :raises StoreError: it cannot be read.
        """
        self._check_open()
        first, end, as_of = self._entry(""), self._space.after(""), 0
        found: dict[str, Entry] = {}
        while True:
            try:
                answer = await self._asker.insist("kv/range", range_of(first, end, limit, revision=as_of))
            except Refused as e:
                raise (Compacted(str(e)) if e.code == OUT_OF_RANGE else e) from e
            as_of = as_of or revision_of(answer)
            part = pairs(answer)
            found.update(self._shown(pair) for pair in part if not pair.lease)
            if not answer.get("more"):
                return found
            first = part[-1].key + b"\0"

    # Writing.

    async def commit(self, change: Commit) -> int:
        """See `IStateStore.commit`."""
        self._check_open()
        answer: Deferred[int] = Deferred()
        making = self._committer.begin(change)
        done: Deferred[None] = Deferred()
        self._under_way.add(done)

        def tell(result: Any) -> None:
            if isinstance(result, int):
                self._revision = max(self._revision, result)
            self._under_way.discard(done)
            if not answer.called:  # whoever asked may have gone; the commit is made all the same
                answer.callback(result)
            done.callback(None)

        making.addBoth(tell)
        try:
            return await answer
        except Unanswered:
            self.doubtful()
            raise

    def watch(self, prefixes: Sequence[str], after: int) -> IWatch:
        """See `IStateStore.watch`."""
        return self._feed.watch(prefixes, after)

    # Leases.

    async def grant(self, ttl: int) -> int:
        """See `ILeases.grant`."""
        self._check_open()
        answer = await self._asker.insist("lease/grant", {"TTL": str(ttl)})
        if number(answer, "TTL") < ttl:
            raise StoreError(f"etcd grants {number(answer, 'TTL')} s where {ttl} were asked for")
        return number(answer, "ID")

    async def renew(self, lease: int, patience: float) -> None:
        """
        See `ILeases.renew`.

        Note [Deposed leaders].  Etcd's leader renews leases by itself, and one that was paused or cut off may
        do so in the belief that it still leads, while the others let the lease end.  (Releases before 3.4.25
        do not look.)  So a renewal counts only when the same member then answers a read that needs a
        majority, and was in the same term of etcd's at both times: then that term's leader had the others'
        consent after it renewed.
        """
        self._check_open()
        deadline = Deadline.after(self._clock, patience)
        member, ask = self._asker.gateway.member(), self._asker.gateway.call
        try:
            renewed = await ask("lease/keepalive", {"ID": str(lease)}, patience, member)
            if not number(renewed, "TTL"):
                raise LeaseGone(f"lease {lease:x} has ended")
            left = max(0.001, deadline.left)
            confirmed = await ask("kv/range", range_of(self._space.base), left, member)
        except Refused as e:
            raise (LeaseGone(str(e)) if e.code == NOT_FOUND else e) from e
        if _raft_term(renewed) != _raft_term(confirmed):
            raise StoreUnreachable("etcd's leader changed meanwhile")

    async def revoke(self, lease: int) -> None:
        """See `ILeases.revoke`."""
        self._check_open()
        try:
            await self._asker.insist("lease/revoke", {"ID": str(lease)})
        except Refused as e:
            if e.code != NOT_FOUND:
                raise

    # The end.

    async def close(self) -> None:
        """See `IStateStore.close`."""
        if self._closing is None:
            self._closing = Deferred.fromCoroutine(self._close())
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if self._closed:
            self._tell_closed()
        await waiting

    def _tell_closed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for closed in waiting:
            closed.callback(None)

    async def _close(self) -> None:
        await DeferredList(list(self._under_way))
        told = Deferred.fromCoroutine(self._feed.reached(self._revision))
        try:
            await within(told, LAST_WORDS, self._clock, lambda: StoreError("watchers are not told the last"))
        except StoreError:
            told.addErrback(lambda _: None)
        self._feed.close(StoreClosed("the store was closed"))
        await self._committer.close()
        await self._end()
        self._closed = True
        self._tell_closed()


def _raft_term(answer: Document) -> int:
    return number(answer["header"], "raft_term")


class _Base(msgspec.Struct, frozen=True):
    schema: int


async def open_etcd(
    gateway: IGateway,
    clock: IReactorTime,
    writer: str,
    prefix: str = "/twisted_rapi",
    patience: float = 5.0,
    history: int = 10_000,
    end: Callable[[], Deferred[Any]] = lambda: DeferredList([]),
) -> EtcdStore:
    """
    The store of the cluster below `prefix`, which is begun where there is none.

    :param writer: a name no other process ever uses, such as a random one.
    :param patience: seconds until a call that is not answered fails.
    :param history: how many changes are kept for watchers at most.
    :param end: called when the store is closed.
    :raises StoreUnreachable: etcd does not answer.
    :raises StoreTooNew: a newer version of this program keeps the cluster there.
    :raises StoreError: etcd refuses.
    """
    asker, space = Asker(gateway, clock, patience), Space.of(prefix)
    asked = transaction(
        [written_at(space.base, 0)],
        [put_of(space.base, msgspec.json.encode(_Base(SCHEMA)))],
        [{"request_range": range_of(space.base)}],
    )
    answer = await asker.insist("kv/txn", asked)
    revision = base = revision_of(answer)
    if not answer.get("succeeded"):
        [[pair]] = ranges(answer)
        base = pair.created
        schema = msgspec.json.decode(pair.value, type=_Base).schema
        if schema > SCHEMA:
            raise StoreTooNew(f"{prefix} in etcd has schema {schema}, this program knows {SCHEMA}")
    return EtcdStore(asker, space, writer, base, revision - base, history, end)
