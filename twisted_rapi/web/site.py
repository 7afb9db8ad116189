"""
The site: from a raw request to a handler and back.

Order of checks as behaviour.md §1.2 has it: URI, method, credentials, rights, body.  URIs are matched as they
were received, without decoding.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from twisted_rapi.errors import (
    BadRequest,
    BodyTooLarge,
    CommitTooLarge,
    Forbidden,
    MethodNotImplemented,
    NoMaster,
    NotFound,
    RapiError,
    RequestError,
    ServiceUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)
from twisted_rapi.observe import request_id as current_request
from twisted_rapi.web.auth import User, Users
from twisted_rapi.web.call import Api, Beside, Call, Endpoint, Route
from twisted_rapi.web.channel import IDLE, SERVER, ApiRequest, Channel
from twisted_rapi.web.pages import page
from twisted_rapi.web.proxy import CLIENT, NO_MASTER, Forwarder, NoQuorum
from twisted_rapi.web.reply import Reply, parse, refusal
from twisted_rapi.web.routing import Routes
from twisted_rapi.web.streaming import BodySender

_TYPES = re.compile(rb"application/json(\s*;\s*charset=\"?utf-?8\"?)?\s*", re.IGNORECASE)
KEPT_QUERIES = ("", "bulk=1")  # others are anybody's invention: there is no end of them
METHODS = ("GET", "PUT", "POST", "DELETE")
Observer = Callable[[str, str, int, float], None]


class ApiResource(Resource):
    """
    Everything below the root.

    :ivar api: what answers, while this process is master; without it everything is 503.
    :ivar certain: whether it still is; asked with each request.
    :ivar beside: another API on the same site.
    :ivar elsewhere: asks the master while that is another; `past`: what reads are answered from while nobody
        can be master.
    :ivar parting: whether a client is to ask over another connection next time.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        routes: Sequence[Route],
        users: Users,
        clock: IReactorTime,
        chance: Random,
        observer: Observer = lambda *_: None,
        require_authentication: bool = False,
    ) -> None:
        super().__init__()
        self.api: Api | None = None
        self.certain: Callable[[], bool] = lambda: True
        self.beside: Beside | None = None
        self.elsewhere: Forwarder | None = None
        self.past: Api | None = None
        self.parting: Callable[[Any], bool] = lambda _: False
        self._routes = Routes(routes)
        self._users, self._clock, self._chance = users, clock, chance
        self._observer, self._require = observer, require_authentication
        self._under_way = 0
        self._awaiting_quiet: list[Deferred[None]] = []

    async def quiet(self) -> None:
        """Wait until no request is being answered."""
        while self._under_way:
            waiting: Deferred[None] = Deferred()
            self._awaiting_quiet.append(waiting)
            await waiting

    def _answered(self, result: object) -> object:
        self._under_way -= 1
        if not self._under_way:
            waiting, self._awaiting_quiet = self._awaiting_quiet, []
            for each in waiting:
                if not each.called:
                    each.callback(None)
        return result

    def _serving(self) -> Api | None:
        """What answers here and now."""
        return self.api if self.certain() else None

    def render(self, request: Any) -> int:
        """Answer from what is kept, or begin to."""
        begun = self._clock.seconds()
        api = self._serving()
        if request.method == b"GET" and api is not None and not request.too_large:
            kept = self._kept(request, api)
            if kept is not None:
                self._write(request, kept[0], kept[1], begun)
                return NOT_DONE_YET
        self._under_way += 1
        d = Deferred.fromCoroutine(self._answer(request, begun))
        d.addBoth(self._answered)
        request.notifyFinish().addErrback(lambda _: d.cancel())
        d.addErrback(lambda f: f.trap(CancelledError) and None)
        return NOT_DONE_YET

    def _kept(self, request: Any, api: Api) -> tuple[Reply, str] | None:
        """The answer and the pattern of the URI, if they are there already."""
        headers, beside = request.requestHeaders, self._is_beside(request)
        if not headers.hasHeader(b"host"):
            return None
        found: tuple[Reply, str] | None = None
        if beside is not None:
            found = beside.kept(request, api, _address(request))
        elif not self._require and not headers.hasHeader(b"authorization"):
            found = api.answers.kept(request.uri)
        if found is not None and request.content.read(1):
            request.content.seek(0)
            return None
        return found

    def _write(self, request: Any, reply: Reply, route: str, begun: float) -> None:
        request.setResponseCode(reply.status)
        headers = request.responseHeaders
        headers.setRawHeaders(b"content-type", [reply.media_type])
        if reply.stream is None:
            headers.setRawHeaders(b"content-length", [b"%d" % reply.size()])
        headers.setRawHeaders(b"server", [SERVER])
        for name, value in reply.headers:
            headers.setRawHeaders(name, [value])
        if request.too_large or self.parting(request):
            headers.setRawHeaders(b"connection", [b"close"])
            if request.channel is not None:
                request.channel.persistent = False

        def sent() -> None:
            took = self._clock.seconds() - begun
            self._observer(request.method.decode("ascii", "replace"), route, reply.status, took)

        if reply.stream is not None:
            reply.stream(request)
            sent()
            return
        if reply.joined is not None:
            BodySender(request, reply.joined.pieces(), sent).begin()
            return
        request.write(reply.body)
        request.finish()
        sent()

    async def _answer(self, request: Any, begun: float) -> None:
        number = f"{self._chance.getrandbits(64):016x}"
        current_request.set(number)
        pattern, beside = "", self._is_beside(request)
        refuse = refusal if beside is None else beside.refusal
        try:
            if request.clientproto == b"HTTP/1.1" and not request.requestHeaders.hasHeader(b"host"):
                raise BadRequest("Missing Host header")
            path, _, query = request.uri.decode("ascii").partition("?")
            if beside is not None:
                reply, pattern = await self._from_beside(beside, request, number)
            else:
                if self._require and not request.requestHeaders.hasHeader(b"authorization"):
                    raise Unauthorized
                route, names = self._routes.find(path)
                pattern, refuse = route.pattern, page if route.html else refusal
                reply = await self._routed(request, route, names, query, number)
        except RequestError as e:
            reply = _soon(e, refuse(e), request)
        except UnicodeDecodeError:
            reply = refuse(NotFound())
        except CancelledError:
            raise
        except CommitTooLarge as e:
            self._log.warn("a request is too large for the store: {reason}", reason=str(e))
            reply = refuse(BodyTooLarge("What is asked for is too large to be stored"))
        except RapiError as e:
            self._log.error("a request could not be served: {reason}", reason=str(e))
            reply = refuse(ServiceUnavailable(str(e)))
        except Exception:  # noqa: BLE001 -- a bug is answered too, and is in the log
            self._log.failure("a request met a bug, incident {incident}", incident=number)
            reply = refuse(_Bug(f"Internal error, incident {number}"))
        self._write(request, reply, pattern, begun)

    def _is_beside(self, request: Any) -> Beside | None:
        if self.beside is None:
            return None
        path = request.uri.partition(b"?")[0].decode("latin-1")
        return self.beside if self.beside.serves(path) else None

    async def _from_beside(self, beside: Beside, request: Any, number: str) -> tuple[Reply, str]:
        """The other API's answer, wherever the master is; and the pattern of the URI."""
        if request.too_large:
            raise BodyTooLarge
        reads = request.method in (b"GET", b"HEAD", b"OPTIONS")
        method = "GET" if reads else request.method.decode("latin-1")
        found, old = await self._elsewhere(request, method, not reads)
        if found is not None:
            return found, ""
        reply, pattern = await beside.answer(request, self._answering(old), _address(request), number)
        return attrs.evolve(reply, headers=(*reply.headers, *old)), pattern

    def _answering(self, old: object) -> Api:
        """
        What answers; from the past where nobody can be master.

        :raises NoMaster: there is nothing.
        """
        api = self.past if old else self._serving()
        if api is None:
            raise NoMaster("There is no master at present")
        return api

    async def _routed(
        self, request: Any, route: Route, names: Mapping[str, str], query: str, number: str
    ) -> Reply:
        method = request.method.decode("ascii", "replace").upper()
        endpoint = route.methods.get(method) if method in METHODS else None
        if endpoint is None:
            raise MethodNotImplemented(f"Method {method} is unsupported for path {request.uri.decode()}")
        found, old = await self._elsewhere(request, method, endpoint.waits)
        if found is not None:
            return found
        await self._authorize(request, endpoint)
        api = self._answering(old)
        body = _body(request, endpoint)
        call = Call(
            api=api,
            method=method,
            names=names,
            query=query,
            body=body,
            request_id=number,
            header=lambda name: _header(request, name),
        )
        as_of = api.answers.changes
        answer = endpoint.handler(call)
        reply = answer if isinstance(answer, Reply) else await answer
        if old:
            return attrs.evolve(reply, headers=(*reply.headers, *old))
        if endpoint.kept and method == "GET" and query in KEPT_QUERIES:
            api.answers.keep(request.uri, (reply, route.pattern), as_of, reply.size())
        return reply

    async def _elsewhere(
        self, request: Any, method: str, waits: bool
    ) -> tuple[Reply | None, tuple[tuple[bytes, bytes], ...]]:
        """
        What the master answers, where that is another; or that it is to be answered here, with headers that
        say how old what is known is.

        :raises NoMaster: there is none, and what is known does not do.
        """
        inner = _is_inner(request)
        if self.elsewhere is None or self._serving() is not None:
            return None, ()
        if inner:
            await self.elsewhere.coming(lambda: self._serving() is not None)
            return None, ()
        if request.too_large:
            raise BodyTooLarge
        try:
            client = _address(request)
            reply = await self.elsewhere.ask(request, client, lambda: self._serving() is not None, waits)
        except NoQuorum:
            if method != "GET" or self.past is None:
                raise
            request.content.seek(0)
            age = b"%d" % self.elsewhere.age()
            return None, ((b"Age", age), (b"Warning", b'110 - "Response is Stale"'))
        if reply is None:
            request.content.seek(0)
        return reply, ()

    async def _authorize(self, request: Any, endpoint: Endpoint) -> None:
        headers = request.requestHeaders.getRawHeaders(b"authorization")
        user: User | None = None
        if headers:
            user = await self._users.check(headers[0].decode("latin-1"), _address(request))
        if endpoint.access == "anyone" and not self._require:
            return
        if user is None:
            raise Unauthorized
        wanted = {"anyone": None, "reader": {"read", "write"}, "writer": {"write"}}[endpoint.access]
        if wanted is not None and not wanted & user.options:
            raise Forbidden


