"""The whole API in memory: raw requests in, raw answers out."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import StringTransport

from tests.unit.web.schemas import judge
from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.events import Events
from twisted_rapi.testing.cluster import FakeCluster, make_cluster
from twisted_rapi.testing.file_watch import LookedAt
from twisted_rapi.web.auth import Users
from twisted_rapi.web.call import Api, Route
from twisted_rapi.web.openapi.route import with_document
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2
from twisted_rapi.web.site import ApiResource, make_site

USERS = "admin secret write\nviewer secret read\nnobody secret\n"


@attrs.frozen
class Answer:
    """A parsed answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Browser:
    """Sends requests to the API of a cluster in memory."""

    def __init__(
        self,
        folder: Path,
        cluster: FakeCluster | None = None,
        require: bool = False,
        more: Callable[[FakeCluster], Sequence[Route]] = lambda _: (),
    ) -> None:
        self.cluster = cluster or make_cluster()
        file = folder / "users"
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(USERS)
        self.watch = LookedAt()
        self.users = Users(file, self.cluster.clock, maybeDeferred, self.watch)
        Deferred.fromCoroutine(self.users.refresh())
        self.resource = ApiResource(
            with_document((*ROUTES, *ROUTES_OF_1_2, *more(self.cluster)), at_once=False),
            self.users,
            self.cluster.clock,
            Random(1),
            require_authentication=require,
        )
        answers = Answers(self.cluster.snapshot, self.cluster.nodes, self.cluster.now, Random(2))
        cluster = self.cluster
        events = Events(
            cluster.store, cluster.snapshot, cluster.nodes, cluster.table, cluster.clock, answers.view
        )
        self.resource.api = Api(cluster.cluster, answers, events, cluster.now)
        self.site = make_site(self.resource, self.cluster.clock)

    def raw(self, data: bytes) -> bytes:
        """What the server sends for these bytes."""
        transport: Any = StringTransport()
        protocol: Any = self.site.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(data)
        sent: bytes = transport.value()
        return sent

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        user: str | None = "admin",
        data: bytes | None = None,
        media_type: str | None = "application/json",
        **headers: str,
    ) -> Answer:
        """The answer to one request, which is as documented; a `body` is sent as JSON, `data` as it is."""
        content = data if data is not None else (b"" if body is None else json.dumps(body).encode())
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: x",
            f"Content-Length: {len(content)}",
            "Connection: close",
        ]
        if user is not None:
            lines.append("Authorization: Basic " + base64.b64encode(f"{user}:secret".encode()).decode())
        if media_type is not None and content:
            lines.append(f"Content-Type: {media_type}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sent = self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content)
        answer = parse(sent)
        judge(method, path, answer)
        return answer

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The job that a request submits, once it has ended."""
        job = self.ask(method, path, body).json()
        return self.ask("GET", f"/2/jobs/{job}").json()


def parse(sent: bytes) -> Answer:
    """An answer from the wire."""
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)
