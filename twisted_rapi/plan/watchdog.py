"""What the watchdog judges by: what should run and does not, and what runs and should not."""

from collections.abc import Iterable, Mapping

import attrs

from twisted_rapi.model.fate import WatchdogRecord
from twisted_rapi.model.records import (
    FINAL,
    InstanceRecord,
    JobRecord,
    NodeRecord,
    job_status,
)
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.plan.locks import Lock, LockTable

HOUR = 3600.0


@attrs.frozen(kw_only=True)
class WatchdogRules:
    """
    How the watchdog acts.

    :ivar wait: seconds an instance has to be down before it is started.
    :ivar starts: how often it is started within an hour; then it is left.
    """

    enabled: bool = True
    wait: float = 60.0
    starts: int = 3


@attrs.frozen(kw_only=True)
class Stranger:
    """A guest that runs where no record says it should: it is told of and never touched."""

    node: str
    name: str
    uuid: str
    why: str


def missing(instance: InstanceRecord, node: NodeRecord | None, reports: Mapping[str, NodeReport]) -> bool:
    """
    Whether an instance should run, and its node reports that it does not.

    Of a node that is silent, marked offline or has lost its hypervisor nothing is known.
    """
    wanted = instance.admin_state == "up" and not instance.forthcoming and instance.pending is None
    report = reports.get(instance.primary_node)
    if not wanted or node is None or node.offline or report is None:
        return False
    if instance.hypervisor not in report.hypervisors:
        return False
    domain = report.domains.get(instance.name)
    return domain is None or not domain.running


def elsewhere(instance: InstanceRecord, reports: Mapping[str, NodeReport]) -> str:
    """The uuid of another node that reports the instance as running; "" when none does."""
    for node, report in reports.items():
        domain = report.domains.get(instance.name)
        if node != instance.primary_node and domain is not None and domain.running:
            return node
    return ""


def strangers(
    node: NodeRecord, report: NodeReport, instances: Mapping[str, InstanceRecord]
) -> list[Stranger]:
    """What runs on a node and belongs to no instance, or to one that is to be on another node."""
    found = []
    for domain in report.domains.values():
        if not domain.running:
            continue
        instance = instances.get(domain.uuid)
        if instance is None:
            why = "it belongs to no instance"
        elif instance.primary_node != node.uuid:
            why = "its instance is to run on another node"
        else:
            continue
        found.append(Stranger(node=node.uuid, name=domain.name, uuid=domain.uuid, why=why))
    return found


def recent(record: WatchdogRecord | None, now: float) -> tuple[float, ...]:
    """When an instance was started within the last hour; a clock that was set back forgets no start."""
    return () if record is None else tuple(at for at in record.starts if abs(now - at) < HOUR)


def words(jobs: Iterable[JobRecord]) -> frozenset[str]:
    """Every text in the parameters of jobs that have not ended: what they may be about is among them."""
    found: set[str] = set()
    todo: list[object] = [
        op.input for job in jobs if job_status(job) not in FINAL for op in job.ops if op.status not in FINAL
    ]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict):
            todo.extend((*value, *value.values()))
        elif isinstance(value, (list, tuple)):
            todo.extend(value)
    return frozenset(found)


def under_way(instance: InstanceRecord, said: frozenset[str], locks: LockTable) -> bool:
    """
    Whether a job that has not ended is about the instance.

    :param said: see `words`.
    """
    name = instance.name
    short = {name[:at] for at, letter in enumerate(name) if letter == "."}  # as `View.find` has it
    if not said.isdisjoint({instance.uuid, name, *short}):
        return True
    return not locks.free(Lock("instance", name, shared=True))


def obstacle(
    instance: InstanceRecord,
    node: NodeRecord,
    reports: Mapping[str, NodeReport],
    starts: tuple[float, ...],
    rules: WatchdogRules,
) -> str:
    """Why an instance that is down is left so, whatever becomes of the queue; "" when it may be started."""
    if node.drained:
        return "its node is drained"
    if elsewhere(instance, reports):
        return "it runs on another node"
    if len(starts) >= rules.starts:
        return f"it was started {len(starts)} times within an hour"
    return ""
