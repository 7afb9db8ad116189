"""An end to waiting that does not depend on whom one waits for."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError
from twisted.internet.interfaces import IReactorTime


def within(
    work: Deferred[Any], seconds: float, clock: IReactorTime, late: Callable[[], Exception]
) -> Deferred[Any]:
    """
    What `work` answers, or the error `late` makes after so many seconds; `work` is cancelled then.

    What is cancelled inside of a connection ends with errors of many kinds, some of them later: neither a
    deadline nor a caller that goes away depends on them.
    """

    def give_up(answer: Deferred[Any]) -> None:
        answer.errback(CancelledError())
        work.cancel()

    def too_late() -> None:
        if not answer.called:  # a process that was stopped may find both at once when it goes on
            answer.errback(late())
            work.cancel()

    def pass_on(result: Any) -> None:
        if not answer.called:
            answer.callback(result)

    def stop_timer(result: Any) -> Any:
        if timer.active():
            timer.cancel()
        return result

    answer: Deferred[Any] = Deferred(give_up)
    timer = clock.callLater(seconds, too_late)
    answer.addBoth(stop_timer)
    work.addBoth(pass_on)
    return answer


async def first_of(*works: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
    """
    Which of these ended first, and its answer; the others are cancelled.

    When the first one to end fails, or who waits is cancelled, that is raised.
    """
    begun = [Deferred.fromCoroutine(work) for work in works]
    both: Deferred[Any] = DeferredList(
        begun, fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True
    )
    try:
        answer, index = await both
    except FirstError as e:
        raise (e.subFailure.value or e) from e
    finally:
        for one in begun:
            one.cancel()
    return index, answer
