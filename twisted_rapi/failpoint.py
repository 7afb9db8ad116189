"""
Failpoints, for crash tests: the process kills itself at a named place.

``RAPI_FAILPOINT=NAME:COUNT`` ends it with SIGKILL when it comes to the place NAME for the COUNT-th time, such
as ``before stage.changed:2`` of a job, or ``after volume.create:1`` of a step on an agent; ``*`` as NAME
counts all places of jobs or steps (the store's own have no dot).  Names may be patterns, several with ``|``
between them.

``RAPI_FAILPOINT=@FILE`` plants while it runs: the file has such lines, of which the first one counts.  It is
taken out of the file before the process dies, and where that was is appended to ``FILE.died``, so one
file serves several processes and several lives of each.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path


def from_environment(environment: Mapping[str, str] = os.environ) -> Callable[[str], None]:
    """What to call at each place."""
    given = environment.get("RAPI_FAILPOINT", "")
    if given.startswith("@"):
        return _planted(Path(given[1:]))
    name, _, count = given.rpartition(":")
    if not name or not count.isdigit():
        return lambda _: None
    left = int(count)

    def reached(place: str) -> None:
        nonlocal left
        if _meant(name, place):
            left -= 1
            if left == 0:
                _die()

    return reached


def _meant(names: str, place: str) -> bool:
    return any(name == place or ("." in place and fnmatchcase(place, name)) for name in names.split("|"))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _planted(file: Path) -> Callable[[str], None]:
    times: Counter[str] = Counter()

    def reached(place: str) -> None:
        try:
            first, _, rest = file.read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            return
        name, _, count = first.rpartition(":")
        if not _meant(name, place):
            return
        times[first] += 1
        if times[first] >= int(count):
            _take_out(file, rest, place)

    return reached


def _take_out(file: Path, rest: str, place: str) -> None:
    """Die, unless another process comes first."""
    mine = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.rename(mine)
    except FileNotFoundError:
        return
    with file.with_name(f"{file.name}.died").open("a", encoding="utf-8") as f:
        f.write(f"{place}\n")
    if rest:
        mine.write_text(rest, encoding="utf-8")
        mine.rename(file)
    else:
        mine.unlink()
    _die()
