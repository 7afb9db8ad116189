"""PVC's endpoints of faults: what was found to be wrong, and what somebody knows of."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from twisted_rapi.errors import BadRequest, Conflict, NotFound
from twisted_rapi.model.fault import Fault
from twisted_rapi.plan.pvc.dialect import NEWEST
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.reply import Reply

_USUAL = "last_reported"
_TEXTS = ("status", "message")
_KEYS = ("first_reported", _USUAL, "acknowledged_at", "health_delta", *_TEXTS)


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


def _all(call: PvcCall) -> list[dict[str, Any]]:
    key = call.text("sort_key") or _USUAL
    if key not in _KEYS:
        raise BadRequest(f"Invalid sort key {key} provided")
    now = call.api.now()
    found = [told(fault, now) for fault in reversed(call.api.cluster.faults.all())]
    return sorted(found, key=lambda one: one[key], reverse=key not in _TEXTS)


def listing(call: PvcCall) -> Reply:
    """``GET /faults``: the latest first, texts in order."""
    return answer(call.dialect, _all(call))


def single(call: PvcCall) -> Reply:
    """``GET /faults/F``: a list of one, or of none."""
    return answer(call.dialect, [one for one in _all(call) if one["id"] == call.names["fault"]])


def _change(word: str) -> Callable[[PvcCall], Awaitable[Reply]]:
    async def change(call: PvcCall) -> Reply:
        faults = call.api.cluster.faults
        known = [fault for fault in faults.all() if word == "deleted" or not fault.acknowledged]
        ids = [fault.id for fault in known]
        if "fault" in call.names:
            ids = call.names["fault"].split(",")
            if not set(ids) <= {fault.id for fault in faults.all()}:
                raise NotFound("Fault not found.")
        try:
            await (faults.delete(ids) if word == "deleted" else faults.acknowledge(ids))
        except Conflict as e:
            raise BadRequest("Faults were noted at the same time; please ask again") from e
        return call.told(f"Successfully {word} fault(s) {', '.join(ids)}")

    return change


_FAULT = "/faults/<fault>"

ENDPOINTS = (
    Endpoint(
        path="/faults",
        method="GET",
        handler=listing,
        doc="List what was found to be wrong.",
        values=(Value(name="sort_key", doc=f"What they are ordered by: {', '.join(_KEYS)}"),),
        dialects=NEWEST,
    ),
    Endpoint(path=_FAULT, method="GET", handler=single, doc="Show one fault.", dialects=NEWEST),
    *(
        Endpoint(path=path, method=method, handler=_change(word), doc=doc, dialects=NEWEST)
        for path, method, word, doc in (
            ("/faults", "PUT", "acknowledged", "Acknowledge all faults."),
            (_FAULT, "PUT", "acknowledged", "Acknowledge a fault, or several with commas between."),
            ("/faults", "DELETE", "deleted", "Delete all faults."),
            (_FAULT, "DELETE", "deleted", "Delete a fault, or several with commas between."),
        )
    ),
)
