"""
A connection to libvirt that comes back.

Note [Threads].  libvirt's calls block, so they run in a small pool of threads of their own, each with a
deadline; its events come from a loop of its own in one more thread and are handed to the reactor.
"""

from collections.abc import Callable
from threading import Thread
from typing import Any, Protocol

import libvirt
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from twisted_rapi.errors import StepFailed

CALL = 20.0  # seconds a call to libvirt may take
RETRY = 2.0  # seconds between attempts to connect

Opened = tuple[Any, int]  # a connection and the id of its callback for events


class LinkUser(Protocol):
    """Who is told what comes over the link; all on the reactor's thread."""

    def happened(self, name: str, uuid: str, event: int) -> None:
        """A domain has this lifecycle event."""

    def lost(self) -> None:
        """The connection is lost; another is being made."""

    async def found_again(self) -> None:
        """
        There is a connection again; what happened meanwhile was not told.

        :raises StepFailed: it does not work either; it is closed, and another one made.
        """


class _EventLoop:
    """libvirt's own event loop; registered once in a process, as libvirt wants it."""

    thread: Thread | None = None

    @classmethod
    def ensure(cls) -> None:
        """Have it run."""
        if cls.thread is None:
            libvirt.virEventRegisterDefaultImpl()
            libvirt.registerErrorHandler(lambda *_: None, None)
            cls.thread = Thread(target=cls._run, name="libvirt events", daemon=True)
            cls.thread.start()

    @staticmethod
    def _run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()


class Link:
    """
    The connection to one libvirt, made again whenever it is lost.

    :param pool: threads for the calls.
    :param connect: how a connection is made, in a thread: `libvirt.open`.
    """

    _log = Logger()

    def __init__(
        self,
        uri: str,
        reactor: Any,
        user: LinkUser,
        pool: ThreadPool | None = None,
        connect: Callable[[str], Any] = libvirt.open,
    ) -> None:
        self._uri, self._reactor, self._user, self._connect_to = uri, reactor, user, connect
        self._pool = pool or ThreadPool(minthreads=0, maxthreads=6, name="libvirt")
        self._opened: Opened | None = None
        self._retry: IDelayedCall | None = None
        self._running = False
        self._answers: set[Deferred[Any]] = set()  # that are awaited

    async def open(self) -> None:
        """Connect; a libvirt that does not answer is tried again in the background."""
        _EventLoop.ensure()
        self._running = True
        self._pool.start()
        await self._connect()

    async def close(self) -> None:
        """Disconnect, for good."""
        self._running = False
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        opened, self._opened = self._opened, None
        if opened is not None:
            await self.in_thread(_disconnect, opened)
        for answer in tuple(self._answers):
            if not answer.called:
                answer.errback(StepFailed("the connection to libvirt is closed", "hypervisor"))
        # Stopping joins threads, and one of them may be hanging in a call: not on the reactor's.
        Thread(target=self._pool.stop, daemon=True).start()

    async def _connect(self) -> None:
        try:
            opened: Opened = await self.in_thread(self._open, late=self._discard)
        except StepFailed as e:
            self._log.error("libvirt at {uri}: {reason}", uri=self._uri, reason=e.text)
            self._connect_later()
            return
        if not self._running:
            self._discard(opened)
            return
        self._opened = opened
        self._log.info("connected to libvirt at {uri}", uri=self._uri)

    def _connect_later(self) -> None:
        if self._running and (self._retry is None or not self._retry.active()):
            self._retry = self._reactor.callLater(RETRY, self._connect_again)

    def _connect_again(self) -> None:
        Deferred.fromCoroutine(self._reconnect()).addErrback(
            lambda f: self._log.failure("connecting to libvirt met a bug", f)
        )

    async def _reconnect(self) -> None:
        await self._connect()
        opened = self._opened
        if opened is None:
            return
        try:
            await self._user.found_again()
        except StepFailed as e:
            self._log.warn("libvirt at {uri}: {reason}", uri=self._uri, reason=e.text)
            if self._opened is opened:
                self._opened = None
                self._discard(opened)
            self._connect_later()

    def _open(self) -> Opened:
        connection = self._connect_to(self._uri)
        connection.registerCloseCallback(self._closed_in_thread, None)
        if not self._uri.startswith("test:"):
            connection.setKeepAlive(5, 3)
        event = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        return connection, connection.domainEventRegisterAny(None, event, self._event_in_thread, None)

    def _discard(self, opened: Opened) -> None:
        """Close a connection that nobody waits for any more."""
        d = deferToThreadPool(self._reactor, self._pool, _disconnect, opened)
        d.addErrback(lambda f: self._log.failure("a connection to libvirt could not be closed", f))

    def _closed_in_thread(self, connection: Any, reason: int, opaque: object) -> None:
        self._reactor.callFromThread(self._closed, connection)

    def _closed(self, connection: Any) -> None:
        if self._opened is not None and self._opened[0] is connection:
            self._log.error("the connection to libvirt is lost")
            self._opened = None
            self._user.lost()
            self._connect_later()

    def _event_in_thread(self, connection: Any, domain: Any, event: int, detail: int, opaque: object) -> None:
        self._reactor.callFromThread(self._user.happened, domain.name(), domain.UUIDString(), event)

    async def in_thread(
        self,
        work: Callable[..., Any],
        *args: Any,
        patience: float = CALL,
        late: Callable[[Any], None] | None = None,
    ) -> Any:
        """
        What `work` gives, in one of libvirt's threads.

        :param late: gets the result when it comes after `patience` seconds; else it is dropped.
        :raises StepFailed: libvirt's error, or no answer within `patience` seconds.
        """
        answer: Deferred[Any] = Deferred()

        def ended(result: Any) -> None:
            if not answer.called:
                answer.callback(result)
            elif late is not None and not isinstance(result, Failure):
                late(result)

        def too_late() -> None:
            answer.errback(StepFailed(f"libvirt did not answer within {patience:g} s", "hypervisor"))

        deferToThreadPool(self._reactor, self._pool, work, *args).addBoth(ended)
        timer = self._reactor.callLater(patience, too_late)
        self._answers.add(answer)
        try:
            return await answer
        except libvirt.libvirtError as e:
            raise StepFailed(str(e), "hypervisor") from e
        finally:
            self._answers.discard(answer)
            if timer.active():
                timer.cancel()

    async def call(self, work: Callable[..., Any], *args: Any, patience: float = CALL) -> Any:
        """
        What `work`, given the connection and `args`, gives; in a thread.

        :raises StepFailed: there is no connection, and as `in_thread`.
        """
        if self._opened is None:
            raise StepFailed("there is no connection to libvirt", "hypervisor")
        return await self.in_thread(work, self._opened[0], *args, patience=patience)


def _disconnect(opened: Opened) -> None:
    connection, callback = opened
    try:
        connection.unregisterCloseCallback()
        connection.domainEventDeregisterAny(callback)
        connection.close()
    except libvirt.libvirtError:
        return  # it was lost already
