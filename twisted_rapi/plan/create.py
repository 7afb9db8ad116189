"""``OP_INSTANCE_CREATE`` (behaviour.md §5; texts as observed)."""

from typing import Any

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, OpPrereqError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.kvm_limits import remarks
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import InstanceRecord, LeftoverRecord, NodeRecord
from twisted_rapi.model.steps import CreateVolume, DeleteVolume, RunOs, StartDomain, VerifyOs
from twisted_rapi.plan import attachment, condition, devices, policy
from twisted_rapi.plan.leftover import leftovers
from twisted_rapi.plan.machine import disk_specs, domain_spec
from twisted_rapi.plan.naming import merged_tags, reservations, resolved_name
from twisted_rapi.plan.place import Demand, place
from twisted_rapi.plan.stage import (
    Change,
    Do,
    DryRun,
    Finish,
    InParallel,
    InSequence,
    Perform,
    Progress,
    Stage,
    steps_of,
)
from twisted_rapi.plan.view import View

FIRST_PORT, LAST_PORT = 11000, 14999  # constants.json cluster_defaults
WITH_PORT = ("kvm", "xen-hvm")


def plan_create(op: InstanceCreate, progress: Progress, view: View) -> Stage:
    """Record the instance as being made, make its disks, run its OS definition, show it, start it."""
    if progress.stage in ("", "verified"):
        return _begin(op, progress, view)
    instance = condition.subject(op.instance_name, progress, view)
    match progress.stage:
        case "recorded":
            return _make(op, view, instance)
        case "failed":
            work = InParallel(_deletions(instance))
            return Perform(work=work, stage="undone", failed="undone", log=("Removing what was made",))
        case "undone":
            return _give_up(instance, progress)
        case "made":
            starts = _starts(op)
            shown = replace(
                instance,
                pending=None,
                mtime=view.now,
                admin_state="up" if starts else "down",
                disks_active=starts,
            )
            return Change(stage="shown", puts=(shown,), kept=progress.kept)
        case "shown" if _starts(op):
            start = StartDomain(instance=instance.name, domain=domain_spec(view, instance))
            return Perform(
                work=Do(instance.primary_node, start), stage="started", log=("* starting instance...",)
            )
    return Finish(result=_nodes(view, instance))


def _starts(op: InstanceCreate) -> bool:
    return op.start and not op.no_install and not op.forthcoming


def _nodes(view: View, instance: InstanceRecord) -> list[str]:
    return [view.nodes[n].name for n in (instance.primary_node, *instance.secondary_nodes)]


def _begin(op: InstanceCreate, progress: Progress, view: View) -> Stage:
    instance = _instance(op, view, progress.job)
    secrets = {**(op.osparams_private or {}), **(op.osparams_secret or {})}
    given = {**params.osparams(view.cluster, instance), **secrets}
    if op.os_type and not op.no_install and progress.stage == "":
        verify = VerifyOs(instance=instance.name, os=op.os_type, osparams=given)
        return DryRun(
            result=[instance.primary_node],
            then=Perform(work=Do(instance.primary_node, verify), stage="verified", check=True),
        )
    then = Change(
        stage="recorded",
        puts=(instance,),
        names=reservations(instance),
        kept={"uuid": instance.uuid},
        log=_announced(op, view, instance),
    )
    return DryRun(result=[instance.primary_node], then=then)


def _announced(op: InstanceCreate, view: View, instance: InstanceRecord) -> tuple[str, ...]:
    log = attachment.announced(view, instance, [nic.get("ip") for nic in op.nics])
    log += [f"* disk {n}, size {disk.size}M" for n, disk in enumerate(instance.disks)]
    if op.pnode is None:
        chosen = view.nodes[instance.primary_node].name
        log.insert(0, f" - INFO: Selected nodes for instance {instance.name}: {chosen}")
    if op.ip_check:
        log.insert(0, " - WARNING: Whether the IP address is in use is not checked by this release")
    if not _starts(op):  # else the node says so when it starts the instance
        log += [f" - WARNING: {text}" for text in remarks(instance.hypervisor, instance.hvparams)]
    return tuple(log)


def _installs(op: InstanceCreate) -> bool:
    """Whether the OS definition's script runs; without disks it has nothing to write to (as observed)."""
    return op.os_type is not None and not op.no_install and bool(op.disks)


