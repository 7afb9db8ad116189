"""Opcodes that look: ``OP_INSTANCE_QUERY_DATA`` and ``OP_OS_DIAGNOSE``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.cluster import OsDiagnose
from twisted_rapi.model.opcodes.instance import InstanceQueryData
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NicRecord, Params
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import DiskSpec, InspectDisks
from twisted_rapi.plan import volumes
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.gathering import Found, Looking
from twisted_rapi.plan.stage import Do, Finish, Gather, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

LDISK = {"okay": 1, "sync": 2, "unknown": 3, "faulty": 4}  # behaviour.md §4, newest
LOCKS_NEEDED = " - WARNING: Non-static data requested, locks need to be acquired"

States = Mapping[tuple[str, str], Mapping[str, Any] | None]
"""How disks are, by the uuids of node and disk."""


def plan_query_data(op: InstanceQueryData, progress: Progress, view: View) -> Stage:
    """Everything about instances, by name; volumes are looked at unless only static values are asked for."""
    return Gather(work=_query_data(op, progress, view))


def _query_data(op: InstanceQueryData, progress: Progress, view: View) -> Looking:
    names = op.instances or sorted(i.name for i in view.instances.values() if i.pending is None)
    log = () if op.static else (LOCKS_NEEDED,)
    try:
        instances = [view.instance(name) for name in names]
    except OpPrereqError as e:
        return Finish(error=e, log=() if progress.stage else log)
    if progress.stage == "" and not op.static:
        looks: list[Do] = []
        for instance in instances:
            view = yield None
            looks += _looks(view, view.instances.get(instance.uuid, instance))
        if looks:
            return _look(looks, log)
    # Instances and reports may have come and gone since the volumes were looked at.
    seen: dict[tuple[str, str], Any] = {}
    for (node, uuids), outcome in zip(progress.kept.get("looked", ()), progress.outcomes, strict=True):
        states = outcome.disks if outcome is not None else ()
        seen.update({(node, uuid): state for uuid, state in zip(uuids, states, strict=False)})
    found = Found()
    for instance in instances:
        view = yield None
        there = view.instances.get(instance.uuid)
        if there is not None:
            found.add(_info(view, there, op.static, seen))
    return Finish(result={i["name"]: i for i in found.items}, log=() if progress.stage else log)


def _looks(view: View, instance: InstanceRecord) -> Iterator[Do]:
    """A look at the disks and what is below them, on each node that has a part of them and answers."""
    for node in (instance.primary_node, *instance.secondary_nodes):
        there = [s for spec in volumes.specs(view, instance, node) for s in (spec, *spec.children)]
        if there and node in view.reports:
            yield Do(node, InspectDisks(instance=instance.name, disks=tuple(there)))


def _look(looks: Sequence[Do], log: tuple[str, ...]) -> Perform:
    kept = {"looked": [[do.node, [disk.uuid for disk in _inspected(do)]] for do in looks]}
    return Perform(
        work=InParallel(tuple(looks)),
        stage="seen",
        failed="seen",
        check=True,
        patience=0.0,
        kept=kept,
        log=log,
    )


def _inspected(do: Do) -> tuple[DiskSpec, ...]:
    assert isinstance(do.step, InspectDisks)
    return do.step.disks


def _info(view: View, instance: InstanceRecord, static: bool, seen: States) -> Params:
    node = view.nodes[instance.primary_node]
    groups = [view.groups[view.nodes[n].group] for n in instance.secondary_nodes]
    cluster = view.cluster
    return {
        "name": instance.name,
        "config_state": instance.admin_state,
        "run_state": None if static else _run_state(view, instance),
        "pnode": node.name,
        "pnode_group_uuid": node.group,
        "pnode_group_name": view.groups[node.group].name,
        "snodes": [view.nodes[n].name for n in instance.secondary_nodes],
        "snodes_group_uuids": [g.uuid for g in groups],
        "snodes_group_names": [g.name for g in groups],
        "os": instance.os,
        "nics": [_nic(view, nic) for nic in instance.nics],
        "disk_template": instance.disk_template,
        "disks": [_disk(view, instance, f"disk/{n}", disk, seen) for n, disk in enumerate(instance.disks)],
        "hypervisor": instance.hypervisor,
        "network_port": instance.network_port,
        "hv_instance": instance.hvparams,
        "hv_actual": params.hvparams(cluster, instance),
        "be_instance": instance.beparams,
        "be_actual": dict(sorted(params.beparams(cluster, instance).items())),
        "os_instance": instance.osparams,
        "os_actual": params.osparams(cluster, instance),
        "serial_no": instance.serial_no,
        "mtime": instance.mtime,
        "ctime": instance.ctime,
        "uuid": instance.uuid,
    }


def _run_state(view: View, instance: InstanceRecord) -> str | None:
    if instance.primary_node not in view.reports:
        return None
    domain = view.domain(instance)
    if domain is not None and domain.running:
        return "up"
    return "offline" if instance.admin_state == "offline" else "down"


def _nic(view: View, nic: NicRecord) -> list[Any]:
    filled = params.nicparams(view.cluster, nic)
    values = [nic.name, nic.uuid, nic.ip, nic.mac, filled["mode"], filled["link"], filled["vlan"]]
    return [*values, nic.network, None]


def _status(disk: DiskRecord, state: Mapping[str, Any] | None) -> list[Any] | None:
    """Path, device, how far it is filled, and whether it is whole; nothing of what is not in use."""
    if state is None or not state.get("active", True):
        return None
    whole = state["size"] == disk.size and not state.get("degraded", False)
    ldisk = LDISK[state.get("ldisk", "okay" if whole else "faulty")]
    device = [state.get("major"), state.get("minor")]
    return [state["path"], *device, state.get("percent"), state.get("estimate"), not whole, ldisk]


def _disk(
    view: View, instance: InstanceRecord, name: str, disk: DiskRecord, seen: States, other: str = ""
) -> Params:
    """A disk as told; `other`: uuid of the node of its other side, also for what is below."""
    logical_id, drbd = list(disk.logical_id), None
    for node in nodes_of(disk):
        if node != instance.primary_node:
            other = node
    if nodes_of(disk):
        logical_id[-1] = None  # the secret is nobody's business
        drbd = _drbd(view, disk, instance.primary_node, other)
    return {
        "iv_name": name,
        "dev_type": disk.dev_type,
        "logical_id": logical_id,
        "drbd_info": drbd,
        "pstatus": _status(disk, seen.get((instance.primary_node, disk.uuid))),
        "sstatus": _status(disk, seen.get((other, disk.uuid))) if other else None,
        "children": [_disk(view, instance, "", child, seen, other) for child in disk.children],
        "mode": disk.mode,
        "size": disk.size,
        "spindles": disk.spindles,
        "name": disk.name,
        "uuid": disk.uuid,
    }


def _drbd(view: View, disk: DiskRecord, primary: str, other: str) -> Params:
    minors = dict(zip(nodes_of(disk), disk.logical_id[3:5], strict=True))
    return {
        "primary_node": view.nodes[primary].name,
        "primary_minor": minors[primary],
        "secondary_node": view.nodes[other].name,
        "secondary_minor": minors[other],
        "port": disk.logical_id[2],
    }


# OS definitions.


def usable_oses(view: View) -> dict[str, list[OsSeen]]:
    """
    By name, the OS definitions that are valid on every node that can run instances and answers.

    One definition a node, in the order of the nodes.
    """
    nodes = [n for n in view.nodes.values() if n.vm_capable and not n.offline and n.uuid in view.reports]
    by_node = [{o.name: o for o in view.reports[n.uuid].oses if not o.invalid} for n in nodes]
    if not by_node:
        return {}
    names = set.intersection(*(set(found) for found in by_node))
    return {name: [found[name] for found in by_node] for name in sorted(names)}


def shared_variants(definitions: list[OsSeen]) -> list[str]:
    """The variants all nodes have."""
    first, *others = definitions
    return [v for v in first.variants if all(v in o.variants for o in others)]


def plan_os_diagnose(op: OsDiagnose, progress: Progress, view: View) -> Stage:
    """A row for each OS definition that any node has, with the fields asked for in their order."""
    names = {o.name for report in view.reports.values() for o in report.oses}
    wanted = sorted(names & set(op.names) if op.names else names)
    unknown = [f for f in op.output_fields if f not in OS_FIELDS]
    if unknown:
        raise prereq(f"Unknown output fields selected: {', '.join(unknown)}")
    return Gather(work=_os_rows(op.output_fields, wanted, view))


def _os_rows(fields: Sequence[str], names: Sequence[str], view: View) -> Looking:
    usable, found = usable_oses(view), Found()
    for name in names:
        yield None
        row = os_row(view, name, usable.get(name))
        found.add([row[field] for field in fields])
    return Finish(result=found.items)


OS_FIELDS = (
    *("name", "valid", "hidden", "blacklisted", "variants", "api_versions"),
    *("parameters", "node_status", "trusted"),
)


def os_row(view: View, name: str, usable: list[OsSeen] | None) -> Params:
    """
    Everything known of an OS definition, by field.

    :param usable: what `usable_oses` has of it.
    """
    cluster = view.cluster
    status = {
        view.nodes[uuid].name: [
            [o.path, not o.invalid, o.invalid, list(o.variants), list(o.parameters), list(o.api_versions)]
            for o in report.oses
            if o.name == name
        ]
        for uuid, report in view.reports.items()
        if uuid in view.nodes
    }
    first = usable[0] if usable else None
    return {
        "name": name,
        "valid": usable is not None,
        "hidden": name in cluster.hidden_os,
        "blacklisted": name in cluster.blacklisted_os,
        "variants": shared_variants(usable) if usable else [],
        "api_versions": sorted(first.api_versions) if first else [],
        "parameters": [list(p) for p in first.parameters] if first else [],
        "node_status": status,
        "trusted": all(o.trusted for o in usable) if usable else False,
    }
