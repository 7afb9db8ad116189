"""Whatever PVC's API is asked, it answers, and never with a failure inside."""

from pathlib import Path
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import parse
from tests.unit.web.pvc.http import FORM, PvcBrowser
from tests.unit.web.pvc.network_case import FRONT
from tests.unit.web.test_api import CREATION
from twisted_rapi.web.pvc.endpoints import PREFIX
from twisted_rapi.web.pvc.routes import ENDPOINTS

NAMES = st.sampled_from(
    ["web1.example.com", "node1.example.com", "nope", "0" * 32, "100", "front", "rbd", "v", "0", "--all"]
) | st.text(max_size=12)
VALUES = st.sampled_from(
    [
        "primary",
        "true",
        "",
        "start",
        "(a+)+$",
        "[",
        "\0",
        "managed",
        "10.9.0.1",
        "in",
        "accept",
        "rbd",
        "v",
        "20G",
        "8",
        "1e400",
    ]
) | st.text(max_size=12)
FIELDS = sorted({value.name for endpoint in ENDPOINTS for value in endpoint.values} | {"token"})
PAIRS = st.lists(st.tuples(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES), max_size=4)
PATHS = sorted({endpoint.path for endpoint in ENDPOINTS})


def _text(value: str) -> str:
    return quote(value.encode("utf-8", "replace"), safe="")


def encoded(pairs: list[tuple[str, str]]) -> str:
    """A form, or a query."""
    return "&".join(f"{_text(name)}={_text(value)}" for name, value in pairs)


class GeneratedTests(SynchronousTestCase):
    """Odd and fitting requests."""

    def setUp(self) -> None:
        """A cluster with a machine, open to all."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)
        self.browser.rapi.done("POST", "/2/instances", CREATION)
        self.browser.ask("POST", "/network", form=FRONT)
        form = {"pool": "rbd", "volume": "v", "size": "1G"}
        self.browser.ask("POST", "/storage/ceph/volume", form=form)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(["GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
        st.sampled_from(PATHS) | st.text(max_size=10).map(lambda text: "/" + quote(text, safe="/")),
        NAMES,
        PAIRS,
        PAIRS,
        st.sampled_from(["", "pvc/0.6", "pvc/1.0"]),
    )
    def test_answered(
        self,
        method: str,
        path: str,
        name: str,
        query: list[tuple[str, str]],
        form: list[tuple[str, str]],
        agent: str,
    ) -> None:
        """There is an answer that is none of 500, and what is JSON can be read."""
        parts = [_text(name) if part.startswith("<") else part for part in path.split("/")]
        uri = f"{PREFIX}{'/'.join(parts)}?{encoded(query)}"
        sent = self.browser.waited(method, uri, encoded(form).encode(), FORM, 40, User_Agent=agent)
        answer = parse(sent)
        self.assertNotEqual(answer.status, 500, uri)
        if answer.headers.get("content-type") == "application/json" and method != "HEAD":
            answer.json()