def _soon(error: RequestError, reply: Reply, request: Any) -> Reply:
    """An answer that also tells when to ask again, where that helps; other candidates are told why."""
    if not isinstance(error, NoMaster):
        return reply
    inner = ((NO_MASTER, b"1"),) if request.site.trusted is not None else ()
    return attrs.evolve(reply, headers=(*reply.headers, (b"Retry-After", b"1"), *inner))


def _is_inner(request: Any) -> bool:
    """
    Whether another candidate hands this on.

    :raises Forbidden: it came where only those ask, from somebody else.
    """
    trusted = request.site.trusted
    if trusted is None:
        return False
    if not trusted(request):
        raise Forbidden
    return True


def _address(request: Any) -> str:
    if request.site.trusted is not None:
        return _header(request, CLIENT.decode()) or ""
    return str(getattr(request.getClientAddress(), "host", ""))


def _header(request: Any, name: str) -> str | None:
    """A header of a request, the last one where it has several."""
    found = request.requestHeaders.getRawHeaders(name.encode("ascii"))
    return found[-1].decode("latin-1").strip() if found else None


class _Bug(RequestError):
    """Something that was not meant to happen."""

    status = 500


MOST_OF_ANYONE = 64 * 1024  # bytes of a body from who may be anyone: parsing takes time from all


