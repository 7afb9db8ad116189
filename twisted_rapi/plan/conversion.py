"""What all conversions between disk templates have in common: what is asked for, and what is recorded."""

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model.opcodes.instance import InstanceSetParams
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan import disks
from twisted_rapi.plan.condition import answering, changed, primary
from twisted_rapi.plan.place import Demand, place
from twisted_rapi.plan.stage import Progress
from twisted_rapi.plan.view import View


def others(op: InstanceSetParams) -> bool:
    """Whether anything is to be changed that has nothing to do with disks and nodes."""
    given = (op.nics, op.beparams, op.hvparams, op.osparams, op.osparams_private, op.os_name)
    return any(given) or any(v is not None for v in (op.runtime_mem, op.offline, op.instance_communication))


def check_form(op: InstanceSetParams, view: View, instance: InstanceRecord) -> None:
    """
    Whether a conversion to another template is asked for, and nothing else.

    :raises OpPrereqError: ``wrong_input``.
    """
    had, wanted = instance.disk_template, op.disk_template
    if op.disks:
        raise prereq("Disk template conversion and other disk changes not supported at the same time")
    if others(op) or op.pnode:
        raise prereq("Disk template conversion and other changes are not offered at the same time")
    if op.ext_params and wanted != "ext":
        raise prereq(f"Parameters of a provider mean nothing for disk template '{wanted}'")
    if wanted == had:
        raise prereq(f"Instance already has disk template {had}")
    enabled = view.cluster.enabled_disk_templates
    if wanted not in enabled:
        raise OpPrereqError(
            f"Disk template '{wanted}' is not enabled in cluster. "
            f"Enabled disk templates are: {','.join(enabled)}"
        )


def check_current(progress: Progress, instance: InstanceRecord) -> None:
    """
    Whether what the primary node has of the disks, by the outcome of a look at them, is all of their data.

    :raises OpPrereqError: ``wrong_state``.
    """
    outcome = progress.outcomes[-1] if progress.outcomes else None
    states = outcome.disks if outcome is not None else ()
    for n, state in enumerate(states):
        if state is None:
            raise prereq(f"Disk {n} of instance {instance.name} is missing, cannot convert", "wrong_state")
        if state.get("ldisk", "okay") != "okay":
            raise prereq(
                f"Disk {n} of instance {instance.name} is degraded on its primary node, cannot convert",
                "wrong_state",
            )


def secondary(op: InstanceSetParams, view: View, instance: InstanceRecord) -> NodeRecord:
    """
    The other node of mirrored disks: the one that is named, or one that is chosen.

    :raises OpPrereqError: there is none.
    """
    if op.remote_node is not None:
        new = view.node(op.remote_node)
        if new.uuid == instance.primary_node:
            raise prereq(
                f"Given new secondary node {new.name} is the same as the primary node of the instance",
                "wrong_state",
            )
        answering(view, new)
        if new.drained or not new.vm_capable:
            what = "drained" if new.drained else "non-vm_capable"
            raise prereq(f"Cannot use {what} secondary node '{new.name}'", "wrong_state")
        return new
    if op.iallocator is None:
        raise prereq("Conversion to a mirrored disk template needs a secondary node")
    if op.iallocator not in (".", "builtin"):
        raise prereq(f"Can't find iallocator '{op.iallocator}': only the built-in one is offered")
    demand = Demand(
        hypervisor=instance.hypervisor,
        memory=0,
        disk=disks.usage("drbd", instance.disks),
        template="drbd",
        group=primary(view, instance).group,
        without=(instance.primary_node,),
    )
    return place(view, demand, instance.name)


def noted(view: View, instance: InstanceRecord, after: InstanceRecord) -> InstanceRecord:
    """The record with the disks it has from now on."""
    return changed(
        instance,
        view,
        disk_template=after.disk_template,
        disks=after.disks,
        secondary_nodes=after.secondary_nodes,
    )
