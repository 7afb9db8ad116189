"""What a handler is given of a request, and what it may declare."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl

import attrs

from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.events import Events
from twisted_rapi.cluster.interface import ICluster
from twisted_rapi.errors import BadRequest, RequestError
from twisted_rapi.web.doc import Doc
from twisted_rapi.web.reply import Reply

Access = Literal["anyone", "reader", "writer"]


@attrs.frozen
class Api:
    """What handlers work with, for one term."""

    cluster: ICluster
    answers: Answers
    events: Events
    now: Callable[[], float]


@attrs.frozen(kw_only=True)
class Call:
    """
    A request that may be answered: its user has the right to it.

    :ivar names: what stands in the URI for the pattern's names, as received.
    :ivar query: the raw query string.
    :ivar body: the decoded body; ``None`` without one.
    :ivar header: what a header, by its name in small letters, has; ``None`` for one that is missing.
    """

    api: Api
    method: str
    names: Mapping[str, str]
    query: str
    body: Any = None
    request_id: str = ""
    header: Callable[[str], str | None] = lambda _: None

    def arguments(self) -> dict[str, list[str]]:
        """The query's arguments; empty values are as if absent (behaviour.md §1.1)."""
        found: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(self.query, max_num_fields=10_000)
        except ValueError as e:
            raise BadRequest("Too many query arguments") from e
        for name, value in pairs:
            found.setdefault(name, []).append(value)
        return found

    def argument(self, name: str) -> str | None:
        """The first value of an argument."""
        values = self.arguments().get(name)
        return values[0] if values else None

    def flag(self, name: str, default: bool = False) -> bool:
        """
        A yes-or-no argument: an integer, zero for no.

        :raises BadRequest: it is no integer.
        """
        text = self.argument(name)
        if text is None:
            return default
        try:
            return bool(int(text))
        except ValueError as e:
            raise BadRequest(f"Invalid value for the '{name}' parameter") from e

    def fields(self) -> dict[str, Any]:
        """
        The body as an object; none at all is an empty one.

        :raises BadRequest: it is something else.
        """
        if self.body is None:
            return {}
        if not isinstance(self.body, dict):
            raise BadRequest(f"Body contents: Type is '{type_name(self.body)}', but 'dict' is expected")
        return dict(self.body)


def type_name(value: Any) -> str:
    """What error texts call the type of a decoded value."""
    return type(value).__name__


Handler = Callable[[Call], Reply | Awaitable[Reply]]


@attrs.frozen
class Endpoint:
    """
    What a method of a URI does.

    :ivar handler: answers at once, or a coroutine's result.
    :ivar kept: whether the answer depends on nothing but records, reports and the URI, and may be kept.
    :ivar doc: what is told of it; a handler that is an object may say it in an attribute of that name.
    :ivar waits: whether the answer may take long by nature, because it waits for something to happen.
    """

    handler: Handler
    access: Access = "anyone"
    kept: bool = False
    doc: Doc | None = None
    waits: bool = False

    def described(self) -> Doc:
        """
        What is told of it.

        :raises LookupError: nobody has said anything.
        """
        doc: Doc | None = self.doc or getattr(self.handler, "doc", None)
        if doc is None:
            raise LookupError(f"{self.handler!r} is not described")
        return doc


@attrs.frozen
class Route:
    """A URI pattern, such as ``/2/jobs/[job_id]``, and its methods."""

    pattern: str
    methods: Mapping[str, Endpoint]
    html: bool = False  # errors as pages, as RAPI 1.2 has them


class Beside(Protocol):
    """Another API on the same site: other paths, and other forms of answers."""

    def serves(self, path: str) -> bool:
        """Whether a path, as received, is of this API."""

    def refusal(self, error: RequestError) -> Reply:
        """What a client is told of an error."""

    def kept(self, request: Any, api: Api, address: str) -> tuple[Reply, str] | None:
        """The answer to a ``GET`` and the pattern of its URI, if they are there; the body is not read."""

    async def answer(self, request: Any, api: Api, address: str, number: str) -> tuple[Reply, str]:
        """
        The answer to a request, and the pattern of its URI.

        :param address: of the client; `number`: the request's id.
        :raises RapiError: as handlers of RAPI do.
        """
