"""The agent's listener: the node protocol as HTTP resources."""

from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from twisted_rapi.errors import RapiError
from twisted_rapi.model.seen import Sighting
from twisted_rapi.rpc import protocol
from twisted_rapi.rpc.authority import Role
from twisted_rapi.rpc.interface import PROTOCOL_VERSION, INodeAgent
from twisted_rapi.rpc.protocol import Refusal
from twisted_rapi.rpc.tls import peer_role


class _Malformed(RapiError):
    """A request that is not of the protocol."""


class _Request(Request):
    """A request whose body may not be larger than the limit; what is beyond it is not kept."""

    too_large = False

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body, up to the limit."""
        assert self.content is not None
        if self.too_large or self.content.tell() + len(data) > protocol.MOST_BYTES:
            self.too_large = True
            return
        super().handleContentChunk(data)


def _only_master(request: Request) -> Role | None:
    """The role of the caller, by the certificate it showed."""
    transport: Any = request.transport
    return peer_role(transport.getHandle() if hasattr(transport, "getHandle") else None)


class _Call(Resource):
    """One call of the protocol; `answer` says what it does."""

    isLeaf = True
    _log = Logger()

    def __init__(self, agent: INodeAgent, role_of: Any) -> None:
        super().__init__()
        self._agent = agent
        self._role_of = role_of

    def render_POST(self, request: Request) -> int:
        """Answer, in the end."""
        if self._role_of(request) is not Role.MASTER:
            _refuse(request, Refusal(error="forbidden", text="only a master may ask"))
            return NOT_DONE_YET
        d = Deferred.fromCoroutine(self._handle(request))
        request.notifyFinish().addErrback(lambda _: d.cancel())
        d.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _handle(self, request: Request) -> None:
        terms = request.requestHeaders.getRawHeaders(protocol.TERM.encode(), [])
        if len(terms) != 1 or not terms[0].isdigit() or len(terms[0]) > 18:
            raise _Malformed(f"one term has to be given in {protocol.TERM}")
        await self.answer(request, int(terms[0]))

    async def answer(self, request: Request, term: int) -> None:
        """Carry the call out and write the answer."""
        raise NotImplementedError

    def _failed(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError):
            request.loseConnection()  # the node ends, if it was not the caller
            return
        error = failure.value
        if isinstance(error, (_Malformed, msgspec.DecodeError)):
            _refuse(request, Refusal(error="malformed", text=str(error)))
        elif isinstance(error, RapiError):
            _refuse(request, protocol.refusal_of(error))
        else:
            self._log.failure("a call met a bug", failure)
            _refuse(request, Refusal(error="internal", text="internal error of the agent"))


def _refuse(request: Request, refusal: Refusal) -> None:
    if request.channel is None or request.finished:
        return
    if request.startedWriting:  # a watch, which ends with the reason
        request.unregisterProducer()
        request.write(protocol.encode(refusal) + b"\n")
        request.finish()
        return
    request.setResponseCode(protocol.STATUS[refusal.error])
    _write(request, protocol.encode(refusal))


def _write(request: Request, body: bytes) -> None:
    request.setHeader("content-type", protocol.MEDIA_TYPE)
    request.write(body)
    request.finish()


class Perform(_Call):
    """``POST /rpc/1/perform``."""

    async def answer(self, request: Request, term: int) -> None:
        """Carry a step out."""
        assert request.content is not None
        if getattr(request, "too_large", False):
            raise _Malformed("the step is too large")
        outcome = await self._agent.perform(protocol.decode_step(request.content.read()), term)
        _write(request, protocol.encode(outcome))


@implementer(IPushProducer)
class _Flow:
    """
    Sightings on their way to a master, who may be slow.

    What cannot be sent is kept up to `protocol.MOST_BYTES`; a master that is further behind is cut off, as it
    may be one that was stopped for good, and begins anew if it is not.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._paused = False
        self._kept = 0

    def write(self, line: bytes) -> None:
        """Send a line, or keep it."""
        if self._paused:
            self._kept += len(line)
            if self._kept > protocol.MOST_BYTES:
                self._request.channel.forceAbortClient()
                return
        self._request.write(line)

    def pauseProducing(self) -> None:
        """What is written from now on is kept."""
        self._paused = True

    def resumeProducing(self) -> None:
        """What was kept has been sent."""
        self._paused, self._kept = False, 0

    def stopProducing(self) -> None:
        """The connection ends; the request tells so."""


class Watch(_Call):
    """``POST /rpc/1/watch``; answered for as long as the master listens."""

    async def answer(self, request: Request, term: int) -> None:
        """Write a line for each sighting."""
        flow = _Flow(request)

        def seen(sighting: Sighting) -> None:
            if not request.startedWriting:
                request.setHeader("content-type", protocol.MEDIA_TYPE)
                request.registerProducer(flow, True)
            flow.write(protocol.encode(sighting) + b"\n")

        await self._agent.watch(term, seen)


class _Nothing(Resource):
    """Any other path: perhaps of another version of the protocol."""

    isLeaf = True

    def render(self, request: Request) -> int:
        """Say that it is not spoken here."""
        asked = request.path.decode("ascii", "replace")[:80]
        text = f"this agent speaks version {PROTOCOL_VERSION} of the node protocol, which has no {asked}"
        _refuse(request, Refusal(error="mismatch", text=text))
        return NOT_DONE_YET


class _Root(_Nothing):
    isLeaf = False

    def getChild(self, path: bytes, request: Any) -> IResource:
        """Whatever is not a call."""
        return _Nothing()


class _Site(Site):
    """Without an access log: what is done is told by who does it."""

    noisy = False

    def log(self, request: Any) -> None:
        """Say nothing."""


def make_site(agent: INodeAgent, clock: IReactorTime, role_of: Any = _only_master) -> Site:
    """
    The site of an agent's listener.

    :param clock: what its connections are timed by.
    :param role_of: the role of who sends a request; by default as its certificate says.
    """
    root, rpc, version = _Root(), _Root(), _Root()
    _, name, number = protocol.PREFIX.split("/")
    root.putChild(name.encode(), rpc)
    rpc.putChild(number.encode(), version)
    version.putChild(b"perform", Perform(agent, role_of))
    version.putChild(b"watch", Watch(agent, role_of))
    return _Site(root, requestFactory=_Request, reactor=clock)
