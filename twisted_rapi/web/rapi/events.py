"""What happens, as it happens: server-sent events, an extension of RAPI."""

from twisted_rapi.cluster.telling import KINDS, Wanted
from twisted_rapi.errors import BadRequest
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.doc import TEXT, Argument, Doc, Schema
from twisted_rapi.web.rapi.rows import live, waiting
from twisted_rapi.web.reply import Reply
from twisted_rapi.web.streaming import EventSender

MEDIA_TYPE = "text/event-stream"


def _wanted(call: Call) -> Wanted:
    kinds = call.argument("kinds")
    chosen = frozenset(KINDS if kinds is None else kinds.split(","))
    if chosen - frozenset(KINDS):
        raise BadRequest(f"Invalid value for the 'kinds' parameter: there are {', '.join(KINDS)}")
    return Wanted(chosen, call.argument("instance") or "")


def events(call: Call) -> Reply:
    """``GET /2/events``."""
    wanted, sender = _wanted(call), EventSender()
    last = call.header("last-event-id") or call.argument("last_event_id") or ""
    reader = call.api.events.open(wanted, sender)
    sender.left = reader.close
    reader.begin(last)
    # No proxy is to keep it, or to gather it before it sends it on.
    headers = ((b"Cache-Control", b"no-store"), (b"X-Accel-Buffering", b"no"))
    return Reply(b"", media_type=MEDIA_TYPE.encode(), headers=headers, stream=sender.begin)


# One of them, as readers of the stream see it.
_EVENT: Schema = {
    "type": "object",
    "properties": {"id": TEXT, "event": TEXT, "data": {**TEXT, "description": "An object, as JSON"}},
    "required": ["data"],
}
_DOC = Doc(
    summary="Follow what happens, as server-sent events; an extension.",
    answer="Events without an end, after the one that Last-Event-ID names or from now on",
    schema=_EVENT,
    media_type=MEDIA_TYPE,
    query=(
        Argument("last_event_id", "As the header Last-Event-ID, where that cannot be sent"),
        Argument("kinds", f"Only events of these kinds, separated by commas: {', '.join(KINDS)}"),
        Argument("instance", "Only events about the instance with this name"),
    ),
)

ROUTES = (Route("/2/events", {"GET": waiting(live(events, _DOC))}),)
