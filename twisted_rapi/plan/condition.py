"""Conditions that several opcodes make: nodes that answer, machines that rest, definitions that exist."""

from typing import Literal, TypeVar

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.record_base import ObjectRecord
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.seen import NodeReport, OsSeen
from twisted_rapi.plan.stage import Progress
from twisted_rapi.plan.view import View

AnyObject = TypeVar("AnyObject", bound=ObjectRecord)
Role = Literal["primary", "secondary", "target"]
"""What an instance's node is to be."""


def changed(record: AnyObject, view: View, **values: object) -> AnyObject:
    """The record with these values, its serial number raised and its time of change set."""
    return replace(record, serial_no=record.serial_no + 1, mtime=view.now, **values)


def subject(name: str, progress: Progress, view: View) -> InstanceRecord:
    """
    The instance an opcode is about: the one called `name` at first, later on the one its plan noted.

    Names change hands while an opcode is carried out, and a new instance may be called by what was short for
    this one.

    :raises OpPrereqError: ``unknown_entity``.
    :raises OpExecError: it is gone.
    """
    uuid = progress.kept.get("uuid")
    if uuid is None:
        return view.instance(name)
    if uuid not in view.instances:
        raise OpExecError(f"Instance {name} has been removed meanwhile")
    return view.instances[uuid]


def online(node: NodeRecord) -> NodeRecord:
    """
    The node, if it is not marked offline.

    :raises OpPrereqError: ``wrong_state``.
    """
    if node.offline:
        raise prereq(f"Node '{node.name}' is marked offline", "wrong_state")
    return node


def answering(view: View, node: NodeRecord) -> NodeReport:
    """
    The node's report.

    :raises OpPrereqError: ``wrong_state`` if it is marked offline, ``environment_error`` if it is silent.
    """
    online(node)
    report = view.reports.get(node.uuid)
    if report is None:
        raise prereq(f"Node '{node.name}' does not answer", "environment_error")
    return report


def usable(view: View, instance: InstanceRecord, node: NodeRecord, role: Role) -> NodeReport:
    """
    The report of a node that can have the instance, as far as its kinds of machines and disks go.

    :raises OpPrereqError: it cannot.
    """
    report = answering(view, node)
    if node.drained:
        raise prereq(f"Cannot use drained {role} node '{node.name}'", "wrong_state")
    if not node.vm_capable:
        raise prereq(f"Cannot use non-vm_capable {role} node '{node.name}'", "wrong_state")
    if role != "secondary" and instance.hypervisor not in report.hypervisors:
        raise prereq(f"Node '{node.name}' has no hypervisor {instance.hypervisor}", "environment_error")
    if instance.disk_template not in ("diskless", *report.templates):
        raise prereq(f"Node '{node.name}' keeps no {instance.disk_template} disks", "environment_error")
    return report


def primary(view: View, instance: InstanceRecord) -> NodeRecord:
    """The instance's primary node."""
    return view.nodes[instance.primary_node]


def at_rest(view: View, instance: InstanceRecord, doing: str) -> None:
    """
    Nothing of the instance runs, nor should it.

    :param doing: what cannot be done otherwise, such as ``rename``.
    :raises OpPrereqError: ``wrong_state``; ``environment_error`` when that cannot be known.
    """
    if instance.admin_state == "up":
        raise prereq(f"Instance '{instance.name}' is marked to be up, cannot {doing}", "wrong_state")
    answering(view, primary(view, instance))
    domain = view.domain(instance)
    if domain is not None and domain.running:
        raise prereq(f"Instance '{instance.name}' is running, cannot {doing}", "wrong_state")


def not_offline(instance: InstanceRecord, doing: str) -> None:
    """
    The instance is not marked offline.

    :raises OpPrereqError: ``wrong_state``.
    """
    if instance.admin_state == "offline":
        raise prereq(f"Instance '{instance.name}' is marked to be offline, cannot {doing}", "wrong_state")


def usable_os(view: View, node: NodeRecord, os: str, force_variant: bool) -> OsSeen:
    """
    The OS definition as the node has it.

    :raises OpExecError: the node does not have it, or not this variant (texts as observed).
    """
    name, _, variant = os.partition("+")
    where = f"OS Parameters validation failed on node {node.name}"
    found = next((o for o in answering(view, node).oses if o.name == name), None)
    if found is None:
        raise OpExecError(f"{where}: Directory for OS {name} not found in search path")
    if found.invalid:
        raise OpExecError(f"{where}: {found.invalid}")
    if found.variants and not variant and not force_variant:
        raise prereq(f"OS '{name}' needs a variant: {', '.join(found.variants)}")
    if variant and not found.variants:
        raise OpExecError(f"{where}: OS '{name}' does not support variants ('{variant}' passed)")
    if variant and variant not in found.variants and not force_variant:
        raise OpExecError(f"{where}: OS '{name}' does not support variant '{variant}'")
    return found


def known_osparams(definition: OsSeen, names: set[str], node: NodeRecord) -> None:
    """
    The OS definition declares these parameters.

    :raises OpExecError: it does not declare one.
    """
    unknown = names - {name for name, _ in definition.parameters}
    if unknown:
        listed = ", ".join(sorted(unknown))
        raise OpExecError(
            f"OS Parameters validation failed on node {node.name}: "
            f"The following parameters are not supported by the OS {definition.name}: {listed}"
        )


def enough_memory(view: View, instance: InstanceRecord, needed: int) -> None:
    """
    The primary node has room for so many MiB.

    :raises OpPrereqError: ``insufficient_resources``.
    """
    node = primary(view, instance)
    free = answering(view, node).memory_free
    if needed > free:
        raise prereq(
            f"Not enough memory on node {node.name} for instance {instance.name}: "
            f"needed {needed} MiB, available {free} MiB",
            "insufficient_resources",
        )
