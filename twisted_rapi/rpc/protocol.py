"""
The node protocol, as both ends speak it.

``POST /rpc/1/perform`` takes a step and answers an outcome; ``POST /rpc/1/watch`` answers sightings without
end, a JSON document a line; where it ends all the same, the last line is a failure.  The master's term is a
header of both.  Failures are documents of their own.
"""

from typing import Any

import msgspec
from msgspec import Struct

from twisted_rapi.errors import NodeError, NodeUnreachable, ProtocolMismatch, RapiError, StaleTerm, StepFailed
from twisted_rapi.model.seen import Sighting
from twisted_rapi.model.steps import AnyStep, Outcome, Step
from twisted_rapi.rpc.interface import PROTOCOL_VERSION

PREFIX = f"/rpc/{PROTOCOL_VERSION}"
PERFORM = f"{PREFIX}/perform"
WATCH = f"{PREFIX}/watch"
TERM = "X-Rapi-Term"
MEDIA_TYPE = "application/json"
MOST_BYTES = 16 * 1024 * 1024  # of a message

HEARTBEAT = 1.0  # seconds between sightings at most
SILENCE = 3.0  # seconds without a sighting after which a connection counts as lost

STATUS = {
    "stale_term": 409,
    "failed": 422,
    "malformed": 400,
    "forbidden": 403,
    "mismatch": 404,
    "internal": 500,
}


class Refusal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Why there is no outcome.

    :ivar error: a key of `STATUS`.
    """

    error: str
    text: str = ""
    kind: str = ""
    term: int = 0
    newest: int = 0


_STEP = msgspec.json.Decoder(AnyStep)
_OUTCOME = msgspec.json.Decoder(Outcome)
_REFUSAL = msgspec.json.Decoder(Refusal)
_SIGHTING: msgspec.json.Decoder[Sighting] = msgspec.json.Decoder(Sighting)


def encode(message: Step | Outcome | Refusal | Sighting) -> bytes:
    """A message as it travels."""
    return msgspec.json.encode(message)


def decode_step(body: bytes) -> Step:
    """
    A step that was received.

    :raises msgspec.DecodeError: it is none.
    """
    step: Step = _decoded(_STEP, body)
    return step


def _decoded(decoder: Any, body: bytes) -> Any:
    """What a body says; nesting without end and bad UTF-8 are errors of the same kind as all others."""
    try:
        return decoder.decode(body)
    except (UnicodeDecodeError, RecursionError) as e:
        raise msgspec.DecodeError(str(e)) from e


def decode_sighting(line: bytes) -> Sighting:
    """
    A sighting that was received.

    :raises ProtocolMismatch: it is none.
    :raises StaleTerm, StepFailed: the agent says that it ends the watch, and why.
    """
    try:
        sighting: Sighting = _decoded(_SIGHTING, line)
    except msgspec.DecodeError as e:
        try:
            refusal: Refusal = _decoded(_REFUSAL, line)
        except msgspec.DecodeError:
            text = f"the agent sent what this version does not know: {e}"
            raise ProtocolMismatch(text) from e
        raise error_of(refusal) from None
    return sighting


def refusal_of(error: RapiError) -> Refusal:
    """How an agent tells an error."""
    match error:
        case StaleTerm():
            return Refusal(error="stale_term", text=str(error), term=error.term, newest=error.newest)
        case StepFailed():
            return Refusal(error="failed", text=error.text, kind=error.kind)
    return Refusal(error="internal", text=str(error))


def decode_answer(status: int, body: bytes) -> Outcome:
    """
    The outcome a master received.

    :raises StepFailed, StaleTerm, ProtocolMismatch, NodeUnreachable: see `INodeAgent.perform`.
    """
    try:
        if status == 200:
            outcome: Outcome = _decoded(_OUTCOME, body)
            return outcome
        refusal: Refusal = _decoded(_REFUSAL, body)
    except msgspec.DecodeError as e:
        raise ProtocolMismatch(
            f"the agent answered {status} with what this version does not know: {e}"
        ) from e
    raise error_of(refusal)


def error_of(refusal: Refusal) -> RapiError:
    """The error an agent told."""
    known: dict[str, Any] = {
        "stale_term": lambda: StaleTerm(refusal.term, refusal.newest),
        "failed": lambda: StepFailed(refusal.text, refusal.kind),
        "forbidden": lambda: NodeUnreachable(f"the agent does not take this certificate: {refusal.text}"),
        "mismatch": lambda: ProtocolMismatch(refusal.text),
        "internal": lambda: StepFailed(refusal.text, "internal"),
    }
    made: NodeError = known.get(refusal.error, lambda: ProtocolMismatch(refusal.text))()
    return made
