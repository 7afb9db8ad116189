"""The highest term an agent has heard of, kept where a restart does not lose it."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock

from twisted_rapi.errors import StaleTerm, StepFailed

InThread = Callable[..., Awaitable[Any]]


class TermKeeper:
    """
    Admits only the highest term; made by `open_terms`.

    A newer term is on disk before anything is done for it.
    """

    def __init__(self, file: Path, highest: int, in_thread: InThread) -> None:
        self._file, self._in_thread = file, in_thread
        self._lock = DeferredLock()
        self.highest = highest

    async def admit(self, term: int) -> None:
        """
        Note the term.

        :raises StaleTerm: a higher one has been heard of.
        :raises StepFailed: it cannot be kept.
        """
        if term > self.highest:
            # The thread writes on when the caller goes away, so the lock is held on too: otherwise a newer
            # term's file could be overwritten by that of an older one.
            noted: Deferred[None] = Deferred()
            work = Deferred.fromCoroutine(self._note(term))
            work.addBoth(lambda result: None if noted.called else noted.callback(result))
            await noted
        if term < self.highest:
            raise StaleTerm(term, self.highest)

    async def _note(self, term: int) -> None:
        async with self._lock:
            if term > self.highest:
                try:
                    await self._in_thread(_write, self._file, term)
                except OSError as e:
                    raise StepFailed(f"the master's term cannot be kept: {e}") from e
                self.highest = term


def _write(file: Path, term: int) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("w", encoding="ascii") as out:
        out.write(f"{term}\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
    handle = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0


async def open_terms(file: Path, in_thread: InThread) -> TermKeeper:
    """
    What `file` remembers; a missing one remembers nothing.

    :raises ValueError: it holds something else.
    """
    return TermKeeper(file, await in_thread(_read, file), in_thread)
