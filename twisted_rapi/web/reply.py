"""Answers and refusals as they go over the wire (behaviour.md §1.4, §1.5)."""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import msgspec

from twisted_rapi.cluster.answers import encode
from twisted_rapi.errors import BadRequest, RequestError

REALM = "Ganeti Remote API"

# The long standard text of each status, in the words the field's servers use (observations.md).
_EXPLAIN = {
    400: ("Bad Request", "Bad request syntax or unsupported method"),
    401: ("Unauthorized", "No permission -- see authorization schemes"),
    403: ("Forbidden", "Request forbidden -- authorization will not help"),
    404: ("Not Found", "Nothing matches the given URI"),
    408: ("Request Timeout", "Request timed out; try again later"),
    413: ("Request Entity Too Large", "Entity is too large"),
    414: ("Request-URI Too Long", "URI is too long"),
    415: ("Unsupported Media Type", "Entity body in unsupported format"),
    431: ("Request Header Fields Too Large", "The header fields are too large"),
    500: ("Internal Server Error", "Server got itself in trouble"),
    501: ("Not Implemented", "Server does not support this operation"),
    502: ("Bad Gateway", "Invalid responses from another server/proxy"),
    503: ("Service Unavailable", "The server cannot process the request due to a high load"),
    504: ("Gateway Timeout", "The gateway server did not receive a timely response"),
    505: ("HTTP Version Not Supported", "Cannot fulfill request"),
}

JSON = b"application/json"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


PIECE = 1 << 16  # bytes


@attrs.frozen
class Joined:
    """
    A body joined from ready items; never in memory as a whole.

    :ivar between: what separates them.
    """

    before: bytes
    items: Sequence[bytes]
    after: bytes
    between: bytes = b", "

    def size(self) -> int:
        """How many bytes it has."""
        between = len(self.between) * max(0, len(self.items) - 1)
        return len(self.before) + len(self.after) + sum(map(len, self.items)) + between

    def pieces(self) -> Iterator[bytes]:
        """The body, in pieces of about `PIECE` bytes."""
        piece, size = [self.before], 0
        for n, item in enumerate(self.items):
            piece += [self.between, item] if n else [item]
            size += len(item)
            if size >= PIECE:
                yield b"".join(piece)
                piece, size = [], 0
        yield b"".join([*piece, self.after])


@attrs.frozen
class Reply:
    """
    A whole answer; the body is ready bytes, or `joined` where there is one.

    :ivar stream: begins to send a body that has no end of its own to a request.
    """

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    joined: Joined | None = None
    stream: Callable[[Any], None] | None = None

    def size(self) -> int:
        """How many bytes the body has."""
        return len(self.body) if self.joined is None else self.joined.size()


def ready(body: bytes) -> Reply:
    """A success whose JSON is encoded already."""
    return Reply(body + b"\n")


def ready_list(items: Sequence[bytes], before: bytes = b"[", after: bytes = b"]") -> Reply:
    """A success that lists items which are encoded already."""
    return Reply(b"", joined=Joined(before, items, after + b"\n"))


def success(value: Any) -> Reply:
    """A success with a value as JSON."""
    return ready(encode(value))


def refusal(error: RequestError) -> Reply:
    """What a client is told of an error."""
    phrase, explain = _EXPLAIN[error.status]
    message = html.escape(phrase if error.message is None else error.message, quote=True)
    headers = ((b"WWW-Authenticate", f'Basic realm="{REALM}"'.encode()),) if error.status == 401 else ()
    body = encode({"code": error.status, "message": message, "explain": explain}) + b"\n"
    return Reply(body, error.status, JSON, headers)


MOST_LEVELS = 100  # of nesting: what is stored has to be read, copied and written again


def parse(body: bytes) -> Any:
    """
    The JSON of a body.

    :raises BadRequest: it is none, is nested too deeply, has numbers or text nobody can hold, or an object
        of it has a key twice.
    """
    try:
        value = msgspec.json.decode(body)
        # Text with halves of surrogate pairs cannot be stored or sent on.
        msgspec.json.encode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError) as e:
        raise BadRequest("Unable to parse JSON data") from e
    # Every pair has its colon; what was read has fewer pairs where a later one took the place of another.
    pairs, levels = _pairs_and_levels(value)
    if levels > MOST_LEVELS:
        raise BadRequest("Unable to parse JSON data")
    if _STRING.sub(b"", body).count(b":") != pairs:
        raise BadRequest("Unable to parse JSON data: a key is given twice")
    return value


def _pairs_and_levels(value: Any) -> tuple[int, int]:
    """How many pairs all objects in a value have, and how deeply it is nested."""
    pairs, levels, level = 0, 0, [value]
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                pairs += len(item)
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        levels, level = levels + 1, inner
        if levels > MOST_LEVELS:
            break
    return pairs, levels
