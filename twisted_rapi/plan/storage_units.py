"""The opcodes about storage units of nodes (constants.json ``storage_types``; texts as observed)."""

from typing import Any

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model.opcodes import node as opcodes
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.steps import ChangeUnit, ListUnits, Outcome, RepairUnit
from twisted_rapi.plan import volumes
from twisted_rapi.plan.stage import Do, Finish, InParallel, Perform, Progress, Stage, steps_of
from twisted_rapi.plan.view import View

FIELDS = ("allocatable", "free", "name", "node", "size", "type", "used")
LISTED = ("file", "lvm-pv", "lvm-vg", "sharedfile")
"""The types that have units to list."""

_TYPE_OF = {"plain": "lvm-vg", "drbd": "lvm-vg", "rbd": "rados"}  # others are called as their template
_MODIFIABLE = {"lvm-pv": ("allocatable",)}
_REPAIRABLE = ("lvm-vg",)


def _enabled(view: View, kind: str) -> None:
    """
    Whether a disk template uses this type of storage.

    :raises OpPrereqError: none does.
    """
    wanted = "lvm-vg" if kind == "lvm-pv" else kind
    templates = view.cluster.enabled_disk_templates
    if wanted not in {_TYPE_OF.get(template, template) for template in templates}:
        raise OpPrereqError(
            f"No disk template of storage type '{wanted}' is enabled in this cluster. "
            f"Enabled disk templates are: {','.join(templates)}"
        )


def plan_query_storage(op: opcodes.NodeQueryStorage, progress: Progress, view: View) -> Stage:
    """Ask the nodes for their units; those that do not answer are warned of."""
    unknown = sorted(set(op.output_fields) - set(FIELDS))
    if unknown:
        raise prereq(f"Unknown output fields selected: {','.join(unknown)}")
    nodes = [view.node(name) for name in op.nodes] or sorted(view.nodes.values(), key=lambda n: n.name)
    first = view.cluster.enabled_disk_templates[0]
    kind = op.storage_type or _TYPE_OF.get(first, first)
    _enabled(view, kind)
    if kind not in LISTED:
        raise prereq(f"Storage of type '{kind}' has no units that could be listed")
    asked = [node for node in nodes if not node.offline]
    work = InParallel(tuple(Do(node.uuid, ListUnits(instance="", kind=kind)) for node in asked))
    if progress.stage == "" and asked:
        return Perform(work=work, stage="listed", failed="listed", patience=0.0)
    return _listed(op, kind, [view.nodes[do.node] for do in steps_of(work)], progress)


def _listed(op: opcodes.NodeQueryStorage, kind: str, asked: list[NodeRecord], progress: Progress) -> Finish:
    rows: list[list[Any]] = []
    log = []
    # Outcomes are lost when the master changes: then nobody has answered.
    outcomes = progress.outcomes or (None,) * len(asked)
    for node, outcome in zip(asked, outcomes, strict=True):
        if outcome is None:
            log.append(f" - WARNING: Can't get storage data from node {node.name}")
            continue
        for unit in sorted(outcome.units, key=lambda u: str(u["name"])):
            if op.name in (None, unit["name"]):
                whole = {**unit, "node": node.name, "type": kind}
                rows.append([whole[field] for field in op.output_fields])
    return Finish(result=rows, log=tuple(log))


def plan_modify_storage(op: opcodes.NodeModifyStorage, progress: Progress, view: View) -> Stage:
    """Change what can be changed of a unit."""
    node = view.node(op.node_name)
    if op.storage_type not in _MODIFIABLE:
        raise prereq(f"Storage units of type '{op.storage_type}' can not be modified")
    barred = sorted(set(op.changes) - set(_MODIFIABLE[op.storage_type]))
    if barred:
        listed = ", ".join(barred)
        raise prereq(f"Storage units of type '{op.storage_type}': fields can not be modified: {listed}")
    _enabled(view, op.storage_type)
    name, allocatable = _named(op), op.changes.get("allocatable")
    if allocatable is None:
        return Finish()
    if not isinstance(allocatable, bool):
        raise prereq("Field 'allocatable' of a storage unit is true or false")
    step = ChangeUnit(instance="", kind=op.storage_type, name=name, allocatable=allocatable)
    return _once(node, step, progress)


def plan_repair_storage(op: opcodes.RepairNodeStorage, progress: Progress, view: View) -> Stage:
    """Have the node repair a volume group, once the other sides of its mirrored disks are well."""
    node = view.node(op.node_name)
    if op.storage_type not in _REPAIRABLE:
        raise prereq(f"Storage units of type '{op.storage_type}' can not be repaired")
    _enabled(view, op.storage_type)
    step = RepairUnit(instance="", kind=op.storage_type, name=_named(op))
    others = _other_sides(view, node)
    if progress.stage == "" and others:
        return Perform(work=InParallel(others), stage="looked", failed="looked", check=True, patience=0.0)
    if progress.stage != "looked":
        return _once(node, step, progress)
    faulty = sorted(
        {do.step.instance for do, got in zip(others, progress.outcomes, strict=True) if _bad(got)}
    )
    if faulty and not op.ignore_consistency:
        listed = ", ".join(faulty)
        raise prereq(
            f"Mirrored disks are not well on other nodes, so nothing is repaired: {listed}", "wrong_state"
        )
    log = tuple(f" - WARNING: Mirrored disks of {name} are not well on its other node" for name in faulty)
    return Perform(work=Do(node.uuid, step), stage="done", patience=0.0, log=log)


def _other_sides(view: View, node: NodeRecord) -> tuple[Do, ...]:
    """Looks at the disks in use that are mirrored on this node, where their other side is."""
    found = []
    on_node = (*view.instances_on(node.uuid), *view.secondaries_on(node.uuid))
    for instance in sorted(on_node, key=lambda i: i.name):
        if instance.disk_template == "drbd" and instance.disks_active:
            sides = (instance.primary_node, *instance.secondary_nodes)
            found += [volumes.looks(view, instance, side) for side in sides if side != node.uuid]
    return tuple(found)


def _bad(outcome: Outcome | None) -> bool:
    return outcome is None or any(d is None or d.get("ldisk") in ("faulty", "unknown") for d in outcome.disks)


def _named(op: opcodes.NodeModifyStorage | opcodes.RepairNodeStorage) -> str:
    if op.name is None:
        raise prereq("The name of the storage unit is missing")
    return op.name


def _once(node: NodeRecord, step: ChangeUnit | RepairUnit, progress: Progress) -> Stage:
    if progress.stage == "":
        return Perform(work=Do(node.uuid, step), stage="done", patience=0.0)
    return Finish()
