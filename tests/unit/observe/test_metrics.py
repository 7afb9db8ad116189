"""Tests of `twisted_rapi.observe.metrics` and its site."""

from typing import Any

from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.records import JobRecord, JobStatus, OpRecord
from twisted_rapi.observe.metrics import Metrics, ReactorLag
from twisted_rapi.observe.site import make_site


def job(status: JobStatus, end: tuple[int, int] | None) -> JobRecord:
    """A job of one opcode."""
    op = OpRecord(input={"OP_ID": "OP_TAGS_SET"}, summary="TAGS_SET", status=status)
    return JobRecord(id=1, ops=(op,), received_ts=(10, 0), start_ts=(10, 500000), end_ts=end)


class MetricsTests(SynchronousTestCase):
    """What is counted is shown."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.wrong = ""
        site = make_site(self.metrics, {"store": lambda: self.wrong}, {"master": lambda: ""}, Clock())
        self.http: Any = StubTreq(site.resource)

    def get(self, path: str) -> tuple[int, str]:
        response = self.successResultOf(self.http.get(f"http://127.0.0.1/{path}"))
        return response.code, self.successResultOf(response.text())

    def test_request(self) -> None:
        """Requests are counted by route."""
        self.metrics.request("GET", "/2/info", 200, 0.002)
        code, text = self.get("metrics")
        self.assertEqual(code, 200)
        self.assertIn('rapi_requests_total{method="GET",route="/2/info",status="200"} 1.0', text)

    def test_job(self) -> None:
        """Only a job that has ended is counted, with its duration."""
        self.metrics.job_changed(job("running", None))
        self.metrics.job_changed(job("success", (12, 0)))
        text = self.get("metrics")[1]
        self.assertIn('rapi_jobs_ended_total{operation="OP_TAGS_SET",status="success"} 1.0', text)
        self.assertIn('rapi_job_seconds_sum{operation="OP_TAGS_SET"} 1.5', text)
        self.assertIn("rapi_job_start_seconds_sum 0.5", text)

    def test_terms(self) -> None:
        """Each term that begins is counted."""
        self.metrics.term_began()
        self.assertIn("rapi_terms_total 1.0", self.get("metrics")[1])

    def test_gauge(self) -> None:
        """A gauge is asked for when metrics are read, not before."""
        asked: list[int] = []

        def values() -> dict[tuple[str, ...], float]:
            asked.append(1)
            return {("queued",): 3.0}

        self.metrics.gauge("rapi_jobs", "Jobs.", ("status",), values)
        self.assertEqual(asked, [])
        self.assertIn('rapi_jobs{status="queued"} 3.0', self.get("metrics")[1])

    def test_health(self) -> None:
        """A check that finds something wrong is 503 with its words."""
        self.assertEqual(self.get("healthy"), (200, "store: ok\n"))
        self.wrong = "the disk is full"
        self.assertEqual(self.get("healthy"), (503, "store: the disk is full\n"))
        self.assertEqual(self.get("ready"), (200, "master: ok\n"))

    def test_lag(self) -> None:
        """A late timer is seen as lag."""
        clock = Clock()
        lag = ReactorLag(self.metrics, clock)
        lag.startService()
        clock.advance(1.0)
        clock.advance(1.75)
        lag.stopService()
        self.assertIn("rapi_reactor_lag_seconds_sum 0.75", self.get("metrics")[1])
        self.assertEqual(clock.getDelayedCalls(), [])
