"""The highest term an agent has heard of, kept where a restart does not lose it."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredLock

from twisted_rapi.errors import StaleTerm

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
        """
        if term == self.highest:
            return
        async with self._lock:
            if term > self.highest:
                await self._in_thread(_write, self._file, term)
                self.highest = term
        if term < self.highest:
            raise StaleTerm(term, self.highest)


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
