"""What could not be cleaned away because a node did not answer, and when it can be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import NAMESPACE_OID, uuid5

import msgspec

from twisted_rapi.model.records import DetachedDiskRecord, DiskRecord, InstanceRecord, LeftoverRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.model.steps import AnyStep, DeactivateVolume, DeleteVolume, DiskSpec, Outcome, StopDomain
from twisted_rapi.plan.stage import Do, InSequence
from twisted_rapi.plan.view import View


def leftovers(
    done: Sequence[Do], outcomes: Sequence[Outcome | None], reason: str
) -> tuple[LeftoverRecord, ...]:
    """
    Records of the steps that have no outcome; the same steps always have the same record.

    :param done: the steps of a `twisted_rapi.plan.stage.Perform`; `outcomes` are those it gave.
    """
    given = [*outcomes, *[None] * (len(done) - len(outcomes))]
    by_node: dict[str, list[Do]] = {}
    for do, outcome in zip(done, given, strict=True):
        if outcome is None:
            by_node.setdefault(do.node, []).append(do)
    return tuple(_record(node, failed, reason) for node, failed in sorted(by_node.items()))


def _record(node: str, failed: Sequence[Do], reason: str) -> LeftoverRecord:
    steps = tuple(msgspec.to_builtins(do.step) for do in failed)
    name = f"{node} {msgspec.json.encode(steps, order='sorted').decode()}"
    return LeftoverRecord(uuid=str(uuid5(NAMESPACE_OID, name)), node=node, reason=reason, steps=steps)


def warnings(left: Sequence[LeftoverRecord], view: View) -> tuple[str, ...]:
    """What a job's log says of leftovers."""
    return tuple(
        f" - WARNING: {record.reason}: work is left for node {view.nodes[record.node].name}"
        for record in left
    )


def outdated(
    record: LeftoverRecord,
    instances: Mapping[str, InstanceRecord],
    detached: Mapping[str, DetachedDiskRecord] | None = None,
) -> bool:
    """
    Whether what a leftover would remove is in use again: its node has the instance's disk or guest now.

    A detached disk is not to be removed either.

    An instance may have come back to the node its leftovers are for, with its disks under their old names.
    """
    for step in msgspec.convert(record.steps, tuple[AnyStep, ...]):
        match step:
            case DeleteVolume() | DeactivateVolume():
                if any(_has(i, record.node, step.disk) for i in instances.values()):
                    return True
                kept = (detached or {}).get(step.disk.uuid)
                if isinstance(step, DeleteVolume) and kept is not None and record.node in kept.nodes:
                    return _is_one_of(step.disk, [kept.disk])
            case StopDomain():
                instance = instances.get(step.instance_uuid)
                if instance is not None and instance.primary_node == record.node and not step.boot:
                    return True
    return False


def _has(instance: InstanceRecord, node: str, disk: DiskSpec) -> bool:
    if node not in (instance.primary_node, *instance.secondary_nodes):
        return False
    return _is_one_of(disk, instance.disks)


def _is_one_of(disk: DiskSpec, disks: Iterable[DiskRecord]) -> bool:
    parts = [part for whole in disks for part in (whole, *whole.children)]
    return any(d.uuid == disk.uuid and list(d.logical_id) == list(disk.logical_id) for d in parts)


def due(
    left: Mapping[str, LeftoverRecord], reports: Mapping[str, NodeReport]
) -> Iterator[tuple[LeftoverRecord, InSequence]]:
    """The leftovers of nodes that answer, with the work that settles each."""
    for record in tuple(left.values()):
        if record.node in reports:
            steps = msgspec.convert(record.steps, tuple[AnyStep, ...])
            yield record, InSequence(tuple(Do(record.node, step) for step in steps))
