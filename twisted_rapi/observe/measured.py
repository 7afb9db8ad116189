"""A store and an agent that are timed on their way."""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twisted_rapi.errors import RapiError
from twisted_rapi.model.seen import Sighting
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.observe.metrics import Metrics
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.state.interface import Commit, Entry, IStateStore, IWatch, Page


@implementer(IStateStore)
class MeasuredStore:
    """The store it is given, with its commits counted and timed."""

    def __init__(self, store: IStateStore, metrics: Metrics, clock: IReactorTime) -> None:
        self._store, self._metrics, self._clock = store, metrics, clock

    @property
    def largest(self) -> int:
        """As the store's."""
        return int(self._store.largest)

    @property
    def revision(self) -> int:
        """As the store's."""
        return int(self._store.revision)

    async def get(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """As the store's."""
        return await self._store.get(keys)

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """As the store's."""
        return await self._store.list(prefix, after, limit)

    async def commit(self, change: Commit) -> int:
        """As the store's, timed."""
        begun = self._clock.seconds()
        outcome = "failed"
        try:
            revision = await self._store.commit(change)
            outcome = "done"
            return revision
        except RapiError as e:
            outcome = type(e).__name__
            raise
        finally:
            self._metrics.commit(outcome, self._clock.seconds() - begun)

    def watch(self, prefixes: Sequence[str], after: int) -> IWatch:
        """As the store's."""
        return self._store.watch(prefixes, after)

    def age(self) -> float:
        """As the store's."""
        return float(self._store.age())

    async def close(self) -> None:
        """As the store's."""
        await self._store.close()


@implementer(INodeAgent)
class MeasuredAgent:
    """The agent it is given, with its steps counted and timed."""

    def __init__(self, agent: INodeAgent, metrics: Metrics, clock: IReactorTime) -> None:
        self._agent, self._metrics, self._clock = agent, metrics, clock

    async def perform(self, step: Step, term: int) -> Outcome:
        """As the agent's, timed."""
        begun = self._clock.seconds()
        outcome = "failed"
        try:
            answer = await self._agent.perform(step, term)
            outcome = "done"
            return answer
        except RapiError as e:
            outcome = type(e).__name__
            raise
        finally:
            name = str(step.__struct_config__.tag)
            self._metrics.rpc(name, outcome, self._clock.seconds() - begun)

    async def watch(self, term: int, seen: Callable[[Sighting], None]) -> None:
        """As the agent's."""
        await self._agent.watch(term, seen)
