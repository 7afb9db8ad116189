"""What exports have in common, wherever they go (behaviour.md §6; texts as observed)."""

from typing import Any

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.backup import BackupExport
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import ScriptEnd, StartDomain, StreamEnd, VolumeEnd
from twisted_rapi.plan import copying, power, volumes
from twisted_rapi.plan.condition import changed, primary, usable_os
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.stage import Change, Do, Finish, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def check(op: BackupExport, view: View, instance: InstanceRecord) -> None:
    """
    Whether the instance can be exported so.

    :raises OpPrereqError: it cannot.
    """
    if op.remove_instance and not op.shutdown:
        raise prereq("Can not remove instance without shutting it down before")
    if op.zero_free_space:
        raise prereq("Zeroing free space is not offered by this release")
    copying.check_compression(view, op.compress)
    volumes.check_nodes(view, instance)
    if instance.os:
        usable_os(view, primary(view, instance), instance.os, force_variant=True)


def kept(op: BackupExport, view: View, instance: InstanceRecord) -> dict[str, Any]:
    """What is noted when it begins."""
    return {
        "uuid": instance.uuid,
        "source": instance.primary_node,
        "token": copying.new_token(view),
        # What runs now is to run again, though nobody wants it to.
        "again": runs(view, instance) and op.shutdown,
    }


def remarks(op: BackupExport, view: View, instance: InstanceRecord) -> tuple[str, ...]:
    """What the log says before it begins."""
    if runs(view, instance) and not op.shutdown:
        return (f" - WARNING: Instance {instance.name} runs: its dumps may not be consistent",)
    return ()


def sources(view: View, instance: InstanceRecord) -> tuple[StreamEnd, ...]:
    """Per disk where its bytes come from: its OS definition knows best what of it is needed."""
    spec = domain_spec(view, instance, osparams=dict(instance.osparams_private))
    return tuple(
        ScriptEnd(domain=spec, index=n) if instance.os else VolumeEnd(disk=disk)
        for n, disk in enumerate(spec.disks)
    )


def each(instance: InstanceRecord, text: str) -> tuple[str, ...]:
    """A line of the log for each disk."""
    return tuple(text.format(n) for n in range(len(instance.disks)))


def stops(op: BackupExport, instance: InstanceRecord) -> tuple[Do, ...]:
    """Stop it, if that is asked for."""
    if not op.shutdown:
        return ()
    return (Do(instance.primary_node, power.stop_step(instance, op.shutdown_timeout)),)


def runs(view: View, instance: InstanceRecord) -> bool:
    """Whether the guest runs."""
    domain = view.domain(instance)
    return domain is not None and domain.running


def activations(view: View, instance: InstanceRecord) -> tuple[Do, ...]:
    """Have the disks at hand."""
    away = volumes.offline(view, instance)
    return volumes.activations(view, instance, volumes.all_disks(instance), without=away)


def rest(view: View, instance: InstanceRecord, again: bool) -> tuple[tuple[Do, ...], tuple[str, ...]]:
    """
    What is to be done, and told: disks nobody uses are let go of.

    :param again: the guest is to run, as it did before.
    """
    if again:
        start = StartDomain(instance=instance.name, domain=domain_spec(view, instance))
        starting = (*volumes.followers(view, instance), Do(instance.primary_node, start))
        return starting, (f"Starting instance {instance.name}",)
    if instance.disks_active or runs(view, instance):
        return (), ()
    return volumes.deactivations(view, instance), (f"Deactivating disks for {instance.name}",)


def concluded(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """The export is whole and nothing more is to be said of it: the end, or the removal of the instance."""
    trouble: tuple[str, ...] = ()
    if progress.error is not None:
        trouble = (f" - WARNING: {progress.error.text}",)
    if op.remove_instance:
        down = changed(instance, view, admin_state="down", disks_active=False)
        return Change(stage="removing", puts=(down,), log=(*trouble, f"Removing instance {instance.name}"))
    return Finish(result=_result(instance), log=trouble)


def _result(instance: InstanceRecord) -> list[Any]:
    return [True, [True] * len(instance.disks)]


def remove(op: BackupExport, view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """The instance is not needed any more; what is left of it when that fails is said."""
    works = power.removal(view, instance, op.shutdown_timeout)
    if progress.stage == "removing":
        failed = "gone" if op.ignore_remove_failures else None
        return Perform(work=InSequence(works), stage="gone", failed=failed)
    done = power.forget(view, instance, works, progress)
    return Finish(
        result=_result(instance), puts=done.puts, deletes=done.deletes, free=done.free, log=done.log
    )
