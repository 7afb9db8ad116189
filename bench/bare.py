"""The yardstick: a bare twisted.web resource over TLS that answers fixed bytes.  Run as a process."""

import sys
from pathlib import Path

from twisted.internet import endpoints, ssl
from twisted.web.resource import Resource
from twisted.web.server import Request, Site


class Fixed(Resource):
    """The same bytes to every GET."""

    isLeaf = True

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def render_GET(self, request: Request) -> bytes:
        """The bytes, with the headers an API answer has."""
        request.setHeader(b"content-type", b"application/json")
        return self._body


def main(port: str, pem: str, body: str) -> None:
    """Serve the bytes of the file `body` on `port` until killed."""
    from twisted.internet import reactor

    certificate = ssl.PrivateCertificate.loadPEM(Path(pem).read_text())
    endpoint = endpoints.SSL4ServerEndpoint(reactor, int(port), certificate.options(), interface="127.0.0.1")
    endpoint.listen(Site(Fixed(Path(body).read_bytes())))
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:])
