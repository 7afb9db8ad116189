"""A clock for the reactor that nobody sets, and that goes on while the process or the machine is stopped."""

import time
from typing import Any


def boot_time() -> float:
    """Seconds since the machine was started, those included in which it slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def use_boot_time(reactor: Any) -> None:
    """
    Have a reactor measure by `boot_time` instead of by the time of day; before anything is scheduled with it.

    The mastership depends on it: a clock that is set back must not make a term longer, and timers must not
    wait until the time of day is again what it was.
    """
    reactor.seconds = boot_time
