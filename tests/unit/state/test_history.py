"""Tests of `twisted_rapi.state.history`."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import Compacted
from twisted_rapi.state.history import History, Watch
from twisted_rapi.state.interface import Changes


def change(revision: int, size: int = 1) -> Changes:
    """A commit of one key."""
    return Changes(revision, {"k/a": b"x" * size})


class HistoryTests(SynchronousTestCase):
    """Watchers see every change once and in order, and old ones are let go."""

    def seen(self, watch: Watch) -> list[int]:
        """The revisions a watcher is told of now."""
        d: Deferred[Any] = Deferred.fromCoroutine(watch.next())
        return [c.revision for c in self.successResultOf(d)]

    def follow(self, watch: Watch, take: Any) -> None:
        """Call `take` with each revision as it comes."""

        async def follow() -> None:
            while True:
                for c in await watch.next():
                    take(c.revision)

        Deferred.fromCoroutine(follow()).addErrback(lambda _: None)
        self.addCleanup(watch.close)

    def test_nested(self) -> None:
        """A commit made by a watcher at once is seen by the others after the one that led to it."""
        history = History()
        self.follow(history.watch(["k/"], 0), lambda r: history.add(change(2)) if r == 1 else None)
        other = history.watch(["k/"], 0)
        history.add(change(1))
        self.assertEqual(self.seen(other), [1, 2])

    def test_begun_while_telling(self) -> None:
        """A watch begun by a watcher shows what is being told once only."""
        history = History()
        begun: list[Watch] = []

        def take(revision: int) -> None:
            if revision == 1:
                history.add(change(2))
                begun.append(history.watch(["k/"], 0))

        self.follow(history.watch(["k/"], 0), take)
        history.add(change(1))
        self.assertEqual(self.seen(begun[0]), [1, 2])

    def test_later(self) -> None:
        """Nothing up to the revision that was asked for is shown, also when it comes afterwards."""
        history = History()
        watch = history.watch(["k/"], 2)
        for revision in (1, 2, 3):
            history.add(change(revision))
        self.assertEqual(self.seen(watch), [3])

    def test_length(self) -> None:
        """As many changes are kept as were asked for, and no more."""
        history = History(length=3)
        for revision in range(1, 6):
            history.add(change(revision))
        self.assertEqual(self.seen(history.watch(["k/"], 2)), [3, 4, 5])
        self.failureResultOf(Deferred.fromCoroutine(history.watch(["k/"], 1).next()), Compacted)

    def test_size(self) -> None:
        """Large values are let go earlier."""
        history = History(size=100)
        for revision in range(1, 6):
            history.add(change(revision, 40))
        self.assertEqual(self.seen(history.watch(["k/"], 3)), [4, 5])
        self.failureResultOf(Deferred.fromCoroutine(history.watch(["k/"], 2).next()), Compacted)

    def test_larger_than_all(self) -> None:
        """One change larger than what may be kept is told, and not kept."""
        history = History(size=100)
        watch = history.watch(["k/"], 0)
        history.add(change(1, 1000))
        self.assertEqual(self.seen(watch), [1])
        self.failureResultOf(Deferred.fromCoroutine(history.watch(["k/"], 0).next()), Compacted)
