"""Prerequisites of ``OP_INSTANCE_CREATE``: the record it asks for, nodes that take it (behaviour.md §5)."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from msgspec.structs import replace

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NodeRecord
from twisted_rapi.plan import attachment, condition, devices, disks, policy, volumes
from twisted_rapi.plan.allocation.consult import allocator, consult
from twisted_rapi.plan.allocation.questions import Allocate, Nodes
from twisted_rapi.plan.naming import host_name, merged_tags
from twisted_rapi.plan.opportunity import offered
from twisted_rapi.plan.stage import (
    Perform,
    Progress,
)
from twisted_rapi.plan.view import View

_WITH_PORT = ("kvm", "xen-hvm")


def starts(op: InstanceCreate) -> bool:
    """Whether the instance runs in the end."""
    return op.start and not op.no_install and not op.forthcoming


def drafted(op: InstanceCreate, view: View, found: Sequence[Mapping[str, Any] | None] = ()) -> InstanceRecord:
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


def judged(
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
    if op.ip_check:  # the checks have been made otherwise
        raise prereq("Cannot do IP address check without a name check")
    if op.iallocator is not None and op.pnode is not None:
        raise prereq("Do not specify both, iallocator and node")
    if op.instance_communication:
        raise prereq("Instance communication is not offered by this release")
    if op.opportunistic_locking and op.pnode is not None:
        raise prereq("Opportunistic locking is for nodes that an allocator chooses")
    if len(op.disks) > disks.MAX_DISKS:
        raise prereq(f"Too many disks: at most {disks.MAX_DISKS}")
    _check_adoption(op)
    if len(op.nics) > devices.MAX_NICS:
        raise prereq(f"Too many NICs: at most {devices.MAX_NICS}")


def _check_adoption(op: InstanceCreate) -> None:
    adopted = [given["adopt"] for given in op.disks if "adopt" in given]
    if not adopted:
        return
    if op.mode != "create":
        raise prereq("Disk adoption not allowed for instance import")
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
        network_port=disks.free_port(view) if hypervisor in _WITH_PORT else None,
    )


def _unusual(given: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if usual[name] != value}


@attrs.frozen
class Chosen:
    """The nodes it is made on, primary first, and what the log tells of how they were chosen."""

    nodes: tuple[NodeRecord, ...]
    told: tuple[str, ...] = ()


def choose(op: InstanceCreate, progress: Progress, view: View, draft: InstanceRecord) -> Chosen | Perform:
    """
    The nodes, or the question to an allocator that has to be asked before.

    :raises OpPrereqError: there are none.
    """
    if progress.stage == "verified" and "nodes" in progress.kept:
        return Chosen(tuple(view.nodes[n] for n in progress.kept["nodes"]), tuple(progress.kept["told"]))
    mirrored = draft.disk_template in disks.MIRRORED
    snode = None if op.snode is None else view.node(op.snode)
    if op.pnode is None:
        return _placed(op, progress, view, draft)
    pnode = view.node(op.pnode)
    if not mirrored:
        return Chosen((pnode,))
    if snode is None:
        raise prereq("The networked disk templates need a mirror node")
    if snode.uuid == pnode.uuid:
        raise prereq("The secondary node cannot be the primary node")
    return Chosen((pnode, snode))


def allocation(op: InstanceCreate, view: View, draft: InstanceRecord | None = None) -> Allocate:
    """
    What an allocator is asked for the instance an opcode describes.

    :raises JobError: the opcode cannot be carried out, whatever the nodes.
    """
    return Allocate(
        instance=drafted(op, view) if draft is None else draft,
        starts=starts(op),
        group=view.group(op.group_name).uuid if op.group_name is not None else None,
        among=offered(op, view),
        os="" if op.no_install or op.os_type is None else op.os_type.partition("+")[0],
        ignore_ipolicy=op.ignore_ipolicy,
    )


def _placed(op: InstanceCreate, progress: Progress, view: View, draft: InstanceRecord) -> Chosen | Perform:
    found = consult(allocation(op, view, draft), op.iallocator, progress, view)
    if isinstance(found, Perform):
        return found
    assert isinstance(found, Nodes)
    names = ", ".join(node.name for node in found.nodes)
    script = allocator(op.iallocator, view)
    via = f" via iallocator {script}" if script else ""
    return Chosen(
        found.nodes, (f" - INFO: Selected nodes for instance {draft.name}{via}: {names}", *found.told)
    )


def _check_node(op: InstanceCreate, view: View, instance: InstanceRecord, node: NodeRecord) -> None:
    condition.usable(view, instance, node, "primary")
    devices.check_bridges(view, instance)
    if op.os_type is not None and not op.no_install:
        _check_os(op, view, node)
    if not any("adopt" in given for given in op.disks):
        volumes.check_space(view, node, instance.disks)
    if starts(op):
        condition.enough_memory(view, instance, params.beparams(view.cluster, instance)["maxmem"])


def _check_secondary(view: View, instance: InstanceRecord, node: NodeRecord) -> None:
    condition.usable(view, instance, node, "secondary")
    volumes.check_space(view, node, instance.disks)


def _check_os(op: InstanceCreate, view: View, node: NodeRecord) -> None:
    assert op.os_type is not None
    name = op.os_type.partition("+")[0]
    if {name, op.os_type} & set(view.cluster.blacklisted_os):
        raise prereq(f"Guest OS '{op.os_type}' is blacklisted", "wrong_state")
    definition = condition.usable_os(view, node, op.os_type, op.force_variant)
    given = {*op.osparams, *(op.osparams_private or {}), *(op.osparams_secret or {})}
    condition.known_osparams(definition, given, node)
