"""What happened when in a failover, by what a lab has recorded."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from twisted_rapi.testing.lab.history import AnyEvent, Asked, Committed, Held

Times = dict[str, float]
LONGEST = 60.0  # seconds that a failover may take


def _gone(event: AnyEvent) -> bool:
    return isinstance(event, Held) and not event.nodes


def _free(event: AnyEvent) -> bool:
    return isinstance(event, Committed) and "seat" in event.kinds and event.term is None


def _begun(event: AnyEvent) -> bool:
    return isinstance(event, Committed) and event.term is not None


def _answered(event: AnyEvent) -> bool:
    return isinstance(event, Asked) and event.outcome == "answered"


MOMENTS: dict[str, Callable[[AnyEvent], bool]] = {
    "the address is gone": _gone,
    "nobody is master": _free,
    "the next term has begun": _begun,
    "the address is there again": lambda event: isinstance(event, Held) and bool(event.nodes),
    "a client is answered": _answered,
}
"""By what each is known; the last two count once the next term has begun."""

_AFTER_TERM = ("the address is there again", "a client is answered")


def _time(event: Any) -> float:
    when: float = event.until if isinstance(event, Asked) else event.at
    return when


def in_order(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Those that are of a moment, as they came."""
    return sorted((event for event in events if hasattr(event, "at")), key=_time)


def timeline(ordered: Sequence[AnyEvent], begun: float) -> Times:
    """
    Seconds until each moment of the failover that began then, by events that are `in_order`.

    A planned switch begins with the wish in the store: before that a tool is started.
    """
    first, last = (bisect_left(ordered, at, key=_time) for at in (begun, begun + LONGEST))
    later = ordered[first:last]
    wish = next((e for e in later if isinstance(e, Committed) and "switch" in e.kinds), None)
    term = next((_time(e) for e in later if _begun(e)), None)
    zero = _time(wish) if wish is not None and (term is None or _time(wish) < term) else begun
    found: Times = {}
    for name, known in MOMENTS.items():
        earliest = zero if name not in _AFTER_TERM else zero if term is None else term
        when = next((_time(e) for e in later if _time(e) >= earliest and known(e)), None)
        if when is not None:
            found[name] = when - zero
    return found


def typical(times: Sequence[Times]) -> Times:
    """The median of each moment, of those failovers that have it; by time."""
    names = {name for each in times for name in each}
    found = {name: median(each[name] for each in times if name in each) for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1]))
