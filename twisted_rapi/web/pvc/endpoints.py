"""What a method of a URI of PVC's API is: the rows of the tables of `twisted_rapi.web.pvc.routes`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote

import attrs

from twisted_rapi.plan.pvc.dialect import ALL, Dialect
from twisted_rapi.web.call import Api
from twisted_rapi.web.pvc.ceph_counts import CephCounts
from twisted_rapi.web.pvc.ceph_looks import CephLooks
from twisted_rapi.web.pvc.definitions import Definitions
from twisted_rapi.web.pvc.gate import Gate
from twisted_rapi.web.pvc.replies import message
from twisted_rapi.web.reply import Reply

PREFIX = "/api/v1"
Kind = Literal["text", "list", "flag", "presence"]
FLAGS = {
    **dict.fromkeys(("y", "yes", "t", "true", "on", "1"), True),
    **dict.fromkeys(("n", "no", "f", "false", "off", "0"), False),
}


@attrs.frozen(kw_only=True)
class Value:
    """
    A value that a request may have, in its query or its form.

    :ivar kind: ``flag``: a word for yes or no; in the oldest dialect any text that is not empty is a yes.
        ``presence``: a yes by being there, be it empty.  ``list``: may be given several times, which is the
        same as once with commas.
    :ivar dialects: those that know it.
    :ivar choices: what it may be; anything without.
    :ivar text: what a client is told when it is missing or cannot be meant; the usual without.
    :ivar empty: whether one that is given empty says something in the newest dialect; else it is as if it
        were not given.
    """

    name: str
    doc: str
    kind: Kind = "text"
    required: bool = False
    dialects: frozenset[Dialect] = ALL
    choices: tuple[str, ...] = ()
    text: str = ""
    empty: bool = False


@attrs.frozen(kw_only=True)
class PvcCall:
    """
    A request that may be answered.

    :ivar names: what stands in the URI for the pattern's names, decoded.
    :ivar values: by name those that were given: ``str``, or ``bool`` for flags.
    :ivar definitions: of the machines; `ceph`: looks at Ceph; `counts`: what there is of it.
    :ivar gate: who may ask; `session`: the cookie of the request's session; `address`: who asks.
    """

    api: Api
    gate: Gate
    definitions: Definitions
    ceph: CephLooks
    counts: CephCounts
    dialect: Dialect
    method: str
    names: Mapping[str, str]
    values: Mapping[str, Any]
    session: str
    request_id: str
    address: str

    def text(self, name: str) -> str:
        """A value; "" when it was not given."""
        return str(self.values.get(name, ""))

    def flag(self, name: str) -> bool:
        """A flag; no when it was not given."""
        return bool(self.values.get(name, False))

    def told(self, text: str, status: int = 200) -> Reply:
        """An answer with a message; that of a change never has double quotes in it, as clients know it."""
        return message(self.dialect, text if self.method == "GET" else text.replace('"', "'"), status)


Handler = Callable[[PvcCall], Reply | Awaitable[Reply]]


@attrs.frozen(kw_only=True)
class Endpoint:
    """
    A method of a URI, in the dialects that have it; another row may have it for others.

    :ivar path: what follows `PREFIX`, such as ``/node/<node>``.
    :ivar open: whether it is answered without a token.
    :ivar kept: whether the answer depends on nothing but records, reports, the dialect and the URI.
    :ivar busy: whether it depends on what jobs do to machines, too.
    :ivar media_type: of the answer; `refusals`: statuses of its own.
    """

    path: str
    method: str
    handler: Handler
    doc: str
    values: tuple[Value, ...] = ()
    dialects: frozenset[Dialect] = ALL
    open: bool = False
    kept: bool = False
    busy: bool = False
    media_type: str = "application/json"
    refusals: tuple[int, ...] = ()


@attrs.frozen
class Found:
    """What has a path: its endpoints, and what stands for the names."""

    endpoints: tuple[Endpoint, ...]
    names: Mapping[str, str]

    @property
    def dialects(self) -> frozenset[Dialect]:
        """Those that have the path."""
        return frozenset().union(*(e.dialects for e in self.endpoints))

    def methods(self, dialect: Dialect) -> tuple[str, ...]:
        """What may be done with it."""
        return tuple(e.method for e in self.endpoints if dialect in e.dialects)

    def of(self, method: str, dialect: Dialect) -> Endpoint | None:
        """The endpoint of a method in a dialect."""
        for endpoint in self.endpoints:
            if endpoint.method == method and dialect in endpoint.dialects:
                return endpoint
        return None


class Endpoints:
    """Finds the endpoints of a path."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._by_length: dict[int, dict[tuple[str, ...], list[Endpoint]]] = {}
        for endpoint in endpoints:
            parts = tuple(endpoint.path.split("/"))
            self._by_length.setdefault(len(parts), {}).setdefault(parts, []).append(endpoint)

    def find(self, path: str) -> Found | None:
        """
        What has this path, as received; where several patterns do, the one with the fewest names.

        :param path: what follows `PREFIX`.
        """
        given = path.split("/")
        best: Found | None = None
        for parts, endpoints in self._by_length.get(len(given), {}).items():
            names = _match(parts, given)
            if names is not None and (best is None or len(names) < len(best.names)):
                best = Found(tuple(endpoints), names)
        return best


def _match(parts: Sequence[str], given: Sequence[str]) -> dict[str, str] | None:
    names = {}
    for part, raw in zip(parts, given, strict=True):
        if part.startswith("<"):
            try:
                text = unquote(raw, errors="strict")
            except UnicodeDecodeError:
                return None
            if not text or "/" in text or "\0" in text:
                return None
            names[part[1:-1]] = text
        elif part != raw:
            return None
    return names
