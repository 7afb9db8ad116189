"""PVC's endpoints of faults: what was found to be wrong, and what somebody knows of."""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted_rapi.errors import BadRequest, Conflict
from twisted_rapi.plan.pvc.dialect import NEWEST
from twisted_rapi.plan.pvc.fault import KEYS, ordered, told
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.reply import Reply


def _all(call: PvcCall) -> list[dict[str, Any]]:
    key, now = call.text("sort_key") or KEYS[0], call.api.now()
    if key not in KEYS:
        raise BadRequest(f"Invalid sort key {key} provided")
    return ordered((told(fault, now) for fault in call.api.cluster.faults.all()), key)


def listing(call: PvcCall) -> Reply:
    """``GET /faults``: by a time the latest first."""
    return answer(call.dialect, _all(call))


def single(call: PvcCall) -> Reply:
    """``GET /faults/F``: a list of one, or of none."""
    return answer(call.dialect, [one for one in _all(call) if one["id"] == call.names["fault"]])


def _change(word: str) -> Callable[[PvcCall], Awaitable[Reply]]:
    async def change(call: PvcCall) -> Reply:
        faults = call.api.cluster.faults
        ids = [fault.id for fault in faults.all()]
        if "fault" in call.names:
            name = call.names["fault"]
            if name not in ids:
                raise BadRequest(f"No fault with ID {name} found")
            ids = [name]
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
        values=(Value(name="sort_key", doc=f"What they are ordered by: {', '.join(KEYS)}"),),
        dialects=NEWEST,
    ),
    Endpoint(path=_FAULT, method="GET", handler=single, doc="Show one fault.", dialects=NEWEST),
    *(
        Endpoint(path=path, method=method, handler=_change(word), doc=doc, dialects=NEWEST)
        for path, method, word, doc in (
            ("/faults", "PUT", "acknowledged", "Acknowledge all faults."),
            (_FAULT, "PUT", "acknowledged", "Acknowledge a fault."),
            ("/faults", "DELETE", "deleted", "Delete all faults."),
            (_FAULT, "DELETE", "deleted", "Delete a fault."),
        )
    ),
)
