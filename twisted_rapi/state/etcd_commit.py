"""
Commits to etcd, each made once or not at all.

Note [Marks].  A transaction whose answer does not come may have been made, may not have been, or may lie in
the queue of a member that hangs and be made an hour from now.  So every transaction also writes a *mark*, a
key of this writer's own, and demands that the mark is still as the transaction before left it.  To learn what
became of one, the writer tries to put another value in the mark's place under the same demand.  Either that
succeeds: then the transaction was not made and, its demand being false now, never will be.  Or it fails and
shows the transaction's own mark: it was made, at that mark's revision.

The mark hangs on a lease, so that of a writer that is gone vanishes.  A transaction names that lease: once
the mark is gone it is refused, too.

Note [Doubt].  When nobody answers that question either, the caller is told `Unanswered`.  The question goes
on being asked, and no commit is sent before it has been answered: a late one can overwrite nothing newer.

Note [One at a time].  One transaction is under way at a time; all that is asked for meanwhile goes into the
next one (`twisted_rapi.state.etcd_pending`).  So commits are made in the order they are asked for, as by the
other stores, and a majority's disks are waited for once for many.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.errors import (
    CommitTooLarge,
    Conflict,
    LeaseGone,
    StaleTerm,
    StoreError,
    StoreUnreachable,
    Unanswered,
)
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.state.etcd_asking import PAUSE, Asker, Deadline
from twisted_rapi.state.etcd_gateway import NOT_FOUND, Refused
from twisted_rapi.state.etcd_pending import Pending, Waiting, waiting_for
from twisted_rapi.state.etcd_wire import (
    Pair,
    Space,
    mark_value,
    number,
    put_of,
    range_of,
    ranges,
    revision_of,
    transaction,
    written_at,
)
from twisted_rapi.state.interface import Commit

MARKS_TTL = 3600  # seconds
_ELECTION = ElectionRecord.KIND
_TOO_LARGE = ("too many operations", "request is too large", "larger than max")


@attrs.frozen
class _Sent:
    """
    A transaction as it was sent.

    :ivar mark: what it leaves as its mark; `lease`: what the mark hangs on.
    """

    mark: bytes
    lease: int


class MarksLease:
    """The lease the marks hang on; a new one is taken when half of its time is over."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._lease, self._granted = 0, 0.0
        self._lock: DeferredLock = DeferredLock()

    async def current(self) -> int:
        """
        The lease.

        :raises StoreError: there is none to be had.
        """
        await self._lock.acquire()
        try:
            now = self._asker.clock.seconds()
            if not self._lease or now - self._granted > MARKS_TTL / 2:
                answer = await self._asker.insist("lease/grant", {"TTL": str(MARKS_TTL)})
                self._lease, self._granted = number(answer, "ID"), now
            return self._lease
        finally:
            self._lock.release()

    def forget(self, lease: int) -> None:
        """It is over."""
        if self._lease == lease:
            self._lease = 0

    async def end(self) -> None:
        """Remove the marks, if that can be done quickly."""
        lease, self._lease = self._lease, 0
        if lease:
            try:
                await self._asker.insist("lease/revoke", {"ID": str(lease)}, 1.0)
            except StoreError:
                return  # they vanish by themselves


