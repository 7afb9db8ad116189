"""Commands that wait for the network."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def complete(work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """
    What a coroutine that is made with the process's reactor answers or raises; once in a process.

    A reactor of its own would not do: TLS connections write with the process's.
    """
    from twisted.internet import reactor  # noqa: TID251 -- a command is a process of its own

    any_reactor: Any = reactor
    results: list[Any] = []

    def end(result: Any) -> None:
        results.append(result)
        any_reactor.stop()

    def begin() -> None:
        Deferred.fromCoroutine(work(any_reactor)).addBoth(end)

    any_reactor.callWhenRunning(begin)
    any_reactor.run(installSignalHandlers=False)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
