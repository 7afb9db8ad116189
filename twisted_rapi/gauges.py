"""What the daemon shows of itself as figures, whenever they are asked for."""

from collections import Counter
from collections.abc import Callable, Mapping

from twisted_rapi.addressing import Addressing
from twisted_rapi.jobs.executor import Executor
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.records import job_status
from twisted_rapi.observe.metrics import Metrics
from twisted_rapi.rpc.nodes import Nodes
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.web.site import ApiResource

_Labelled = Mapping[tuple[str, ...], float]


class Gauges:
    """
    The figures of jobs, locks, nodes, the watchdog, the mastership and the floating address.

    :param serving: the term being served here.
    :ivar term: what the term that began last works with, if one has.
    """

    def __init__(self, addressing: Addressing, serving: Callable[[], int | None]) -> None:
        self._addressing, self._serving = addressing, serving
        self.term: tuple[JobTable, Executor] | None = None

    def add_to(self, metrics: Metrics, snapshot: Snapshot, nodes: Nodes, resource: ApiResource) -> None:
        """Have them shown."""
        metrics.gauge("rapi_jobs", "Jobs that are not archived.", ("status",), self._jobs)
        metrics.gauge("rapi_locks", "Locks held, and jobs that wait for some.", ("what",), self._locks)
        metrics.gauge(
            "rapi_nodes",
            "Nodes, and those that answer.",
            ("what",),
            lambda: {("known",): len(snapshot.nodes), ("answering",): len(nodes.reports)},
        )
        metrics.gauge(
            "rapi_watchdog",
            "Instances that are down and should run, those left so, and guests that are unknown.",
            ("what",),
            lambda: _watched(resource),
        )
        text = "The cluster's term, and whether this candidate has it."
        metrics.gauge("rapi_master", text, ("what",), lambda: self._master(snapshot))
        text = "Whether the floating address is served here, for how many seconds, others' claims of it."
        metrics.gauge("rapi_address", text, ("what",), self._addressing.measured)

    def _master(self, snapshot: Snapshot) -> _Labelled:
        term = 0 if snapshot.election is None else snapshot.election.term
        return {("term",): term, ("here",): self._serving() is not None}

    def _jobs(self) -> _Labelled:
        table = () if self.term is None else self.term[0]
        return {(status,): count for status, count in Counter(map(job_status, table)).items()}

    def _locks(self) -> _Labelled:
        return {} if self.term is None else {(k,): v for k, v in self.term[1].counts.items()}


def _watched(resource: ApiResource) -> _Labelled:
    """What the watchdog of the term sees."""
    if resource.api is None:
        return {}
    watchdog = resource.api.cluster.watchdog
    down = watchdog.down()
    left = sum(1 for each in down if each.left)
    return {("down",): len(down), ("left",): left, ("unknown",): len(watchdog.strangers())}
