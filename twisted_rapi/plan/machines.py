"""Machines as PVC's API knows them: what is kept of them beside their instances."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model.machine import MachineRecord, is_default
from twisted_rapi.model.opcodes.machine import MachineSetParams
from twisted_rapi.model.record_base import Record
from twisted_rapi.plan.naming import check_tags
from twisted_rapi.plan.stage import Finish, Progress, Stage
from twisted_rapi.plan.view import View

_PLAIN = ("node_selector", "node_autostart", "profile", "migration_method", "migration_max_downtime")


def limited(view: View, names: Iterable[str]) -> tuple[str, ...]:
    """
    The full names of these nodes, each once, in order.

    :raises OpPrereqError: ``unknown_entity``.
    """
    return tuple(dict.fromkeys(view.node(name).name for name in names))


def with_values(view: View, record: MachineRecord, op: Any) -> MachineRecord:
    """
    The record with what an opcode gives of it.

    :raises OpPrereqError: a node is unknown, or a tag cannot be one.
    """
    given = {name: getattr(op, name) for name in _PLAIN if getattr(op, name) is not None}
    if op.node_limit is not None:
        given["node_limit"] = limited(view, op.node_limit)
    if op.protected_tags is not None:
        check_tags(op.protected_tags)
        given["protected_tags"] = tuple(sorted(set(op.protected_tags)))
    return replace(record, **given)


def stored(view: View, record: MachineRecord) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """What to put and what to delete so that the record is kept; one that says nothing is not."""
    old = view.machines.get(record.uuid)
    if is_default(record):
        return (), () if old is None else (old,)
    return () if record == old else (record,), ()


def plan_set(op: MachineSetParams, progress: Progress, view: View) -> Stage:
    """Change what is kept; ``last_node`` is a node's name, or empty: it was not migrated."""
    instance = view.instance(op.instance_name)
    record = with_values(view, view.machine(instance.uuid), op)
    if op.last_node is not None:
        record = replace(record, last_node=view.node(op.last_node).uuid if op.last_node else "")
    unknown = sorted(set(op.protected_tags or ()) - set(instance.tags))
    if unknown:
        raise prereq(f"Instance '{instance.name}' has no tag '{unknown[0]}'", "unknown_entity")
    puts, deletes = stored(view, record)
    return Finish(puts=puts, deletes=deletes)