def _make(op: InstanceCreate, view: View, instance: InstanceRecord) -> Stage:
    node = instance.primary_node
    volumes = tuple(
        Do(node, CreateVolume(instance=instance.name, disk=disk, fresh=True)) for disk in disk_specs(instance)
    )
    parts: list[Any] = [InParallel(volumes)] if volumes else []
    log = ["* creating instance disks..."]
    if _installs(op):
        spec = domain_spec(
            view, instance, osparams={**instance.osparams_private, **(op.osparams_secret or {})}
        )
        run = RunOs(instance=instance.name, action="create", domain=spec, debug=op.debug_level or 0)
        parts.append(Do(node, run))
        log.append("* running the instance OS create scripts...")
    return Perform(work=InSequence(tuple(parts)), stage="made", failed="failed", log=tuple(log))


def _deletions(instance: InstanceRecord) -> tuple[Do, ...]:
    node = instance.primary_node
    return tuple(Do(node, DeleteVolume(instance=instance.name, disk=d)) for d in disk_specs(instance))


def _give_up(instance: InstanceRecord, progress: Progress) -> Finish:
    left: tuple[LeftoverRecord, ...] = leftovers(
        tuple(steps_of(InParallel(_deletions(instance)))),
        progress.outcomes,
        f"creation of {instance.name} failed",
    )
    error = progress.error or OpExecError(f"Could not make instance {instance.name}")
    return Finish(error=error, puts=left, deletes=(instance,), free=tuple(reservations(instance)))


# Prerequisites.


def _instance(op: InstanceCreate, view: View, job: int) -> InstanceRecord:
    """The record of the instance, once everything that can be judged beforehand has been."""
    _check_form(op)
    name = resolved_name(op.instance_name, op.name_check)
    if name in view.names["instance"]:
        raise prereq(f"Instance '{name}' is already in the cluster", "already_exists")
    template, hypervisor = _template(op, view), _hypervisor(op, view)
    draft = _draft(op, view, name, template, hypervisor)
    params.judge_be(params.beparams(view.cluster, draft))
    node = _node(op, view, draft)
    instance = replace(draft, primary_node=node.uuid, pending=job)
    group = view.groups[node.group]
    instance = attachment.attach_all(view, group, instance, op.conflicts_check)
    if not op.ignore_ipolicy:
        policy.check(view, group, instance)
    _check_node(op, view, instance, node)
    return instance


def _check_form(op: InstanceCreate) -> None:
    if op.mode != "create":
        raise prereq(f"Instance creation mode '{op.mode}' is not offered by this release")
    if op.forthcoming or op.commit:
        raise prereq("Forthcoming instances are not offered by this release")
    if op.ip_check and not op.name_check:
        raise prereq("Cannot do IP address check without a name check")
    if op.iallocator is not None and op.pnode is not None:
        raise prereq("Do not specify both, iallocator and node")
    if op.os_type is None and not op.no_install:
        raise prereq("No guest OS or OS image specified")
    if op.instance_communication:
        raise prereq("Instance communication is not offered by this release")
    if len(op.disks) > devices.MAX_DISKS:
        raise prereq(f"Too many disks: at most {devices.MAX_DISKS}")
    if len(op.nics) > devices.MAX_NICS:
        raise prereq(f"Too many NICs: at most {devices.MAX_NICS}")


def _template(op: InstanceCreate, view: View) -> str:
    enabled = view.cluster.enabled_disk_templates
    template = op.disk_template or enabled[0]
    if template not in enabled:
        raise OpPrereqError(
            f"Disk template '{template}' is not enabled in cluster. "
            f"Enabled disk templates are: {','.join(enabled)}"
        )
    if template not in devices.TEMPLATES:
        raise prereq(f"Disk template '{template}' is not offered by this release")
    if template == "diskless" and op.disks:
        raise prereq("Diskless instances have no disks")
    if op.file_driver not in (None, "loop"):
        raise prereq(f"File driver '{op.file_driver}' is not offered by this release")
    return template


def _hypervisor(op: InstanceCreate, view: View) -> str:
    enabled = view.cluster.enabled_hypervisors
    hypervisor = op.hypervisor or view.cluster.default_hypervisor
    if hypervisor not in enabled:
        raise prereq(
            f"Selected hypervisor ({hypervisor}) not enabled in the cluster ({','.join(enabled)})",
            "wrong_state",
        )
    return hypervisor


