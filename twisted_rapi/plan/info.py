"""Opcodes that look: ``OP_INSTANCE_QUERY_DATA``, the two about active disks, ``OP_OS_DIAGNOSE``."""

from collections.abc import Mapping, Sequence
from typing import Any

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.cluster import OsDiagnose
from twisted_rapi.model.opcodes.instance import (
    InstanceActivateDisks,
    InstanceDeactivateDisks,
    InstanceQueryData,
)
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NicRecord, Params
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import ActivateVolume, DeactivateVolume, InspectDisks
from twisted_rapi.plan.condition import answering, at_rest, changed, primary, subject
from twisted_rapi.plan.leftover import leftovers
from twisted_rapi.plan.machine import disk_specs
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

DISK_OKAY = 1  # behaviour.md §4, newest
DISK_FAULTY = 4


def plan_query_data(op: InstanceQueryData, progress: Progress, view: View) -> Stage:
    """Everything about instances, by name; volumes are looked at unless only static values are asked for."""
    names = op.instances or sorted(i.name for i in view.instances.values() if i.pending is None)
    instances = [view.instance(name) for name in names]
    live = [i for i in instances if not op.static and i.primary_node in view.reports]
    if progress.stage == "" and any(i.disks for i in live):
        return _look(live)
    # Instances and reports may have come and gone since the volumes were looked at.
    seen = dict(zip(progress.kept.get("looked", ()), progress.outcomes, strict=True))
    found = {}
    for instance in instances:
        outcome = seen.get(instance.uuid)
        found[instance.name] = _info(view, instance, op.static, outcome.disks if outcome else ())
    return Finish(result=found)


def _look(live: Sequence[InstanceRecord]) -> Perform:
    looks = tuple(Do(i.primary_node, InspectDisks(instance=i.name, disks=disk_specs(i))) for i in live)
    kept = {"looked": [i.uuid for i in live]}
    return Perform(work=InParallel(looks), stage="seen", failed="seen", check=True, patience=0.0, kept=kept)


def _info(view: View, instance: InstanceRecord, static: bool, disks: tuple[Any, ...]) -> Params:
    node = view.nodes[instance.primary_node]
    groups = [view.groups[view.nodes[n].group] for n in instance.secondary_nodes]
    cluster = view.cluster
    states = [disks[n] if n < len(disks) else None for n in range(len(instance.disks))]
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
        "disks": [
            _disk(n, disk, state) for n, (disk, state) in enumerate(zip(instance.disks, states, strict=True))
        ],
        "hypervisor": instance.hypervisor,
        "network_port": instance.network_port,
        "hv_instance": instance.hvparams,
        "hv_actual": params.hvparams(cluster, instance),
        "be_instance": instance.beparams,
        "be_actual": params.beparams(cluster, instance),
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


def _disk(index: int, disk: DiskRecord, state: Mapping[str, Any] | None) -> Params:
    status = None
    if state is not None:
        whole = state["size"] == disk.size
        status = [state["path"], None, None, None, None, not whole, DISK_OKAY if whole else DISK_FAULTY]
    return {
        "iv_name": f"disk/{index}",
        "dev_type": disk.dev_type,
        "logical_id": list(disk.logical_id),
        "drbd_info": None,
        "pstatus": status,
        "sstatus": None,
        "children": [],
        "mode": disk.mode,
        "size": disk.size,
        "spindles": disk.spindles,
        "name": disk.name,
        "uuid": disk.uuid,
    }


def plan_activate_disks(op: InstanceActivateDisks, progress: Progress, view: View) -> Stage:
    """
    Make the disks usable on the primary node, and say where they are there.

    When that fails, disks that were not in use before are not in use afterwards.
    """
    instance = subject(op.instance_name, progress, view)
    node = primary(view, instance)
    match progress.stage:
        case "":
            answering(view, node)
            marked = () if instance.disks_active else (changed(instance, view, disks_active=True),)
            kept = {"uuid": instance.uuid, "marked": bool(marked)}
            return Change(stage="marked", puts=marked, kept=kept)
        case "marked":
            steps = tuple(
                Do(node.uuid, ActivateVolume(instance=instance.name, disk=d, ignore_size=op.ignore_size))
                for d in disk_specs(instance)
            )
            failed = "failed" if progress.kept.get("marked") else None
            return Perform(work=InSequence(steps), stage="active", failed=failed)
        case "failed":
            return Perform(work=InParallel(_deactivations(instance)), stage="undone", failed="undone")
        case "undone":
            return _not_activated(instance, progress, view)
    paths = [outcome.path if outcome else None for outcome in progress.outcomes]
    return Finish(result=[[node.name, f"disk/{n}", path] for n, path in enumerate(paths)])


def _deactivations(instance: InstanceRecord) -> tuple[Do, ...]:
    return tuple(
        Do(instance.primary_node, DeactivateVolume(instance=instance.name, disk=disk))
        for disk in disk_specs(instance)
    )


def _not_activated(instance: InstanceRecord, progress: Progress, view: View) -> Finish:
    reason = f"activation of the disks of {instance.name} failed"
    return Finish(
        error=progress.error or OpExecError(f"Could not activate the disks of {instance.name}"),
        puts=(
            changed(instance, view, disks_active=False),
            *leftovers(_deactivations(instance), progress.outcomes, reason),
        ),
    )


def plan_deactivate_disks(op: InstanceDeactivateDisks, progress: Progress, view: View) -> Stage:
    """Stop using the disks of an instance that does not run."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage == "":
        if op.force:
            answering(view, primary(view, instance))
            domain = view.domain(instance)
            if domain is not None and domain.running:
                raise prereq(f"Instance '{instance.name}' is running, cannot shutdown disks", "wrong_state")
        else:
            at_rest(view, instance, "shutdown disks")
        work = InSequence(_deactivations(instance))
        return Perform(work=work, stage="inactive", kept={"uuid": instance.uuid})
    return Finish(puts=(changed(instance, view, disks_active=False),) if instance.disks_active else ())


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
    usable = usable_oses(view)
    rows = [{**os_row(view, name, usable.get(name))} for name in wanted]
    return Finish(result=[[row[field] for field in op.output_fields] for row in rows])


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