class Committer:
    """
    Makes the commits of one `EtcdStore`.

    :param writer: differs from that of every other.
    :param base: etcd's revision that is our 0.
    """

    _log = Logger()

    def __init__(self, asker: Asker, space: Space, writer: str, base: int) -> None:
        self._asker, self._space, self._writer, self._base = asker, space, writer, base
        self._clock: IReactorTime = asker.clock
        self._pending = Pending()
        self._running: Deferred[None] | None = None
        self._count = 0
        self._marked = 0  # etcd's revision of the mark; 0: there is none
        self._lease = MarksLease(asker)
        self._election: tuple[int, int] = (0, 0)  # etcd's revision of the record, and its term

    def begin(self, change: Commit) -> Deferred[int]:
        """
        Make a commit, in its turn; see `twisted_rapi.state.interface.IStateStore.commit`.

        Answers our revision.
        """
        deadline = Deadline.after(self._clock, self._asker.patience)
        try:
            waiting = waiting_for(change, self._space, deadline)
        except StoreError:
            return fail()
        self._pending.add(waiting)
        if self._running is None:
            running = self._running = Deferred.fromCoroutine(self._run())
            running.addErrback(lambda f: f.trap(CancelledError) and None)
        return waiting.answer

    async def close(self) -> None:
        """Stop asking what became of an old commit; the mark is removed."""
        if self._running is not None:
            self._running.cancel()
        await self._lease.end()

    async def _run(self) -> None:
        """Send what waits until nothing does."""
        # Those asked for together are sent together.
        await deferLater(self._clock, 0)
        self._pending.expire(self._clock.seconds())
        while group := self._pending.take():
            await self._make(group)
            self._pending.expire(self._clock.seconds())
        self._running = None

    async def _make(self, left: list[Waiting]) -> None:
        error: Exception | None = None
        doubt: _Sent | None = None
        try:
            await self._commit(left, left[0].deadline)
        except _Doubtful as e:
            doubt = None if e.lost else e.sent
            error = Unanswered(f"whether a commit was made is not known: {e}")
        except Exception as e:  # noqa: BLE001 -- whatever it is, those who wait are told
            error = e
        for waiting in left:
            waiting.tell(Failure(error))
        if doubt is not None:
            await self._resolve(doubt)

    async def _commit(self, left: list[Waiting], deadline: Deadline) -> None:
        """Make these commits; each leaves the list when it is known what becomes of it."""
        refused = 0
        self._drop_stale(left)
        while left:
            sent = await self._new_mark(left)
            body = self._transaction(left, sent)
            made = 0
            try:
                answer = await self._asker.gateway.call("kv/txn", body, deadline.try_for())
                made = self._judge(left, sent, answer)
            except Unanswered as e:
                made = await self._settle(sent, deadline, e)
                if not made:
                    await self._pause(deadline, e)
            except StoreUnreachable as e:
                await self._pause(deadline, e)
            except Refused as e:
                refused += 1
                await self._refused(e, left, sent, refused)
            if made:
                self._made(left, made)
            elif deadline.left <= 0:
                raise StoreUnreachable("a commit was not made in time: what it depends on kept changing")

    async def _pause(self, deadline: Deadline, error: StoreError) -> None:
        if deadline.left <= PAUSE:
            raise StoreUnreachable(
                f"a commit was not made within {deadline.patience:g} s: {error}"
            ) from error
        await deferLater(self._clock, PAUSE)

    def _drop_stale(self, left: list[Waiting]) -> None:
        """Refuse those whose term is over."""
        _, newest = self._election
        for waiting in tuple(left):
            term = waiting.change.term
            if term is not None and newest > term:
                left.remove(waiting)
                waiting.tell(Failure(StaleTerm(term, newest)))

    async def _new_mark(self, left: list[Waiting]) -> _Sent:
        self._count += 1
        removed = {key for waiting in left for key in waiting.change.deletes}
        written = {key for waiting in left for key in waiting.change.puts}
        mark = mark_value(self._writer, self._count, sorted(removed - written))
        return _Sent(mark, await self._lease.current())

    def _transaction(self, left: list[Waiting], sent: _Sent) -> dict[str, Any]:
        space = self._space
        expected = {key: revision for waiting in left for key, revision in waiting.expect.items()}
        operations = {key: done for waiting in left for key, done in waiting.operations.items()}
        mark, election = space.mark(self._writer), space.entry(_ELECTION)
        compare = [written_at(space.entry(k), r + self._base if r else 0) for k, r in expected.items()]
        compare.append(written_at(mark, self._marked))
        if any(waiting.change.term is not None for waiting in left):
            compare.append(written_at(election, self._election[0]))
        looks = [range_of(space.entry(key), keys_only=True) for key in expected]
        return transaction(
            compare,
            [put_of(mark, sent.mark, sent.lease), *operations.values()],
            [{"request_range": look} for look in (range_of(mark), range_of(election), *looks)],
        )

    async def _refused(self, error: Refused, left: list[Waiting], sent: _Sent, times: int) -> None:
        """Raise what it means, unless it may be tried again."""
        if error.code == NOT_FOUND:
            # One of the leases is gone: if it was not that of the marks it is one that the commit names.
            self._lease.forget(sent.lease)
            if times > 1:
                raise LeaseGone("a lease that the commit names has ended") from error
        elif any(text in str(error) for text in _TOO_LARGE):
            sizes = f"{len(left[0].operations)} keys and expects {len(left[0].expect)}"
            raise CommitTooLarge(
                f"{error}: the commit writes {sizes};"
                " raise --max-txn-ops and --max-request-bytes of every member"
            ) from error
        else:
            raise error

    def _judge(self, left: list[Waiting], sent: _Sent, answer: Mapping[str, Any]) -> int:
        """The revision they were made at; 0: what is left may be tried again with what is known now."""
        if answer.get("succeeded"):
            self._marked = revision_of(answer)
            return self._marked
        marks, elections, *found = ranges(answer)
        self._marked = marks[0].revision if marks else 0
        self._learn(elections)
        self._drop_stale(left)
        revisions = {pair.key: pair.revision - self._base for look in found for pair in look}
        for waiting in tuple(left):
            stale = [k for k, r in waiting.expect.items() if revisions.get(self._space.entry(k), 0) != r]
            if stale:
                left.remove(waiting)
                waiting.tell(Failure(Conflict(sorted(stale))))
        return 0

    def _learn(self, elections: list[Pair]) -> None:
        if elections:
            [pair] = elections
            self._election = max(self._election, (pair.revision, _term(pair.value)))
        else:
            self._election = (0, 0)

    def _made(self, left: list[Waiting], revision: int) -> None:
        made = tuple(left)
        left.clear()
        for waiting in made:
            if _ELECTION in waiting.change.puts:
                term = _term(waiting.change.puts[_ELECTION])
                self._election = max(self._election, (revision, term))
        for waiting in made:
            waiting.tell(revision - self._base)

    # Doubts.

    async def _settle(self, sent: _Sent, deadline: Deadline, error: Exception) -> int:
        """Make sure that a commit was made, and at which revision, or (0) never will be."""
        while True:
            if deadline.left <= PAUSE:
                raise _Doubtful(sent, str(error))
            try:
                answer = await self._asker.gateway.call("kv/txn", self._question(sent), deadline.try_for())
                return self._settled(sent, answer)
            except (StoreUnreachable, Unanswered) as e:
                error = e
            except Refused as e:
                raise _Doubtful(sent, str(e), e.code == NOT_FOUND) from e
            await deferLater(self._clock, PAUSE)

    def _question(self, sent: _Sent) -> dict[str, Any]:
        key = self._space.mark(self._writer)
        return transaction(
            [written_at(key, self._marked)],
            [put_of(key, _void(sent), sent.lease)],
            [{"request_range": range_of(key)}],
        )

    def _settled(self, sent: _Sent, answer: Mapping[str, Any]) -> int:
        if answer.get("succeeded"):
            self._marked = revision_of(answer)
            return 0
        [[*marks]] = ranges(answer)
        if not marks or marks[0].value not in (sent.mark, _void(sent)):
            raise _Doubtful(sent, "its mark is gone", True)
        self._marked = marks[0].revision
        return marks[0].revision if marks[0].value == sent.mark else 0

    async def _resolve(self, sent: _Sent) -> None:
        """Go on asking what became of a transaction until that is known."""
        while True:
            deadline = Deadline.after(self._clock, self._asker.patience)
            try:
                made = await self._settle(sent, deadline, Exception("nobody answered"))
                self._log.info("a commit in doubt was {outcome}", outcome="made" if made else "not made")
                return
            except _Doubtful as e:
                self._log.warn("it is still not known what became of a commit: {reason}", reason=str(e))
                if e.lost:
                    return
            self._pending.expire(self._clock.seconds())
            await deferLater(self._clock, PAUSE)


class _Doubtful(Exception):
    """
    It is not known what became of a commit.

    :ivar lost: it will not become known either.
    """

    def __init__(self, sent: _Sent, why: str, lost: bool = False) -> None:
        super().__init__(why)
        self.sent, self.lost = sent, lost


def _void(sent: _Sent) -> bytes:
    """What takes the place of a mark that must not come any more."""
    return b'{"id":"void","removed":[],"of":' + sent.mark + b"}"


def _term(value: bytes) -> int:
    record = decode(_ELECTION, value)
    assert isinstance(record, ElectionRecord)
    return record.term
