"""What clients of a simulation may not be shown, and what its watchdogs may not do."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from twisted_rapi.cluster.watchdog import SOURCE
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import FINAL, InstanceRecord, JobRecord, job_key, job_status
from twisted_rapi.testing.nodes import FakeNode
from twisted_rapi.testing.simulation.daemon import WATCHDOG, Daemon


class ReadJudge:
    """Clients that look at all that is answered, at any moment."""

    def __init__(self, complaints: list[str]) -> None:
        self._complaints = complaints
        self._newest = 0
        self._seen: object = None

    def look(self, daemons: Iterable[Daemon], acknowledged: Collection[int]) -> None:
        """What a master shows is not older than what was shown before, and has every accepted job."""
        for daemon in daemons:
            cluster, term = daemon.cluster, daemon.term
            if cluster is None or term is None or daemon.process.stopped:
                continue
            shown = cluster.snapshot.revision
            if shown < self._newest:
                self._complaints.append(f"term {term} shows revision {shown} after {self._newest}")
            self._newest = max(self._newest, shown)
            if self._seen != (seen := (term, len(acknowledged))):
                self._seen = seen
                hidden = set(acknowledged).difference(job.id for job in cluster.jobs())
                self._complaints += [f"term {term} does not show job {job_id}" for job_id in sorted(hidden)]


class WatchdogJudge:
    """
    Looks at the jobs that watchdogs make; no schedule takes longer than an hour.

    :param record: what the store has under a key.
    :ivar starts: how many of each instance there were.
    """

    def __init__(
        self,
        nodes: Mapping[str, FakeNode],
        record: Callable[[str], Record | None],
        complaints: list[str],
    ) -> None:
        self._nodes, self._record, self._complaints = nodes, record, complaints
        self._last: dict[str, int] = {}
        self.starts = Counter[str]()

    def submitted(self, job: JobRecord) -> None:
        """A job is in the store now."""
        told = job.ops[0].input
        if told["reason"][0][0] != SOURCE:
            return
        uuid, name = told["instance_uuid"], told["instance_name"]
        record = self._record(f"{InstanceRecord.KIND}/{uuid}")
        last = self._record(job_key(self._last.get(uuid, 0)))
        for node, fake in self._nodes.items():
            there = any(domain.uuid == uuid for domain in fake.domains.values())
            if there and not (isinstance(record, InstanceRecord) and record.primary_node == node):
                self._complain(f"{name}, which runs on {node[-1]}")
        if isinstance(last, JobRecord) and job_status(last) not in FINAL:
            self._complain(f"{name} twice at once")
        self._last[uuid] = job.id
        self.starts[uuid] += 1
        if self.starts[uuid] > WATCHDOG.starts:
            self._complain(f"{name} {self.starts[uuid]} times within an hour")

    def down(self, records: Iterable[Record]) -> list[str]:
        """What should run and does not, but for what a watchdog may not start any more."""
        return [
            f"{record.name} is down"
            for record in records
            if isinstance(record, InstanceRecord)
            and record.admin_state == "up"
            and record.name not in self._nodes[record.primary_node].domains
            and self.starts[record.uuid] < WATCHDOG.starts
        ]

    def _complain(self, what: str) -> None:
        self._complaints.append(f"a watchdog starts {what}")
