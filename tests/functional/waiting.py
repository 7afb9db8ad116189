"""Waiting for what happens outside of the test's process."""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

CLOCK: Any = reactor


async def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """
    Wait until something holds.

    :raises AssertionError: it has not come to that in time.
    """
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        await deferLater(CLOCK, 0.05)
    raise AssertionError(f"it did not come to that within {seconds:g} s")
