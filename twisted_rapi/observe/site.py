"""The listener for those who watch over the daemon: ``/metrics``, ``/healthy`` and ``/ready``."""

from collections.abc import Callable, Mapping

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from twisted_rapi.observe.metrics import Metrics

Check = Callable[[], str]
"""Answers what is wrong, in words; empty when nothing is."""


class _Text(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[], tuple[int, str, bytes]]) -> None:
        super().__init__()
        self._answer = answer

    def render_GET(self, request: Request) -> bytes:
        status, kind, body = self._answer()
        request.setResponseCode(status)
        request.setHeader(b"content-type", kind.encode("ascii"))
        return body


def _checked(checks: Mapping[str, Check]) -> tuple[int, str, bytes]:
    results = {name: check() for name, check in checks.items()}
    lines = "".join(f"{name}: {wrong or 'ok'}\n" for name, wrong in results.items())
    return 503 if any(results.values()) else 200, "text/plain; charset=utf-8", lines.encode()


def make_site(
    metrics: Metrics, healthy: Mapping[str, Check], ready: Mapping[str, Check], clock: IReactorTime
) -> Site:
    """
    The site, whose connections are timed by `clock`.

    `healthy` says whether the process works at all, `ready` whether it can serve requests.
    Both answer 200, or 503 when a check says something is wrong, with a line a check.
    """
    root = Resource()
    root.putChild(b"metrics", _Text(lambda: (200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))))
    root.putChild(b"healthy", _Text(lambda: _checked(healthy)))
    root.putChild(b"ready", _Text(lambda: _checked(ready)))
    site = Site(root, reactor=clock)
    site.noisy = False
    return site
