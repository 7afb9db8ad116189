"""
Slowing down who guesses passwords.

Note [Guessing].  Attempts of one user name from one network are judged one after the other, and later the
more of them failed; so sending many at once finds nothing out sooner.  Who waits knows nothing yet: the delay
comes before the judgement, for right and wrong passwords alike.  A success forgets the failures.
"""

from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_rapi.errors import ServiceUnavailable

LONGEST_DELAY = 5.0
FORGET = 600.0  # seconds after which failures do not count any more
MOST_WAITING = 100  # attempts of one user and network
MOST_KNOWN = 10_000  # users and networks with failures
AT_ONCE = 2  # hashes that are computed; each takes a processor and much memory
MOST_HASHES = 200  # that are computed or wait


@attrs.define(eq=False)
class _Attempts:
    """Those of one user and network."""

    failures: int = 0
    last: float = 0.0
    waiting: int = 0
    turn: DeferredLock = attrs.field(factory=DeferredLock)


class Throttle:
    """
    Judges attempts, see Note [Guessing].

    :param clock: what delays are taken from.
    :param most_known: so many users and networks are kept in mind at most.
    """

    def __init__(self, clock: IReactorTime, most_known: int = MOST_KNOWN) -> None:
        self._clock, self._most_known = clock, most_known
        self._known: dict[tuple[str, str], _Attempts] = {}

    def trusted(self, name: str, address: str) -> bool:
        """Whether there is no reason to let this user wait."""
        return (name, network(address)) not in self._known

    async def judge(self, name: str, address: str, right: Callable[[], Awaitable[bool]]) -> bool:
        """
        Whether an attempt is right, as `right` says when its turn has come.

        :raises ServiceUnavailable: too many wait already.
        """
        key = name, network(address)
        attempts = self._of(key)
        if attempts.waiting >= MOST_WAITING:
            raise ServiceUnavailable("Too many logins at once")
        attempts.waiting += 1
        try:
            async with attempts.turn:
                return await self._in_turn(attempts, right)
        finally:
            attempts.waiting -= 1
            if not attempts.failures and not attempts.waiting:
                self._known.pop(key, None)

    async def _in_turn(self, attempts: _Attempts, right: Callable[[], Awaitable[bool]]) -> bool:
        if self._clock.seconds() - attempts.last > FORGET:
            attempts.failures = 0
        if attempts.failures:
            await deferLater(self._clock, min(LONGEST_DELAY, 0.1 * 2 ** min(attempts.failures, 10)))
        # Counted first: who goes away before the judgement has failed, too.
        attempts.failures += 1
        attempts.last = self._clock.seconds()
        good = await right()
        if good:
            attempts.failures = 0
        return good

    def _of(self, key: tuple[str, str]) -> _Attempts:
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self._most_known:
                self._forget_oldest()
            found = self._known[key] = _Attempts()
        return found

    def _forget_oldest(self) -> None:
        idle = next((key for key, attempts in self._known.items() if not attempts.waiting), None)
        if idle is None:
            raise ServiceUnavailable("Too many logins at once")
        del self._known[idle]


def network(address: str) -> str:
    """What an address counts as: whoever has one of IPv6 has the other 2**64 of its network, too."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


class Few:
    """
    Work in threads, a few at once.

    Its place is taken until the thread has ended, also when the caller goes away before.
    """

    def __init__(self, in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._in_thread = in_thread
        self._places = DeferredSemaphore(AT_ONCE)

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """
        What `work` answers.

        :raises ServiceUnavailable: too much is waiting already.
        """
        if len(self._places.waiting) >= MOST_HASHES:
            raise ServiceUnavailable("Too many logins at once")
        answer: Deferred[Any] = Deferred()
        done = Deferred.fromCoroutine(self._in_place(work, *args))
        done.addBoth(lambda result: None if answer.called else answer.callback(result))
        return await answer

    async def _in_place(self, work: Callable[..., Any], *args: Any) -> Any:
        async with self._places:
            return await self._in_thread(work, *args)
