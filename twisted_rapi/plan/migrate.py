"""
``OP_INSTANCE_MIGRATE`` (behaviour.md §5; texts as observed).

Note [Where the guest runs].  Only the two hypervisors know which of them has the guest, during a migration
and after one whose end nobody was told.  So what the record says is changed only by what both nodes answer
when they are asked, one step after all those that were under way; nothing is started anywhere.  A guest that
one of them may still have is never taken to be gone.  The source is asked first, and answers once the guest
is not on its way any more: only then does it mean something what the target says.
"""

import re
from collections.abc import Mapping
from typing import Any

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.machine import DOWNTIME
from twisted_rapi.model.opcodes.moving import InstanceMigrate
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import (
    ActivateVolume,
    MigrateDomain,
    MigrationTarget,
    Outcome,
    SetMemory,
    Step,
)
from twisted_rapi.plan import cleaning, failover, relocation, volumes
from twisted_rapi.plan.allocation.consult import CONSULTED
from twisted_rapi.plan.condition import answering, primary, subject
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.power import stop_step
from twisted_rapi.plan.stage import Change, Do, Finish, InSequence, Perform, Progress, Stage, Work
from twisted_rapi.plan.view import View

_UNCLEAR = "it is not clear where instance {} runs; ask for a migration with cleanup when both nodes answer"

_DEGRADED = "Disk {} is degraded or not fully synchronized on target node, aborting migration"


_LOOKS: Mapping[str, tuple[bool, str]] = {
    "begun": (False, "awaited"),
    "awaited": (True, "looked"),
    "failed": (False, "over"),
    "over": (True, "settled"),
}
"""By stage, whether the target is looked at as well as the source, and the stage after that."""


def plan_migrate(op: InstanceMigrate, progress: Progress, view: View) -> Stage:
    """
    See where the guest is, have it go, see that it went, record that.

    A guest that was stopped is failed over instead, where that is allowed.
    """
    instance = subject(op.instance_name, progress, view)
    if progress.stage in ("", CONSULTED, relocation.INSPECTED):
        if op.cleanup:
            return cleaning.begin(view, instance, op.target_node, "migrations")
        return _begin(op, progress, view, instance)
    if progress.kept.get("failover"):
        return failover.carry_on(view, instance, progress, 120, ignore_consistency=False)
    if progress.kept.get("cleanup"):
        return cleaning.carry_on(view, instance, progress)
    source, target = (view.nodes[progress.kept[end]] for end in ("source", "target"))
    if progress.stage in _LOOKS:
        both, stage = _LOOKS[progress.stage]
        nodes = (source.uuid, target.uuid) if both else (source.uuid,)
        return relocation.look_at(instance, nodes, stage)
    match progress.stage:
        case "looked":
            return _go(op, view, instance, progress)
        case "settled":
            return _settle(view, instance, progress)
        case "moved":
            return _record(view, instance, target, ("* memory transfer complete",))
        case "recorded":
            return _let_go(view, instance, source, target)
        case "undone":
            error = progress.error or OpExecError(f"Could not migrate instance {instance.name}")
            return Finish(error=error)
    return Finish(log=("* done",))


# Prerequisites.


def mode_of(op: InstanceMigrate, view: View, instance: InstanceRecord) -> str:
    """``live`` or ``non-live``: as asked for in either form, else as the hypervisor's parameters say."""
    if op.live is not None:
        return "live" if op.live else "non-live"
    usual = params.cluster_hvparams(view.cluster, instance.hypervisor).get("migration_mode", "non-live")
    return op.mode or str(usual)


