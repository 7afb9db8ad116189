"""Threads for work that may hang, apart from those the rest of the agent needs."""

from functools import partial
from threading import Thread
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool


class Threads(Service):
    """
    A few threads with a purpose of their own.

    A file server that is away keeps them busy for ever, but nobody else; the process ends without them.

    :param name: shown as theirs.
    :param most: how many there are at most; further work waits.
    """

    def __init__(self, reactor: Any, name: str, most: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=most, name=name)
        # The interpreter waits for all others when it ends.
        self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """Let go of them; what hangs is not waited for."""
        super().stopService()
        Thread(target=self._pool.stop, daemon=True).start()

    def run(self, work: Any, *args: Any) -> Deferred[Any]:
        """What the work gives, once a thread has done it."""
        return deferToThreadPool(self._reactor, self._pool, work, *args)
