"""``OP_INSTANCE_CREATE`` (behaviour.md §5; texts as observed)."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, OpPrereqError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.kvm_limits import remarks
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import DiskRecord, InstanceRecord, LeftoverRecord, NodeRecord
from twisted_rapi.model.steps import InspectDisks, MoveVolume, RunOs, StartDomain, VerifyOs
from twisted_rapi.plan import attachment, condition, devices, disks, importing, policy, sync, volumes
from twisted_rapi.plan.allocation.consult import CONSULTED, allocator, consult
from twisted_rapi.plan.allocation.questions import Allocate, Nodes
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.leftover import leftovers
from twisted_rapi.plan.machine import disk_spec, domain_spec
from twisted_rapi.plan.naming import host_name, merged_tags, reservations
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
    Work,
)
from twisted_rapi.plan.view import View

_IGNORED = "Secondary node will be ignored on non-mirrored disk template '{}'"
_TWO_GROUPS = "The nodes are in two groups: the disk parameters are those of the primary node's"
WITH_PORT = ("kvm", "xen-hvm")


def plan_create(op: InstanceCreate, progress: Progress, view: View) -> Stage:
    """
    Record the instance as being made, make its disks, run its OS definition, show it, start it.

    Between, mirrored disks are filled, as far as is asked for.
    """
    if op.mode == "import":
        return _import(op, progress, view)
    return _create(op, progress, view)


def _import(op: InstanceCreate, progress: Progress, view: View) -> Stage:
    """As `plan_create`, with what an export says and its data."""
    if progress.stage == "":
        return importing.look(op, view)
    if progress.stage == "read":
        progress = importing.noted(progress)
    whole = importing.completed(op, progress.kept, view)
    if progress.stage in ("", CONSULTED, "verified"):
        return importing.carrying(_begin(whole, progress, view), progress.kept)
    return _create(whole, progress, view)


def _create(op: InstanceCreate, progress: Progress, view: View) -> Stage:
    if progress.stage in ("", CONSULTED, "verified"):
        return _begin(op, progress, view)
    instance = condition.subject(op.instance_name, progress, view)
    match progress.stage:
        case "recorded":
            return _make(view, instance, progress)
        case "made" | "syncing":
            return _fill(op, progress, view, instance)
        case "receiving":
            copy = importing.copy_of(view, instance, progress.kept)
            work = copy.transfers(view, progress)
            return Perform(work=work, stage="installed", failed="failed")
        case "failed":
            work = InParallel(_undoing(view, instance, progress))
            return Perform(work=work, stage="undone", failed="undone", log=("Removing what was made",))
        case "undone":
            return _give_up(view, instance, progress)
        case "installed":
            starts = _starts(op)
            shown = replace(
                instance,
                pending=None,
                forthcoming=False,
                mtime=view.now,
                admin_state="up" if starts else "down",
                disks_active=starts or any(nodes_of(disk) for disk in instance.disks),
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
    if op.os_type is None:
        raise prereq("No guest OS or OS image specified")
    looked = progress.outcomes[-1] if progress.stage == "verified" and progress.outcomes else None
    draft = _drafted(op, view, looked.disks if looked is not None else ())
    chosen = _chosen(op, progress, view, draft)
    if isinstance(chosen, Perform):
        return chosen
    instance = _instance(op, view, progress.job, draft, chosen.nodes)
    nodes = [instance.primary_node, *instance.secondary_nodes]
    look = _looks(op, view, instance)
    if progress.stage != "verified" and look:
        kept = {"nodes": nodes, "told": list(chosen.told)}
        perform = Perform(work=InSequence(look), stage="verified", check=True, kept=kept)
        return DryRun(result=nodes, then=perform)
    plain = instance.disk_template == "plain"
    adopted = [list(disks.adopted_volume(view, d)) for d in op.disks if plain and "adopt" in d]
    then = Change(
        stage="recorded",
        puts=(instance,),
        names=reservations(instance),
        kept={"uuid": instance.uuid, "adopted": adopted},
        log=(*chosen.told, *_announced(op, view, instance)),
        filled=_named(chosen.nodes),
    )
    return DryRun(result=nodes, then=then)


def _named(nodes: Sequence[NodeRecord]) -> dict[str, Any]:
    """The nodes as the opcode names them."""
    pairs = zip(("pnode", "snode"), nodes, strict=False)
    return {key: value for name, n in pairs for key, value in ((name, n.name), (f"{name}_uuid", n.uuid))}


def _looks(op: InstanceCreate, view: View, instance: InstanceRecord) -> tuple[Do, ...]:
    """What has to be seen on the node beforehand: OS parameters that are right, volumes to adopt."""
    looks: list[Do] = []
    if op.os_type and not op.no_install:
        secrets = {**params.private_osparams(view.cluster, instance), **(op.osparams_secret or {})}
        given = {**params.osparams(view.cluster, instance), **secrets}
        verify = VerifyOs(instance=instance.name, os=op.os_type, osparams=given)
        looks.append(Do(instance.primary_node, verify))
    if any("adopt" in given for given in op.disks):
        there = tuple(
            disk_spec(n, _as_found(view, disk, given), instance.primary_node)
            for n, (disk, given) in enumerate(zip(instance.disks, op.disks, strict=True))
        )
        looks.append(Do(instance.primary_node, InspectDisks(instance=instance.name, disks=there)))
    return tuple(looks)


def _as_found(view: View, disk: DiskRecord, given: Mapping[str, Any]) -> DiskRecord:
    """The disk that is to be adopted, at the address it has."""
    if disk.dev_type != "plain":
        return disk
    return replace(disk, logical_id=disks.adopted_volume(view, given))


def _announced(op: InstanceCreate, view: View, instance: InstanceRecord) -> tuple[str, ...]:
    log = attachment.announced(view, instance, [nic.get("ip") for nic in op.nics])
    log += [f"* disk {n}, size {disk.size}M" for n, disk in enumerate(instance.disks)]
    if op.snode is not None and not instance.secondary_nodes:
        log.insert(0, f" - WARNING: {_IGNORED.format(instance.disk_template)}")
    if len({view.nodes[n].group for n in (instance.primary_node, *instance.secondary_nodes)}) > 1:
        log.insert(0, f" - INFO: {_TWO_GROUPS}")
    if not _starts(op):  # else the node says so when it starts the instance
        log += [f" - WARNING: {text}" for text in remarks(instance.hypervisor, instance.hvparams)]
    return tuple(log)


def _installs(op: InstanceCreate) -> bool:
    """Whether the OS definition's script runs; without disks it has nothing to write to (as observed)."""
    return op.os_type is not None and not op.no_install and bool(op.disks)


