"""Mirrored disks that are being filled: what is told of it, and when it is over (texts as observed)."""

from collections.abc import Mapping
from typing import Any

import attrs

from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.stage import Progress


@attrs.frozen(kw_only=True)
class Synced:
    """
    How the disks of an instance are.

    :ivar filling: whether any is being filled; `degraded`: whether any is not whole.
    :ivar log: what is told of it.
    """

    filling: bool
    degraded: bool
    log: tuple[str, ...] = ()


def begun(instance: InstanceRecord) -> tuple[str, ...]:
    """What is told when the wait begins; nothing without disks."""
    return (f" - INFO: Waiting for instance {instance.name} to sync disks",) if instance.disks else ()


def ended(instance: InstanceRecord) -> tuple[str, ...]:
    """What is told when all is well."""
    return (f" - INFO: Instance {instance.name}'s disks are in sync",) if instance.disks else ()


def judged(instance: InstanceRecord, progress: Progress) -> Synced:
    """How the disks are by the outcome of the last wait; a wait whose outcome is lost has to be repeated."""
    outcome = progress.outcomes[-1] if progress.outcomes else None
    if outcome is None:
        return Synced(filling=True, degraded=True)
    states = list(outcome.disks)
    log = [_told(n, state) for n, state in enumerate(states) if state is not None and "percent" in state]
    degraded = any(state is None or state.get("degraded", False) for state in states)
    if not degraded:
        log += ended(instance)
    return Synced(
        filling=any(s is not None and "percent" in s for s in states), degraded=degraded, log=tuple(log)
    )


def _told(index: int, state: Mapping[str, Any]) -> str:
    left = _span(int(state.get("estimate", 0)))
    return f" - INFO: - device disk/{index}: {state['percent']:5.2f}% done, {left} remaining (estimated)"


def _span(seconds: int) -> str:
    """Seconds as people say them."""
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join([*parts, f"{seconds}s"])