def _begin(op: InstanceMigrate, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    if op.live is not None and op.mode is not None:
        raise prereq("Only one of the parameters 'live' and 'mode' is accepted")
    relocation.check_template(instance, "migrations")
    source = primary(view, instance)
    answering(view, source)
    domain = view.domain(instance)
    if domain is None or not domain.running:
        return _instead(op, progress, view, instance)
    least = params.beparams(view.cluster, instance)["minmem"] if op.allow_runtime_changes else domain.memory
    target = relocation.target(op, progress, view, instance, min(least, domain.memory))
    if isinstance(target, Perform):
        return target
    relocation.check_target(op, view, instance, target)
    volumes.check_nodes(view, instance)
    _check_versions(op, view, instance, source, target)
    memory = _memory(op, view, instance, domain, target)
    look = relocation.inspect(view, instance, target, progress)
    if look is not None:
        return look
    relocation.check_sides(instance, progress, linked=True, text=_DEGRADED)
    log = (f"Migrating instance {instance.name}", "* checking disk consistency between source and target")
    kept = {"uuid": instance.uuid, "source": source.uuid, "target": target.uuid, "memory": memory}
    return Change(stage="begun", kept=kept, log=log)


def _instead(op: InstanceMigrate, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    if not op.allow_failover:
        raise prereq(f"Instance {instance.name} is not running, please use failover", "wrong_state")
    begun = failover.begin(op, progress, view, instance, ignore_consistency=False)
    if isinstance(begun, Perform):
        return begun
    told = f" - INFO: Instance {instance.name} is not running: it is failed over"
    return _with(begun, {"failover": True}, (told,))


def _with(change: Change, kept: Mapping[str, object], log: tuple[str, ...]) -> Change:
    """The change with more that is kept, and told before."""
    return Change(stage=change.stage, puts=change.puts, kept={**change.kept, **kept}, log=(*log, *change.log))


def _memory(
    op: InstanceMigrate, view: View, instance: InstanceRecord, domain: DomainSeen, target: NodeRecord
) -> int:
    """MiB the guest is to have when it goes; 0: what it has."""
    free = answering(view, target).memory_free
    if free >= domain.memory:
        return 0
    least = params.beparams(view.cluster, instance)["minmem"]
    if op.allow_runtime_changes and free >= least:
        return free
    needed = least if op.allow_runtime_changes else domain.memory
    raise prereq(
        f"Not enough memory on node {target.name} for migrating instance {instance.name}: "
        f"needed {needed} MiB, available {free} MiB",
        "insufficient_resources",
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _check_versions(
    op: InstanceMigrate, view: View, instance: InstanceRecord, source: NodeRecord, target: NodeRecord
) -> None:
    """Guests go from older hypervisors to newer ones; the other way is not promised by any."""
    here, there = (view.reports[n.uuid].hypervisors.get(instance.hypervisor, "") for n in (source, target))
    if _numbers(there) < _numbers(here) and not op.ignore_hvversions:
        raise prereq(
            f"Hypervisor {instance.hypervisor} of node {target.name} is older ({there}) than that of "
            f"{source.name} ({here})",
            "environment_error",
        )


# The way.


def _go(op: InstanceMigrate, view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """Have it go, unless it went already."""
    source, target = (view.nodes[progress.kept[end]] for end in ("source", "target"))
    here, there = progress.outcomes
    if _has_gone(here, there):
        return _record(view, instance, target)
    if here is None or there is None:
        raise progress.error or OpExecError(_UNCLEAR.format(instance.name))
    if not here.text:
        raise OpExecError(f"Instance {instance.name} does not run any more")
    return Perform(
        work=InSequence((*_cleared(instance, target, there), *_going(op, view, instance, progress))),
        stage="moved",
        failed="failed",
        log=(
            f"* closing instance disks on node {target.name}",
            f"* opening instance disks on node {source.name} in shared mode",
            f"* opening instance disks on node {target.name} in shared mode",
            f"* preparing {target.name} to accept the instance",
            f"* migrating instance to {target.name}",
            "* starting memory transfer",
        ),
    )


def _has_gone(here: Outcome | None, there: Outcome | None) -> bool:
    """Whether the guest is at the target and nowhere else; one that runs there has left a silent source."""
    if there is None or not there.text:
        return False
    return there.text == "running" if here is None else not here.text


def _cleared(instance: InstanceRecord, target: NodeRecord, there: Outcome) -> tuple[Do, ...]:
    """What an earlier attempt left of the guest at the target is no guest: it goes."""
    if not there.text:
        return ()
    if there.text == "running":
        raise OpExecError(f"Instance {instance.name} runs on two nodes: stop one of them")
    return (Do(target.uuid, stop_step(instance, 0, force=True, boot=there.boot)),)


def _going(op: InstanceMigrate, view: View, instance: InstanceRecord, progress: Progress) -> tuple[Do, ...]:
    source, target = (view.nodes[progress.kept[end]] for end in ("source", "target"))
    steps: list[tuple[NodeRecord, Step]] = []
    if progress.kept.get("memory"):
        less = SetMemory(
            instance=instance.name,
            hypervisor=instance.hypervisor,
            instance_uuid=instance.uuid,
            memory=progress.kept["memory"],
        )
        steps.append((source, less))
    disks = volumes.specs(view, instance, target.uuid)
    steps += [(target, ActivateVolume(instance=instance.name, disk=disk)) for disk in disks]
    go = MigrateDomain(
        instance=instance.name,
        domain=domain_spec(view, instance),
        target=_address(op, view, instance, target),
    )
    return tuple(Do(node.uuid, step) for node, step in [*steps, (source, go)])


def _address(
    op: InstanceMigrate, view: View, instance: InstanceRecord, target: NodeRecord
) -> MigrationTarget:
    kind = instance.hypervisor
    whole = params.cluster_hvparams(view.cluster, kind)
    own = params.hvparams(view.cluster, instance)
    caps = str(own.get("migration_caps") or "")
    return MigrationTarget(
        uri=view.reports[target.uuid].migration.get(kind) or f"qemu+tls://{target.agent_host}/system",
        address=target.secondary_ip,
        port=int(whole.get("migration_port") or 0),
        live=mode_of(op, view, instance) == "live",
        bandwidth=int(whole.get("migration_bandwidth") or 0),
        downtime=_downtime(view, instance, own),
        capabilities=tuple(name for name in caps.split(":") if name),
    )


def _downtime(view: View, instance: InstanceRecord, own: Mapping[str, Any]) -> int:
    """Milliseconds the guest may stand still: as PVC's API was told, else as its parameters say."""
    told = view.machine(instance.uuid).migration_max_downtime
    return told if told != DOWNTIME else int(own.get("migration_downtime") or 0)


def _record(view: View, instance: InstanceRecord, target: NodeRecord, log: tuple[str, ...] = ()) -> Change:
    return Change(stage="recorded", puts=relocation.recorded(view, instance, target.uuid), log=log)


def _let_go(view: View, instance: InstanceRecord, source: NodeRecord, target: NodeRecord) -> Perform:
    """The source no longer needs the disks, or only follows; the guest runs whether that succeeds or not."""
    work: Work = InSequence(tuple(relocation.deactivations(view, instance, source.uuid)))
    if any(nodes_of(disk) for disk in instance.disks):
        work = InSequence(volumes.activations(view, instance, volumes.all_disks(instance)))
    log = (
        f"* closing instance disks on node {source.name}",
        f"* opening instance disks on node {target.name} in exclusive mode",
    )
    return Perform(work=work, stage="done", failed="done", log=log)


def _settle(view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """What came of a migration that failed."""
    target = view.nodes[progress.kept["target"]]
    here, there = progress.outcomes
    if _has_gone(here, there):
        return _record(view, instance, target)
    if here is None:
        reason = "" if progress.error is None else f"{progress.error.text}; "
        raise OpExecError(reason + _UNCLEAR.format(instance.name))
    work: list[Do] = []
    if there is not None:
        work += (*_cleared(instance, target, there), *_closed(view, instance, target))
    return Perform(
        work=InSequence(tuple(work)), stage="undone", failed="undone", log=("Undoing the migration",)
    )


def _closed(view: View, instance: InstanceRecord, target: NodeRecord) -> tuple[Do, ...]:
    """The disks at the target as they were before."""
    if any(nodes_of(disk) for disk in instance.disks):
        return volumes.activations(view, instance, volumes.all_disks(instance))
    return tuple(relocation.deactivations(view, instance, target.uuid))
