"""Candidates over one store in memory, each with a clock and a network of its own that fail as told."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from twisted_rapi.errors import StoreUnreachable, Unanswered
from twisted_rapi.ha.leadership import Leadership
from twisted_rapi.ha.leased import SEAT, LeasedCandidate
from twisted_rapi.ha.standing import StoredStanding
from twisted_rapi.state.interface import Changes, Commit, Entry, ILeases, IStateStore, IWatch, Page
from twisted_rapi.testing.memory_store import MemoryStore

PATIENCE = 0.5  # seconds until what is lost on the way is known to be


@implementer(IReactorTime)
class ProcessClock:
    """
    A process's view of time: it may go wrong a little, and nothing is called while the process is stopped.

    :param rate: seconds of this clock for one of the world's.
    """

    def __init__(self, world: Clock, rate: float = 1.0) -> None:
        self._world, self._rate = world, rate
        self._stopped: Deferred[None] | None = None

    def seconds(self) -> float:
        """The time, which goes on while the process is stopped."""
        return self._world.seconds() * self._rate

    def callLater(
        self,
        delay: float,
        callable: Callable[..., Any],  # noqa: A002 -- as the interface has it
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        """Call it then, or once the process goes on."""

        def run() -> None:
            if self._stopped is None:
                callable(*args, **kw)
            else:
                self._stopped.addCallback(lambda _: callable(*args, **kw))

        return self._world.callLater(delay / self._rate, run)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Those of all processes."""
        return self._world.getDelayedCalls()

    def stop(self) -> None:
        """As SIGSTOP."""
        if self._stopped is None:
            self._stopped = Deferred()

    def go_on(self) -> None:
        """As SIGCONT: what came meanwhile happens now."""
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)

    def awake(self) -> Deferred[None]:
        """When the process runs."""
        woken: Deferred[None] = Deferred()
        if self._stopped is None:
            return succeed(None)
        self._stopped.addCallback(lambda _: woken.callback(None) if not woken.called else None)
        return woken


@implementer(IStateStore, ILeases)
class Link:
    """
    A store as one process reaches it.

    :ivar mode: ``up``; ``cut``: nothing arrives; ``mute``: what is asked arrives, the answers do not.
    :ivar delay: seconds that an answer is under way.
    """

    def __init__(self, store: MemoryStore, clock: ProcessClock, world: Clock) -> None:
        self._store, self._clock, self._world = store, clock, world
        self.mode, self.delay = "up", 0.0

    @property
    def largest(self) -> int:
        """As the store's."""
        return self._store.largest

    @property
    def revision(self) -> int:
        """As the store's."""
        return self._store.revision

    async def _through(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        if self.mode == "cut":
            await deferLater(self._clock, PATIENCE)
            raise StoreUnreachable("cut off")
        mode, delay = self.mode, self.delay
        try:
            return await work()
        finally:
            if mode == "mute":
                await deferLater(self._clock, PATIENCE)
                raise Unanswered("no answer came")
            if delay:
                await deferLater(self._world, delay)
            await self._clock.awake()

    async def get(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """As the store's, when it comes through."""
        found: Mapping[str, Entry] = await self._through(lambda: self._store.get(keys))
        return found

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """As the store's, when it comes through."""
        page: Page = await self._through(lambda: self._store.list(prefix, after, limit))
        return page

    async def commit(self, change: Commit) -> int:
        """As the store's, when it comes through."""
        revision: int = await self._through(lambda: self._store.commit(change))
        return revision

    def watch(self, prefixes: Sequence[str], after: int) -> "LateWatch":
        """As the store's, later."""
        return LateWatch(self._store.watch(prefixes, after), self)

    async def arrive(self) -> None:
        """Wait until something can come through."""
        while self.mode != "up":
            await deferLater(self._clock, PATIENCE)
        await self._clock.awake()

    def age(self) -> float:
        """Nobody asks."""
        return 0.0

    async def grant(self, ttl: int) -> int:
        """As the store's, when it comes through."""
        lease: int = await self._through(lambda: self._store.grant(ttl))
        return lease

    async def renew(self, lease: int, patience: float) -> None:
        """As the store's, when it comes through."""
        await self._through(lambda: self._store.renew(lease, patience))

    async def revoke(self, lease: int) -> None:
        """As the store's, when it comes through."""
        await self._through(lambda: self._store.revoke(lease))

    async def close(self) -> None:
        """The store is others', too."""


@implementer(IWatch)
@attrs.frozen
class LateWatch:
    """A watch whose changes come when the process can be told."""

    _watch: IWatch
    _link: Link

    async def next(self) -> Sequence[Changes]:
        """As the store's, later."""
        changes: Sequence[Changes] = await cast(Awaitable[Any], self._watch.next())
        await self._link.arrive()
        return changes

    def close(self) -> None:
        """As the store's."""
        self._watch.close()


class Candidate:
    """
    One process that wants to be master.

    :param judged: whether its node's record has to allow that it is master.
    :ivar leadership: a real one.
    :ivar served: the terms it had.
    """

    def __init__(
        self, name: str, store: MemoryStore, world: Clock, rate: float = 1.0, judged: bool = False
    ) -> None:
        self.name, self.served = name, list[int]()
        self.clock = ProcessClock(world, rate)
        self.link = Link(store, self.clock, world)
        standing = StoredStanding(self.link, name, self.clock, SEAT) if judged else None
        self.election = LeasedCandidate(self.link, self.link, name, self.clock, standing=standing)
        self.leadership = Leadership(self.election, self._build, self.clock)

    def _build(self, term: int) -> Service:
        self.served.append(term)
        return Service()

    @property
    def term(self) -> int | None:
        """The term it would act for, were it to act now."""
        return self.leadership.term
