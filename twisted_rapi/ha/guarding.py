"""Having a guard (`twisted_rapi.ha.guard`) while the daemon runs."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.deadline import within

SHORTEST, LONGEST = 0.5, 30.0  # seconds until a guard that has ended is replaced
LAST = 2.0  # seconds that its end is waited for
_MODULE = "twisted_rapi.ha.guard"


class _Slow(Exception):
    """It has not ended."""


class Guarded:
    """
    Starts a guard, starts it again when it ends, and tells it which lease the daemon has.

    :param reactor: with processes and time.
    :param settings: what the guard is started with: ``endpoints``, ``authority``, ``certificate``, ``key``
        of etcd, and ``address``, the floating one or "".
    """

    _log = Logger()

    def __init__(self, reactor: Any, settings: Mapping[str, Any]) -> None:
        self._reactor, self._settings = reactor, settings
        self._lease = 0
        self._transport: Any = None
        self._again: IDelayedCall | None = None
        self._pause = SHORTEST
        self._begun = 0.0
        self._over = False
        self._ended: Deferred[None] = succeed(None)

    def start(self) -> None:
        """Have one from now on."""
        self._again = None
        self._begun, self._ended = self._reactor.seconds(), Deferred()
        command = [sys.executable, "-P", "-m", _MODULE, json.dumps(dict(self._settings))]
        # Its standard input is a pipe that only this process writes to, and that no child of it has.
        self._reactor.spawnProcess(
            _Guard(self), command[0], command, env=os.environ, childFDs={0: "w", 1: 2, 2: 2}
        )

    def told(self, lease: int) -> None:
        """The daemon has this lease from now on, or none (0)."""
        self._lease = lease
        self._tell({"lease": lease})

    async def stop(self) -> None:
        """The daemon ends, and has given everything up; wait until the guard has ended, but not for long."""
        self._over = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._tell({"released": True})
        if self._transport is not None:
            self._transport.closeStdin()
        with suppress(_Slow):
            await within(self._ended, LAST, self._reactor, _Slow)

    def _tell(self, what: Mapping[str, Any]) -> None:
        if self._transport is not None:
            self._transport.writeToChild(0, json.dumps(what).encode() + b"\n")

    # Of the process.

    def began(self, transport: Any) -> None:
        """It can be told."""
        self._transport = transport
        self._tell({"lease": self._lease})

    def ended(self, why: str) -> None:
        """It cannot be told any more."""
        self._transport = None
        self._ended.callback(None)
        if self._over:
            return
        lasted = self._reactor.seconds() - self._begun
        self._pause = SHORTEST if lasted > LONGEST else min(self._pause * 2, LONGEST)
        self._log.warn("the guard of this daemon has ended, and is started again: {why}", why=why)
        self._again = self._reactor.callLater(self._pause, self.start)


class _Guard(ProcessProtocol):
    """The process."""

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded

    def connectionMade(self) -> None:
        """It was started."""
        self._guarded.began(self.transport)

    def processEnded(self, reason: Failure) -> None:
        """It has ended."""
        self._guarded.ended(reason.getErrorMessage())