def _draft(op: InstanceCreate, view: View, name: str, template: str, hypervisor: str) -> InstanceRecord:
    """The instance as asked for, its node still open."""
    folder = devices.file_folder(view, template, op.file_storage_dir) if template != "diskless" else ""
    driver = op.file_driver or "loop"
    nics: list[Any] = []
    for given in op.nics:
        nics.append(devices.new_nic(view, given, [nic.mac for nic in nics]))
    beparams = params.update({}, params.check_be(op.beparams, allow_default=True))
    hvparams = params.update({}, params.check_hv(hypervisor, op.hvparams, allow_default=True))
    if op.identify_defaults:
        beparams = _unusual(beparams, params.cluster_beparams(view.cluster))
        hvparams = _unusual(hvparams, params.cluster_hvparams(view.cluster, hypervisor))
    return InstanceRecord(
        uuid=view.new_uuid(),
        name=name,
        ctime=view.now,
        mtime=view.now,
        tags=merged_tags((), op.tags),
        os=op.os_type or "",
        hypervisor=hypervisor,
        primary_node="",
        disk_template=template,
        disks=tuple(
            devices.new_disk(view, name, template, n, given, folder, driver)
            for n, given in enumerate(op.disks)
        ),
        nics=tuple(nics),
        hvparams=hvparams,
        beparams=beparams,
        osparams=params.update({}, params.check_os(op.osparams)),
        osparams_private=params.update({}, params.check_os(op.osparams_private or {})),
        network_port=_free_port(view) if hypervisor in WITH_PORT else None,
    )


def _unusual(given: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if usual[name] != value}


def _free_port(view: View) -> int:
    used = {i.network_port for i in view.instances.values()}
    free = [port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in used]
    if not free:
        raise prereq("No network port is free for the console", "insufficient_resources")
    # Not the lowest: instances that are made at the same time would all want that one.
    return view.chance.choice(free)


def _node(op: InstanceCreate, view: View, draft: InstanceRecord) -> NodeRecord:
    if op.snode is not None:
        view.node(op.snode)
    if op.pnode is not None:
        return view.node(op.pnode)
    memory = params.beparams(view.cluster, draft)["maxmem"] if _starts(op) else 0
    demand = Demand(
        hypervisor=draft.hypervisor,
        memory=memory,
        disk=sum(disk.size for disk in draft.disks),
        template=draft.disk_template,
        os="" if op.no_install else draft.os.partition("+")[0],
        group=view.group(op.group_name).uuid if op.group_name is not None else None,
    )
    if op.iallocator not in (None, ".", "builtin"):
        raise prereq(f"Can't find iallocator '{op.iallocator}': only the built-in one is offered")
    return place(view, demand, draft.name)


def _check_node(op: InstanceCreate, view: View, instance: InstanceRecord, node: NodeRecord) -> None:
    report = condition.answering(view, node)
    if node.drained:
        raise prereq(f"Cannot use drained primary node '{node.name}'", "wrong_state")
    if not node.vm_capable:
        raise prereq(f"Cannot use non-vm_capable primary node '{node.name}'", "wrong_state")
    if instance.hypervisor not in report.hypervisors:
        raise prereq(f"Node '{node.name}' has no hypervisor {instance.hypervisor}", "environment_error")
    if instance.disk_template not in ("diskless", *report.templates):
        raise prereq(f"Node '{node.name}' keeps no {instance.disk_template} disks", "environment_error")
    devices.check_bridges(view, instance)
    if op.os_type is not None and not op.no_install:
        _check_os(op, view, node)
    needed = sum(disk.size for disk in instance.disks)
    if needed > report.disk_free:
        raise prereq(
            f"Not enough disk space on target node {node.name}: required {needed} MiB, "
            f"available {report.disk_free} MiB",
            "insufficient_resources",
        )
    if _starts(op):
        condition.enough_memory(view, instance, params.beparams(view.cluster, instance)["maxmem"])


def _check_os(op: InstanceCreate, view: View, node: NodeRecord) -> None:
    assert op.os_type is not None
    name = op.os_type.partition("+")[0]
    if {name, op.os_type} & set(view.cluster.blacklisted_os):
        raise prereq(f"Guest OS '{op.os_type}' is blacklisted", "wrong_state")
    definition = condition.usable_os(view, node, op.os_type, op.force_variant)
    given = {*op.osparams, *(op.osparams_private or {}), *(op.osparams_secret or {})}
    condition.known_osparams(definition, given, node)