def _make(view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    work: Work = volumes.creations(view, instance, volumes.all_disks(instance))
    if progress.kept.get("adopted"):
        work = InParallel(_adoptions(view, instance, progress))
    return Perform(work=work, stage="made", failed="failed", log=("* creating instance disks...",))


def _adoptions(
    view: View, instance: InstanceRecord, progress: Progress, back: bool = False
) -> tuple[Do, ...]:
    """Volumes get the names of the instance's disks, or their own ones `back`."""
    moves = []
    for (n, disk), address in zip(volumes.all_disks(instance), progress.kept["adopted"], strict=True):
        spec = volumes.spec(view, instance, n, disk)
        here, to = (spec.logical_id, address) if back else (tuple(address), spec.logical_id)
        step = MoveVolume(
            instance=instance.name, disk=msgspec.structs.replace(spec, logical_id=here), to=tuple(to)
        )
        moves.append(Do(instance.primary_node, step))
    return tuple(moves)


def _fill(op: InstanceCreate, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    """Wait for mirrored disks, at least until they are in use on both sides, then install."""
    mirrored = any(nodes_of(disk) for disk in instance.disks)
    if progress.stage == "made":
        log = (
            f"adding instance {instance.name} to cluster config",
            "adding disks to cluster config",
            *sync.begun(instance),
        )
        if not mirrored:
            return _install(op, view, instance, progress, (*log, *sync.ended(instance)))
        at_most = 60.0 if op.wait_for_sync else 0.0
        return Perform(work=volumes.waits(view, instance, at_most), stage="syncing", failed="failed", log=log)
    state = sync.judged(instance, progress)
    if state.filling and op.wait_for_sync:
        work = volumes.waits(view, instance)
        return Perform(work=work, stage="syncing", failed="failed", log=state.log)
    if state.degraded and not state.filling:
        # The work fails without a step: what was made is removed.
        return Perform(
            work=InParallel(_undoing(view, instance, progress)),
            stage="undone",
            failed="undone",
            log=(*state.log, " - WARNING: There are some degraded disks for this instance"),
        )
    return _install(op, view, instance, progress, state.log)


def _install(
    op: InstanceCreate, view: View, instance: InstanceRecord, progress: Progress, log: tuple[str, ...]
) -> Stage:
    log = (*log, *sync.begun(instance), *sync.ended(instance))
    if progress.kept.get("export"):
        copy = importing.copy_of(view, instance, progress.kept)
        told = (*log, "* running the instance OS import scripts...") if copy.ends else log
        work = InSequence((*copy.ending(), *copy.openings()))
        stage = "receiving" if copy.ends else "installed"
        return Perform(work=work, stage=stage, failed="failed", log=told)
    if not _installs(op):
        return Perform(work=InSequence(), stage="installed", log=log)
    private = params.private_osparams(view.cluster, instance)
    spec = domain_spec(view, instance, osparams={**private, **(op.osparams_secret or {})})
    run = RunOs(instance=instance.name, action="create", domain=spec, debug=op.debug_level or 0)
    return Perform(
        work=Do(instance.primary_node, run),
        stage="installed",
        failed="failed",
        log=(*log, "* running the instance OS create scripts..."),
    )


def _undoing(view: View, instance: InstanceRecord, progress: Progress) -> tuple[Do, ...]:
    """What takes the disks away again; those that were adopted go back to where they were."""
    if progress.kept.get("adopted"):
        return _adoptions(view, instance, progress, back=True)
    if progress.kept.get("export"):
        ending = importing.copy_of(view, instance, progress.kept).ending()
        return (*ending, *volumes.deletions(view, instance, volumes.all_disks(instance)))
    return volumes.deletions(view, instance, volumes.all_disks(instance))


def _give_up(view: View, instance: InstanceRecord, progress: Progress) -> Finish:
    left: tuple[LeftoverRecord, ...] = leftovers(
        _undoing(view, instance, progress), progress.outcomes, f"creation of {instance.name} failed"
    )
    error = progress.error or OpExecError("There are some degraded disks for this instance")
    return Finish(error=error, puts=left, deletes=(instance,), free=tuple(reservations(instance)))


# Prerequisites.


def _drafted(
    op: InstanceCreate, view: View, found: Sequence[Mapping[str, Any] | None] = ()
) -> InstanceRecord:
    """
    The instance as asked for, its nodes still open, once what they have nothing to do with has been judged.

    :param found: disks to adopt, as they were looked at.
    """
    _check_form(op)
    name = host_name(op.instance_name)
    if name in view.names["instance"]:
        raise prereq(f"Instance '{name}' is already in the cluster", "already_exists")
    template, hypervisor = _template(op, view), _hypervisor(op, view)
    draft = _draft(op, view, name, template, hypervisor)
    params.judge_be(params.beparams(view.cluster, draft))
    return replace(draft, disks=_sized(op, draft, found)) if found else draft


def _instance(
    op: InstanceCreate, view: View, job: int, draft: InstanceRecord, chosen: Sequence[NodeRecord]
) -> InstanceRecord:
    """The record of the instance, once everything that can be judged beforehand has been."""
    node, *others = chosen
    nodes = (node.uuid, *(other.uuid for other in others))
    instance = replace(
        draft,
        primary_node=nodes[0],
        secondary_nodes=nodes[1:],
        pending=job,
        disks=disks.placed(view, draft.disks, nodes, draft.network_port),
    )
    group = view.groups[node.group]
    instance = attachment.attach_all(view, group, instance, op.conflicts_check)
    if not op.ignore_ipolicy:
        policy.check(view, group, instance)
    _check_node(op, view, instance, node)
    for other in others:
        _check_secondary(view, instance, other)
    return instance


def _sized(
    op: InstanceCreate, draft: InstanceRecord, found: Sequence[Mapping[str, Any] | None]
) -> tuple[DiskRecord, ...]:
    """Disks that are adopted, as large as they were found."""
    missing = [str(given["adopt"]) for given, there in zip(op.disks, found, strict=True) if there is None]
    if missing:
        kind = "logical volume(s)" if draft.disk_template == "plain" else "block device(s)"
        raise prereq(f"Missing {kind} for adoption: {', '.join(missing)}")
    sizes = [there["size"] for there in found if there is not None]
    return tuple(replace(disk, size=size) for disk, size in zip(draft.disks, sizes, strict=True))


def _check_form(op: InstanceCreate) -> None:
    if op.mode == "remote-import":
        raise prereq(f"Instance creation mode '{op.mode}' is not offered by this release")
    if op.ip_check:  # the checks have been made otherwise
        raise prereq("Cannot do IP address check without a name check")
    if op.iallocator is not None and op.pnode is not None:
        raise prereq("Do not specify both, iallocator and node")
    if op.instance_communication:
        raise prereq("Instance communication is not offered by this release")
    if len(op.disks) > disks.MAX_DISKS:
        raise prereq(f"Too many disks: at most {disks.MAX_DISKS}")
    _check_adoption(op)
    if len(op.nics) > devices.MAX_NICS:
        raise prereq(f"Too many NICs: at most {devices.MAX_NICS}")


def _check_adoption(op: InstanceCreate) -> None:
    adopted = [given["adopt"] for given in op.disks if "adopt" in given]
    if not adopted:
        return
    if len(adopted) != len(op.disks):
        raise prereq("Either all disks are adopted or none is")
    if op.iallocator is not None or op.pnode is None:
        raise prereq("Disk adoption not allowed with an iallocator script")
    if len({(given.get("vg"), given["adopt"]) for given in op.disks}) != len(adopted):
        raise prereq("Duplicate volume names given for adoption")


def _template(op: InstanceCreate, view: View) -> str:
    enabled = view.cluster.enabled_disk_templates
    template = op.disk_template or enabled[0]
    if template not in enabled:
        raise OpPrereqError(
            f"Disk template '{template}' is not enabled in cluster. "
            f"Enabled disk templates are: {','.join(enabled)}"
        )
    if template not in disks.TEMPLATES:
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
    layout = disks.Layout(
        instance=name,
        template=template,
        folder=disks.file_folder(view, template, op.file_storage_dir),
        driver=op.file_driver or "loop",
    )
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
        disks=tuple(disks.new_disk(view, layout, n, given) for n, given in enumerate(op.disks)),
        nics=tuple(nics),
        hvparams=hvparams,
        beparams=beparams,
        osparams=params.update({}, params.check_os(op.osparams)),
        osparams_private=params.update({}, params.check_os(op.osparams_private or {})),
        network_port=disks.free_port(view) if hypervisor in WITH_PORT else None,
    )


def _unusual(given: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if usual[name] != value}


@attrs.frozen
class _Chosen:
    """The nodes it is made on, primary first, and what the log tells of how they were chosen."""

    nodes: tuple[NodeRecord, ...]
    told: tuple[str, ...] = ()


def _chosen(op: InstanceCreate, progress: Progress, view: View, draft: InstanceRecord) -> _Chosen | Perform:
    if progress.stage == "verified" and "nodes" in progress.kept:
        return _Chosen(tuple(view.nodes[n] for n in progress.kept["nodes"]), tuple(progress.kept["told"]))
    mirrored = draft.disk_template in disks.MIRRORED
    snode = None if op.snode is None else view.node(op.snode)
    if op.pnode is None:
        return _placed(op, progress, view, draft)
    pnode = view.node(op.pnode)
    if not mirrored:
        return _Chosen((pnode,))
    if snode is None:
        raise prereq("The networked disk templates need a mirror node")
    if snode.uuid == pnode.uuid:
        raise prereq("The secondary node cannot be the primary node")
    return _Chosen((pnode, snode))


def allocation(op: InstanceCreate, view: View, draft: InstanceRecord | None = None) -> Allocate:
    """
    What an allocator is asked for the instance an opcode describes.

    :raises JobError: the opcode cannot be carried out, whatever the nodes.
    """
    return Allocate(
        instance=_drafted(op, view) if draft is None else draft,
        starts=_starts(op),
        group=view.group(op.group_name).uuid if op.group_name is not None else None,
        os="" if op.no_install or op.os_type is None else op.os_type.partition("+")[0],
        ignore_ipolicy=op.ignore_ipolicy,
    )


def _placed(op: InstanceCreate, progress: Progress, view: View, draft: InstanceRecord) -> _Chosen | Perform:
    found = consult(allocation(op, view, draft), op.iallocator, progress, view)
    if isinstance(found, Perform):
        return found
    assert isinstance(found, Nodes)
    names = ", ".join(node.name for node in found.nodes)
    script = allocator(op.iallocator, view)
    via = f" via iallocator {script}" if script else ""
    return _Chosen(
        found.nodes, (f" - INFO: Selected nodes for instance {draft.name}{via}: {names}", *found.told)
    )


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
    if not any("adopt" in given for given in op.disks):
        volumes.check_space(view, node, instance.disks)
    if _starts(op):
        condition.enough_memory(view, instance, params.beparams(view.cluster, instance)["maxmem"])


def _check_secondary(view: View, instance: InstanceRecord, node: NodeRecord) -> None:
    report = condition.answering(view, node)
    if node.drained:
        raise prereq(f"Cannot use drained secondary node '{node.name}'", "wrong_state")
    if not node.vm_capable:
        raise prereq(f"Cannot use non-vm_capable secondary node '{node.name}'", "wrong_state")
    if instance.disk_template not in report.templates:
        raise prereq(f"Node '{node.name}' keeps no {instance.disk_template} disks", "environment_error")
    volumes.check_space(view, node, instance.disks)


def _check_os(op: InstanceCreate, view: View, node: NodeRecord) -> None:
    assert op.os_type is not None
    name = op.os_type.partition("+")[0]
    if {name, op.os_type} & set(view.cluster.blacklisted_os):
        raise prereq(f"Guest OS '{op.os_type}' is blacklisted", "wrong_state")
    definition = condition.usable_os(view, node, op.os_type, op.force_variant)
    given = {*op.osparams, *(op.osparams_private or {}), *(op.osparams_secret or {})}
    condition.known_osparams(definition, given, node)
