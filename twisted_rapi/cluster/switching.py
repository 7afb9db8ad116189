"""The planned switch: a master gives its term up for another candidate."""

from collections.abc import Awaitable, Callable

import attrs
from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_rapi.deadline import within
from twisted_rapi.errors import BadRequest, Conflict, RapiError
from twisted_rapi.jobs.executor import Executor
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.plan.succession import refusal, successor
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of

DRAIN = 0.4
"""Seconds that answers under way have to be given before the term ends all the same."""


class _Late(Exception):
    """Not all has been answered."""


@attrs.frozen(kw_only=True)
class Handing:
    """
    What a term is given up with.

    :ivar quiet: fires when no request is being answered.
    :ivar give_up: ends the term.
    """

    store: IStateStore
    snapshot: Snapshot
    table: JobTable
    executor: Executor
    term: int
    clock: IReactorTime
    now: Callable[[], float]
    quiet: Callable[[], Awaitable[None]]
    give_up: Callable[[], None]


class Switching(Service):
    """
    Follows the wish for another master (`SwitchRecord`), while it runs.

    The master answers what is under way, sends home who waits for a job, starts no more jobs, and gives its
    term up.  What a job has begun goes on under the next master.
    """

    _log = Logger()

    def __init__(self, handing: Handing) -> None:
        self._handing = handing
        self._unobserve: Callable[[], None] = lambda: None
        self._following: Deferred[None] = succeed(None)
        self._seen: SwitchRecord | None = None

    def startService(self) -> None:
        """Look for a wish; a tool may have left one before the term could hear it."""
        super().startService()
        self._unobserve = self._handing.snapshot.observe(lambda _: self._look())
        self._look()

    def stopService(self) -> None:
        """No longer look."""
        super().stopService()
        self._unobserve()
        self._unobserve = lambda: None
        self._following.cancel()

    async def wish(self, target: str, who: str) -> SwitchRecord:
        """
        Ask for the switch; it has not begun when this answers.

        :param target: uuid of the node that is to be master, "" for any other.
        :raises BadRequest: it cannot be.
        :raises StoreError: the wish could not be stored.
        """
        handing = self._handing
        why = self._refusal(target)
        if why:
            raise BadRequest(f"Can't switch the master: {why}")
        wish = SwitchRecord(term=handing.term, target=target, asked=handing.now(), who=who)
        change = commit_of([wish], revision_of=handing.snapshot.revision_of, term=handing.term)
        try:
            await handing.store.commit(change)
        except Conflict as e:
            raise BadRequest("Can't switch the master: that has just been asked for") from e
        return wish

    def _refusal(self, target: str) -> str:
        snapshot = self._handing.snapshot
        election = snapshot.election
        master = "" if election is None else election.node
        return refusal(target, snapshot.nodes, snapshot.candidates, master)

    def _look(self) -> None:
        wish = self._handing.snapshot.switch
        if wish is None or wish == self._seen or wish.term != self._handing.term or wish.refused:
            return
        if not self._following.called:
            return
        self._seen = wish
        self._following = Deferred.fromCoroutine(self._follow(wish))
        self._following.addErrback(lambda f: f.trap(CancelledError) and None)
        self._following.addErrback(lambda f: self._log.failure("the switch of the master met a bug", f))

    async def _follow(self, wish: SwitchRecord) -> None:
        handing, snapshot = self._handing, self._handing.snapshot
        why = self._refusal(wish.target)
        found = replace(wish, refused=why)
        if not why and not wish.target:
            election = snapshot.election
            master = "" if election is None else election.node
            found = replace(wish, target=successor(snapshot.nodes, snapshot.candidates, master))
        if found != wish:
            self._seen = found
            change = commit_of([found], revision_of=snapshot.revision_of, term=handing.term)
            try:
                await handing.store.commit(change)
            except RapiError as e:
                self._log.warn("a wish for another master is not followed: {reason}", reason=str(e))
                return
        if why:
            self._log.info("no other master, as {who} wishes: {why}", who=wish.who, why=why)
            return
        await self._hand_over(found)

    async def _hand_over(self, wish: SwitchRecord) -> None:
        handing = self._handing
        node = handing.snapshot.nodes.get(wish.target)
        self._log.info(
            "{who} wishes that {node} be master: term {term} is given up",
            who=wish.who,
            node=wish.target if node is None else node.name,
            term=wish.term,
        )
        handing.executor.drain()
        handing.table.send_home()
        try:
            await within(Deferred.fromCoroutine(_wait(handing.quiet)), DRAIN, handing.clock, _Late)
        except _Late:
            self._log.info("not all requests were answered before term {term} ended", term=wish.term)
        # Not from here: what ends then waits for this to end.
        handing.clock.callLater(0, handing.give_up)


async def _wait(quiet: Callable[[], Awaitable[None]]) -> None:
    await quiet()
