"""The log: one JSON object a line."""

import json
import sys
from typing import Any, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from zope.interface import implementer

from twisted_rapi.observe import job_id, request_id

_PLUMBING = frozenset(
    {"log_logger", "log_source", "log_format", "log_level", "log_namespace", "log_time", "log_trace"}
)
_PLAIN = (str, int, float, bool, type(None))


def _plain(value: object) -> Any:
    return value if isinstance(value, _PLAIN) else repr(value)


def as_document(event: LogEvent) -> dict[str, Any]:
    """
    A log event as the document that is written.

    Keys: ``time`` (seconds since the epoch), ``level``, ``from`` (namespace), ``text``, ``request`` and
    ``job`` where the event belongs to one, ``traceback`` for failures, and the event's own fields.
    """
    level = event.get("log_level")
    document: dict[str, Any] = {
        "time": round(event.get("log_time", 0.0), 6),
        "level": level.name if level is not None else "info",
        "from": event.get("log_namespace", ""),
        "text": formatEvent(event) or str(event.get("log_text", "")),
    }
    if request := request_id.get():
        document["request"] = request
    if job := job_id.get():
        document["job"] = job
    failure = event.get("log_failure")
    if failure is not None:
        document["traceback"] = failure.getTraceback()
    for key, value in event.items():
        if key not in _PLUMBING and key not in document and not key.startswith("log_") and _legible(key):
            document[key] = _plain(value)
    return document


def _legible(key: str) -> bool:
    """Old-style events carry the whole message again in these."""
    return key not in ("message", "time", "isError", "system", "format", "why", "printed")


@implementer(ILogObserver)
class JSONLines:
    """Write events as JSON, a line each; what cannot be written is dropped (a full disk ends no daemon)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        try:
            self._out.write(json.dumps(as_document(event), default=repr) + "\n")
            self._out.flush()
        except (OSError, ValueError):
            pass


def observer(out: TextIO, level: str = "info") -> ILogObserver:
    """What writes events of at least `level` to `out`."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.lookupByName(level))
    return FilteringLogObserver(JSONLines(out), [predicate])


def json_log() -> ILogObserver:
    """JSON lines on standard output; for ``twistd --logger twisted_rapi.observe.log.json_log``."""
    return observer(sys.stdout)
