"""``OP_INSTANCE_CREATE`` (behaviour.md §5; texts as observed)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.kvm_limits import remarks
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import DiskRecord, InstanceRecord, LeftoverRecord, NodeRecord
from twisted_rapi.model.steps import InspectDisks, MoveVolume, RunOs, StartDomain, VerifyOs
from twisted_rapi.plan import attachment, condition, disks, importing, remote_import, sync, volumes
from twisted_rapi.plan.allocation.consult import CONSULTED
from twisted_rapi.plan.belongings import records_of
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.drafting import choose, drafted, judged, starts
from twisted_rapi.plan.leftover import leftovers
from twisted_rapi.plan.machine import disk_spec, domain_spec
from twisted_rapi.plan.naming import reservations
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
        case stage if stage in remote_import.STAGES:
            return remote_import.carried_on(op, progress, view, instance)
        case "failed":
            work = InParallel(_undoing(view, instance, progress))
            return Perform(work=work, stage="undone", failed="undone", log=("Removing what was made",))
        case "undone":
            return _give_up(view, instance, progress)
        case "installed":
            up = starts(op) and not progress.kept.get("held")
            shown = replace(
                instance,
                pending=None,
                forthcoming=False,
                mtime=view.now,
                admin_state="up" if up else "down",
                disks_active=up or any(nodes_of(disk) for disk in instance.disks),
            )
            return Change(stage="shown", puts=(shown,), kept=progress.kept)
        case "shown" if instance.admin_state == "up":
            start = StartDomain(instance=instance.name, domain=domain_spec(view, instance))
            return Perform(
                work=Do(instance.primary_node, start), stage="started", log=("* starting instance...",)
            )
    return Finish(result=_nodes(view, instance))


def _nodes(view: View, instance: InstanceRecord) -> list[str]:
    return [view.nodes[n].name for n in (instance.primary_node, *instance.secondary_nodes)]


def _begin(op: InstanceCreate, progress: Progress, view: View) -> Stage:
    if op.mode == "remote-import":
        remote_import.check(op, view)
    elif op.os_type is None:
        raise prereq("No guest OS or OS image specified")
    looked = progress.outcomes[-1] if progress.stage == "verified" and progress.outcomes else None
    draft = drafted(op, view, looked.disks if looked is not None else ())
    chosen = choose(op, progress, view, draft)
    if isinstance(chosen, Perform):
        return chosen
    instance = judged(op, view, progress.job, draft, chosen.nodes)
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
        kept={"uuid": instance.uuid, "adopted": adopted, **_noted(op, progress, view)},
        log=(*chosen.told, *_announced(op, view, instance)),
        filled=_named(chosen.nodes),
    )
    return DryRun(result=nodes, then=then)


def _noted(op: InstanceCreate, progress: Progress, view: View) -> dict[str, Any]:
    return remote_import.kept(op, view, progress.job) if op.mode == "remote-import" else {}


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
    if not starts(op):  # else the node says so when it starts the instance
        log += [f" - WARNING: {text}" for text in remarks(instance.hypervisor, instance.hvparams)]
    return tuple(log)


def _installs(op: InstanceCreate, instance: InstanceRecord) -> bool:
    """Whether the OS definition's script runs; without disks it has nothing to write to (as observed)."""
    return bool(instance.os) and not op.no_install and bool(instance.disks)


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
    if progress.kept.get("remote"):
        return remote_import.opened(op, view, instance, progress, log)
    if progress.kept.get("export"):
        copy = importing.copy_of(view, instance, progress.kept)
        told = (*log, "* running the instance OS import scripts...") if copy.ends else log
        work = InSequence((*copy.ending(), *copy.ended(), *copy.openings()))
        stage = "receiving" if copy.ends else "installed"
        return Perform(work=work, stage=stage, failed="failed", log=told)
    if not _installs(op, instance):
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
    if progress.kept.get("remote"):
        ending = remote_import.ending(instance, progress)
        return (*ending, *volumes.deletions(view, instance, volumes.all_disks(instance)))
    if progress.kept.get("export"):
        ending = importing.copy_of(view, instance, progress.kept).ending()
        return (*ending, *volumes.deletions(view, instance, volumes.all_disks(instance)))
    return volumes.deletions(view, instance, volumes.all_disks(instance))


def _give_up(view: View, instance: InstanceRecord, progress: Progress) -> Finish:
    left: tuple[LeftoverRecord, ...] = leftovers(
        _undoing(view, instance, progress), progress.outcomes, f"creation of {instance.name} failed"
    )
    error = progress.error or OpExecError("There are some degraded disks for this instance")
    gone = records_of(view, instance)
    return Finish(error=error, puts=left, deletes=gone, free=tuple(reservations(instance)))