def _body(request: Any, endpoint: Endpoint) -> Any:
    """The decoded body; ``None`` for an empty one."""
    if request.too_large:
        raise BodyTooLarge
    content: bytes = request.content.read()
    if endpoint.access == "anyone" and len(content) > MOST_OF_ANYONE:
        raise BodyTooLarge
    if not content:
        return None
    kind = request.requestHeaders.getRawHeaders(b"content-type", [b""])[0]
    if not _TYPES.fullmatch(kind.strip()):
        raise UnsupportedMediaType
    return parse(content)


class _Site(Site):
    """
    A site without the access log of twisted.web: `ApiResource` tells what is worth telling.

    It speaks HTTP/1 only, also where a library for HTTP/2 is installed: `Channel` keeps the limits.
    """

    noisy = False
    protocol: Any = Channel
    trusted: Callable[[Any], bool] | None = None

    def acceptableProtocols(self) -> list[bytes]:
        """What a client is offered by TLS."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Say nothing."""


def make_site(
    resource: ApiResource, clock: IReactorTime, trusted: Callable[[Any], bool] | None = None
) -> Site:
    """
    The site of a listener of the API; `clock` is what its connections are timed by.

    :param trusted: makes it the one for other candidates: whether a request came from one.
    """
    site = _Site(resource, requestFactory=ApiRequest, timeout=IDLE, reactor=clock)
    site.trusted = trusted
    return site
