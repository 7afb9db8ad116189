"""Metrics in Prometheus's text form, with a registry of their own."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from twisted_rapi.model.records import FINAL, JobRecord, job_status

SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)

Gauges = Callable[[], Mapping[tuple[str, ...], float]]


class Metrics:
    """
    What the daemon counts.  Durations are seconds.

    :ivar registry: what ``/metrics`` shows.
    """

    def __init__(self) -> None:
        self.registry = new = CollectorRegistry()
        self._requests = Counter(
            "rapi_requests", "Requests answered.", ["method", "route", "status"], registry=new
        )
        self._request_time = Histogram(
            "rapi_request_seconds", "Time to answer.", ["method", "route"], buckets=SHORT, registry=new
        )
        self._jobs = Counter("rapi_jobs_ended", "Jobs that ended.", ["status", "operation"], registry=new)
        self._job_time = Histogram(
            "rapi_job_seconds", "From start to end of a job.", ["operation"], buckets=LONG, registry=new
        )
        self._start_time = Histogram(
            "rapi_job_start_seconds", "From acceptance to start of a job.", buckets=SHORT, registry=new
        )
        self._rpc = Counter("rapi_rpc_calls", "Steps asked of nodes.", ["step", "outcome"], registry=new)
        self._rpc_time = Histogram(
            "rapi_rpc_seconds", "Time a node took.", ["step"], buckets=LONG, registry=new
        )
        self._terms = Counter("rapi_terms", "Terms that this candidate was master for.", registry=new)
        self._commits = Counter("rapi_store_commits", "Commits to the store.", ["outcome"], registry=new)
        self._commit_time = Histogram(
            "rapi_store_commit_seconds", "Until a commit was durable.", buckets=SHORT, registry=new
        )
        self.lag = Histogram(
            "rapi_reactor_lag_seconds", "How late a timer of the reactor fires.", buckets=SHORT, registry=new
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is its pattern, not its URI."""
        self._requests.labels(method, route, status).inc()
        self._request_time.labels(method, route).observe(seconds)

    def job_changed(self, job: JobRecord) -> None:
        """A job is now as given; counted when that is final."""
        status = job_status(job)
        if status not in FINAL or job.end_ts is None:
            return
        operation = str(job.ops[0].input.get("OP_ID", "")) if job.ops else ""
        self._jobs.labels(status, operation).inc()
        if job.start_ts is not None:
            self._job_time.labels(operation).observe(_between(job.start_ts, job.end_ts))
            self._start_time.observe(_between(job.received_ts, job.start_ts))

    def rpc(self, step: str, outcome: str, seconds: float) -> None:
        """A node was asked to carry out a step."""
        self._rpc.labels(step, outcome).inc()
        self._rpc_time.labels(step).observe(seconds)

    def commit(self, outcome: str, seconds: float) -> None:
        """The store was asked to commit."""
        self._commits.labels(outcome).inc()
        self._commit_time.observe(seconds)

    def term_began(self) -> None:
        """This candidate has become master."""
        self._terms.inc()

    def gauge(self, name: str, text: str, labels: Iterable[str], values: Gauges) -> None:
        """Show what `values` gives, asked whenever metrics are read; keyed by the values of `labels`."""
        self.registry.register(_Asked(name, text, tuple(labels), values))


def _between(start: tuple[int, int], end: tuple[int, int]) -> float:
    return max(0.0, end[0] - start[0] + (end[1] - start[1]) / 1e6)


class _Asked(Collector):
    """Gauges that are computed when they are read."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], values: Gauges) -> None:
        self._name, self._text, self._labels, self._values = name, text, labels, values

    def describe(self) -> Iterable[Metric]:
        """The shape, without asking for values (at registration nothing may be there yet)."""
        return [GaugeMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        """The values as of now."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in self._values().items():
            family.add_metric(list(labels), value)
        return [family]


class ReactorLag(Service):
    """Measures each second how late the reactor is."""

    def __init__(self, metrics: Metrics, clock: IReactorTime) -> None:
        self._metrics = metrics
        self._clock = clock
        self._expected = 0.0
        self._loop = LoopingCall(self._fired)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin to measure."""
        super().startService()
        self._expected = self._clock.seconds() + 1.0
        self._loop.start(1.0, now=False)

    def stopService(self) -> None:
        """End."""
        if self._loop.running:
            self._loop.stop()
        super().stopService()

    def _fired(self) -> None:
        now = self._clock.seconds()
        self._metrics.lag.observe(max(0.0, now - self._expected))
        self._expected = now + 1.0
