"""
Failpoints, for crash tests: the process kills itself at a named place.

``RAPI_FAILPOINT=NAME:COUNT`` ends it with SIGKILL when it comes to the place NAME for the COUNT-th time, such
as ``before stage.changed:2`` of a job, or ``after volume.create:1`` of a step on an agent; ``*`` as NAME
counts all places of jobs or steps (the store's own have no dot).
"""

import os
import signal
from collections.abc import Callable, Mapping


def from_environment(environment: Mapping[str, str] = os.environ) -> Callable[[str], None]:
    """What to call at each place."""
    name, _, count = environment.get("RAPI_FAILPOINT", "").rpartition(":")
    if not name or not count.isdigit():
        return lambda _: None
    left = int(count)

    def reached(place: str) -> None:
        nonlocal left
        if name == place or (name == "*" and "." in place):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached
