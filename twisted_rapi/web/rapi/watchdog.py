"""What the watchdog sees, and pausing it: an extension of RAPI."""

from twisted_rapi.errors import BadRequest, Conflict
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.doc import Body, Doc, Schema
from twisted_rapi.web.rapi.rows import read, write
from twisted_rapi.web.reply import Reply, success

LONGEST = 30 * 86400  # seconds of a pause


def show(call: Call) -> Reply:
    """``GET /2/watchdog``."""
    watchdog, snapshot = call.api.cluster.watchdog, call.api.cluster.snapshot
    down = [
        {
            "name": each.name,
            "node": each.node,
            "seconds": each.seconds,
            "starts": list(each.starts),
            "left": each.left or None,
        }
        for each in watchdog.down()
    ]
    strange = [
        {"name": each.name, "uuid": each.uuid, "node": snapshot.nodes[each.node].name, "reason": each.why}
        for each in watchdog.strangers()
    ]
    pause = snapshot.cluster.watcher_pause
    return success(
        {
            "enabled": watchdog.rules.enabled,
            "wait": watchdog.rules.wait,
            "starts_per_hour": watchdog.rules.starts,
            "paused_until": pause if pause > call.api.now() else None,
            "halted": watchdog.halted() or None,
            "down": down,
            "unknown": strange,
        }
    )


async def pause(call: Call) -> Reply:
    """``PUT /2/watchdog``."""
    fields = call.fields()
    seconds = fields.get("pause")
    if set(fields) - {"pause"}:
        raise BadRequest(f"Unknown parameters: {', '.join(sorted(set(fields) - {'pause'}))}")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST:
        raise BadRequest(f"Invalid value for the 'pause' parameter: seconds, 0 to {LONGEST}")
    try:
        until = await call.api.cluster.watchdog.pause(float(seconds))
    except Conflict as e:
        raise BadRequest("The cluster was changed at the same time; please ask again") from e
    return success({"paused_until": until or None})


_SHOWN: Schema = {
    "type": "object",
    "properties": {
        "enabled": {"type": "boolean"},
        "wait": {"type": "number"},
        "starts_per_hour": {"type": "integer"},
        "paused_until": {"type": ["number", "null"]},
        "halted": {"type": ["string", "null"]},
        "down": {"type": "array", "items": {"type": "object"}},
        "unknown": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["enabled", "wait", "starts_per_hour", "paused_until", "halted", "down", "unknown"],
}
_SHOW = Doc(
    summary="Show what is down and should run, and what runs and is unknown; an extension.",
    answer="How the watchdog acts, the instances that are down and why one is left so, and unknown guests",
    schema=_SHOWN,
)
_SECONDS = {
    "type": "number",
    "description": "Seconds for which nothing is started, 30 days at most; 0 to go on at once",
}
_PAUSE = Doc(
    summary="Have the watchdog start nothing for a while; an extension.",
    answer="Until when, in seconds since the epoch; null for no pause",
    schema={"type": "object", "required": ["paused_until"]},
    body=Body("For how long", {"type": "object", "properties": {"pause": _SECONDS}, "required": ["pause"]}),
)

ROUTES = (Route("/2/watchdog", {"GET": read(show, doc=_SHOW), "PUT": write(pause, doc=_PAUSE)}),)
