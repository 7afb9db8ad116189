"""Faults in PVC's terms."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from twisted_rapi.model.fault import Fault

_TIMES = ("last_reported", "first_reported", "acknowledged_at")
KEYS = (*_TIMES, "status", "health_delta", "message")
"""What faults can be ordered by, the usual one first."""


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def told(fault: Fault, now: float) -> dict[str, Any]:
    """A fault as clients know it; one that lasts is as if it had been reported just now."""
    return {
        "id": fault.id,
        "last_reported": _when(fault.last if fault.over else now),
        "first_reported": _when(fault.first),
        "acknowledged_at": _when(fault.acknowledged),
        "status": "ack" if fault.acknowledged else "new",
        "health_delta": fault.delta,
        "message": fault.text,
    }


def ordered(faults: Iterable[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Faults by one of `KEYS`, by a time the latest first."""
    return sorted(faults, key=lambda one: (one[key], one["id"]), reverse=key in _TIMES)


def counts(fault: Fault) -> bool:
    """Whether it takes something from the cluster's health: it lasts, and nobody has acknowledged it."""
    return not fault.over and not fault.acknowledged
