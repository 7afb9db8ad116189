"""
PVC's API beside RAPI on one site: from a request to a handler and back.

Order of checks as observed: URI, method, then in the oldest dialect the token and the values, in later ones
the values and the token.
"""

from collections.abc import Hashable
from typing import Any

import attrs

from twisted_rapi.errors import Forbidden, NoMaster, RequestError
from twisted_rapi.plan.pvc.dialect import Dialect, choose
from twisted_rapi.web.call import Api
from twisted_rapi.web.pvc.ceph_counts import CephCounts
from twisted_rapi.web.pvc.ceph_looks import CephLooks
from twisted_rapi.web.pvc.definitions import Definitions
from twisted_rapi.web.pvc.endpoints import PREFIX, Endpoint, Endpoints, Found, PvcCall
from twisted_rapi.web.pvc.gate import Gate, Shown
from twisted_rapi.web.pvc.origin import foreign, header
from twisted_rapi.web.pvc.replies import SERVER, not_allowed, page, refusal
from twisted_rapi.web.pvc.scenes import moving
from twisted_rapi.web.pvc.session import of_cookies
from twisted_rapi.web.pvc.values import Given, checked, given, signs
from twisted_rapi.web.reply import Reply

MOST_OF_ANYONE = 256 * 1024  # bytes of a body that are parsed for who has shown nothing yet
MOST_KNOWN = 1000  # kinds of requests whose answers are kept
MOST_KEPT_URI = 200  # bytes: longer ones are hardly asked again


@attrs.frozen
class _Asked:
    """A request whose path is known."""

    request: Any
    found: Found
    said: Given
    shown: Shown
    dialect: Dialect
    api: Api
    address: str
    number: str

    def key(self, endpoint: Endpoint) -> Hashable | None:
        """What the answer is kept under; ``None``: it is not."""
        if not endpoint.kept or self.said.form or len(self.request.uri) > MOST_KEPT_URI:
            return None
        return _key(self.request, self.dialect, endpoint, self.api)


def _key(request: Any, dialect: Dialect, endpoint: Endpoint, api: Api) -> Hashable:
    return dialect, request.uri, frozenset(moving(api).items()) if endpoint.busy else ()


def _sign(request: Any) -> Hashable:
    """All that tells which endpoint and dialect a request without a body is about."""
    return request.uri, header(request, "user-agent"), request.requestHeaders.hasHeader(b"x-api-key")


def _shown(request: Any) -> Shown:
    """What a client shows in headers."""
    has_key = request.requestHeaders.hasHeader(b"x-api-key")
    return Shown(
        session=of_cookies(header(request, "cookie")), key=header(request, "x-api-key") if has_key else None
    )


class PvcSide:
    """
    Answers what is below `PREFIX`.

    :param configured: the dialect of requests that do not tell theirs.
    :param gate: who may ask; `ceph`: looks at Ceph.
    """

    def __init__(self, endpoints: Endpoints, configured: Dialect, gate: Gate, ceph: CephLooks) -> None:
        self._endpoints, self._configured, self._gate = endpoints, configured, gate
        self._definitions = Definitions()
        self._ceph, self._counts = ceph, CephCounts(ceph)
        self._known: dict[Hashable, tuple[Endpoint, Dialect, str]] = {}  # what `_sign` stands for

    def serves(self, path: str) -> bool:
        """Whether a path is of this API."""
        return path == PREFIX or path.startswith(f"{PREFIX}/")

    def refusal(self, error: RequestError) -> Reply:
        """What a client is told of an error before it is known what it speaks."""
        return refusal(self._configured, error)

    def kept(self, request: Any, api: Api, address: str) -> tuple[Reply, str] | None:
        """See `twisted_rapi.web.call.Beside.kept`."""
        known = self._known.get(_sign(request))
        if known is None:
            return None
        endpoint, dialect, pattern = known
        if not endpoint.open and not self._gate.admits(_shown(request), address, api):
            return None
        reply = api.answers.kept(_key(request, dialect, endpoint, api))
        return None if reply is None else (reply, pattern)

    async def answer(self, request: Any, api: Api, address: str, number: str) -> tuple[Reply, str]:
        """See `twisted_rapi.web.call.Beside.answer`."""
        path, _, query = request.uri.decode("ascii").partition("?")
        found = self._endpoints.find(path[len(PREFIX) :])
        if found is None:
            return page(404, "There is no such URI."), ""
        pattern = f"{PREFIX}{found.endpoints[0].path}"
        shown = _shown(request)
        content = request.content.read()
        if len(content) > MOST_OF_ANYONE:
            await self._gate.admit(shown, self._configured, address, api)
        said = given(query, header(request, "content-type"), content)
        shown = attrs.evolve(shown, token=said.first("token"))
        seen = signs(found, said, shown.key is not None)
        dialect = choose(found.dialects, seen, header(request, "user-agent"), self._configured)
        asked = _Asked(request, found, said, shown, dialect, api, address, number)
        try:
            return await self._of_method(asked), pattern
        except NoMaster:
            raise
        except RequestError as e:
            return refusal(dialect, e), pattern

    async def _of_method(self, asked: _Asked) -> Reply:
        method = asked.request.method.decode("ascii", "replace").upper()
        allowed = asked.found.methods(asked.dialect)
        if method == "OPTIONS":
            allow = ", ".join(sorted({*allowed, "OPTIONS"})).encode("ascii")
            return Reply(b"", 200, b"text/html; charset=utf-8", (SERVER, (b"Allow", allow)))
        endpoint = asked.found.of("GET" if method == "HEAD" else method, asked.dialect)
        if endpoint is None:
            return not_allowed(asked.dialect, allowed)
        return await self._of_endpoint(asked, endpoint)

    async def _of_endpoint(self, asked: _Asked, endpoint: Endpoint) -> Reply:
        if endpoint.method != "GET" and foreign(asked.request):
            raise Forbidden("Other sites may not have a browser ask this")
        late = asked.dialect is Dialect.SEED
        values = {} if late else checked(endpoint, asked.said, asked.dialect)
        if not endpoint.open:
            await self._gate.admit(asked.shown, asked.dialect, asked.address, asked.api)
        answers, key = asked.api.answers, asked.key(endpoint)
        kept = None if key is None else answers.kept(key)
        if kept is not None:
            reply: Reply = kept
            return reply
        call = PvcCall(
            api=asked.api,
            gate=self._gate,
            definitions=self._definitions,
            ceph=self._ceph,
            counts=self._counts,
            dialect=asked.dialect,
            method=endpoint.method,
            names=asked.found.names,
            values=checked(endpoint, asked.said, asked.dialect) if late else values,
            session=asked.shown.session,
            request_id=asked.number,
            address=asked.address,
        )
        as_of = answers.changes
        answer = endpoint.handler(call)
        reply = answer if isinstance(answer, Reply) else await answer
        if key is not None:
            answers.keep(key, reply, as_of, reply.size())
            self._note(asked, endpoint)
        return reply

    def _note(self, asked: _Asked, endpoint: Endpoint) -> None:
        """Know the next request of this kind again."""
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        if not asked.said.json:
            pattern = f"{PREFIX}{asked.found.endpoints[0].path}"
            self._known[_sign(asked.request)] = (endpoint, asked.dialect, pattern)
