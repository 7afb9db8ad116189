"""PVC's API in memory, beside RAPI."""

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import StringTransport

from tests.unit.web.http import Answer, Browser, parse
from twisted_rapi.config import PvcSection
from twisted_rapi.testing.cluster import FakeCluster
from twisted_rapi.web.pvc.making import make_side
from twisted_rapi.web.pvc.tokens import new_token

TOKEN = "0955b2a5-1ce2-4a54-9a4e-8d1e61e1a001"  # as captured
FORM = "application/x-www-form-urlencoded"


class PvcBrowser:
    """
    Sends requests to PVC's API of a cluster in memory.

    :ivar rapi: the same for RAPI.
    """

    def __init__(
        self,
        folder: Path,
        cluster: FakeCluster | None = None,
        dialect: Literal["seed", "0.6", "1.0"] = "seed",
        authentication: bool = False,
        tokens: tuple[str, ...] = (TOKEN,),
    ) -> None:
        self.rapi = Browser(folder, cluster)
        self.cluster = self.rapi.cluster
        self.file = folder / "pvc-tokens"
        self.file.write_text("".join(f"{new_token(token, 'one').line()}\n" for token in tokens))
        section = PvcSection(
            enabled=True, dialect=dialect, authentication=authentication, tokens=str(self.file)
        )
        watch = self.rapi.watch
        self.side, self.tokens = make_side(section, self.cluster.clock, maybeDeferred, watch)
        self.rapi.resource.beside = self.side
        self.refresh()

    def refresh(self) -> None:
        """Read the tokens again."""
        Deferred.fromCoroutine(self.tokens.refresh())

    def raw(self, method: str, path: str, data: bytes = b"", media_type: str = FORM, **headers: str) -> bytes:
        """What the server sends; nothing while it waits."""
        return self.waited(method, path, data, media_type, 0, **headers)

    def waited(
        self, method: str, path: str, data: bytes, media_type: str, most: int, **headers: str
    ) -> bytes:
        """What the server sends, within so many half seconds."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}", "Connection: close"]
        if data:
            lines.append(f"Content-Type: {media_type}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        transport: Any = StringTransport()
        protocol: Any = self.rapi.site.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data)
        for _ in range(most):
            if transport.value():
                break
            self.cluster.clock.advance(0.5)
        sent: bytes = transport.value()
        return sent

    def ask(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        """The answer to one request below ``/api/v1``."""
        uri = f"/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        return parse(self.raw(method, uri, urlencode(form or {}).encode(), **headers))
