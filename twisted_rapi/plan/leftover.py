"""What could not be cleaned away because a node did not answer, and when it can be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import msgspec

from twisted_rapi.model.records import DetachedDiskRecord, DiskRecord, InstanceRecord, LeftoverRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.model.steps import AnyStep, DeactivateVolume, DeleteVolume, DiskSpec, Outcome, StopDomain
from twisted_rapi.plan.disks import LOCAL
from twisted_rapi.plan.locks import Lock
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


def due(left: Mapping[str, LeftoverRecord], reports: Mapping[str, NodeReport]) -> Iterator[LeftoverRecord]:
    """The leftovers of nodes that answer."""
    yield from (record for record in tuple(left.values()) if record.node in reports)


def locks_for(record: LeftoverRecord, instances: Mapping[str, InstanceRecord]) -> frozenset[Lock]:
    """
    The locks of the instances it is about, as they were called then and are called now.

    Jobs make volumes before a record says where they are, and under names that an instance had before: only
    who has its lock knows that nothing of it is being made.
    """
    steps = _steps(record)
    uuids = {step.instance_uuid for step in steps if isinstance(step, StopDomain)}
    uuids |= {step.disk.uuid for step in steps if isinstance(step, DeleteVolume | DeactivateVolume)}
    names = {step.instance for step in steps if step.instance}
    for instance in instances.values():
        if instance.uuid in uuids or any(disk.uuid in uuids for disk in instance.disks):
            names.add(instance.name)
    return frozenset(Lock("instance", name) for name in names)


def stops(record: LeftoverRecord) -> dict[str, StopDomain]:
    """What of it stops a guest, by the uuid of the instance."""
    return {step.instance_uuid: step for step in _steps(record) if isinstance(step, StopDomain)}


def work_of(
    record: LeftoverRecord,
    instances: Mapping[str, InstanceRecord],
    detached: Mapping[str, DetachedDiskRecord],
) -> InSequence:
    """
    What of a leftover is still to be done: what is in use again is left alone, and what is detached is kept.

    An instance may have come back to the node its leftovers are for, with its disks under their old names.
    This holds while nobody else has the locks of `locks_for`.
    """
    steps = (step for step in _steps(record) if not _in_use(record.node, step, instances))
    kept = (record.node, detached.values())
    due_now = (step for step in steps if not (isinstance(step, DeleteVolume) and _is_kept(step.disk, *kept)))
    return InSequence(tuple(Do(record.node, step) for step in due_now))


def _steps(record: LeftoverRecord) -> tuple[AnyStep, ...]:
    return msgspec.convert(record.steps, tuple[AnyStep, ...])


def _in_use(node: str, step: AnyStep, instances: Mapping[str, InstanceRecord]) -> bool:
    match step:
        case DeleteVolume() | DeactivateVolume():
            addresses = _addresses(step.disk)
            shared = isinstance(step, DeleteVolume)  # others let go of it on their own node only
            return any(_has(instance, node, addresses, shared) for instance in instances.values())
        case StopDomain():
            found = instances.get(step.instance_uuid)
            return found is not None and found.primary_node == node and not step.boot
    return False


Address = tuple[Any, ...]
"""A template, and where it keeps something."""


def doomed(left: Iterable[LeftoverRecord], address: Address, node: str) -> bool:
    """
    Whether something is to be removed as soon as another node answers.

    :param address: where it is; what is not shared is meant on the node (a uuid).
    """
    return any(
        isinstance(step, DeleteVolume) and address in _addresses(step.disk)
        for record in left
        if record.node == node or address[0] not in LOCAL
        for step in _steps(record)
    )


def _addresses(disk: DiskSpec) -> set[Address]:
    """Of a disk, and of the volumes below it."""
    return {(part.template, *part.logical_id) for part in (disk, *disk.children)}


def _parts(disks: Iterable[DiskRecord]) -> Iterator[DiskRecord]:
    for disk in disks:
        yield disk
        yield from disk.children


def _address(part: DiskRecord) -> Address:
    return (part.dev_type, *part.logical_id)


def _has(instance: InstanceRecord, node: str, addresses: set[Address], shared: bool) -> bool:
    """
    Whether the instance has something of it on this node: a disk, or a volume of one.

    :param shared: what all nodes reach counts wherever the instance is.
    """
    here = node in (instance.primary_node, *instance.secondary_nodes)
    has = (_address(part) for part in _parts(instance.disks))
    return any(address in addresses for address in has if here or (shared and address[0] not in LOCAL))


def _is_kept(disk: DiskSpec, node: str, detached: Iterable[DetachedDiskRecord]) -> bool:
    """Whether a disk that is no instance's has something of it on this node."""
    addresses = _addresses(disk)
    there = [record.disk for record in detached if node in record.nodes]
    return any(_address(part) in addresses for part in _parts(there))
