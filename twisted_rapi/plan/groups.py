"""The opcodes about node groups, their parameters and members (texts as observed)."""

from collections.abc import Iterable

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import group_params, params
from twisted_rapi.model.opcodes import group as opcodes
from twisted_rapi.model.records import GroupRecord, InstanceRecord, name_key
from twisted_rapi.plan.condition import changed
from twisted_rapi.plan.networks import instances_of
from twisted_rapi.plan.policy import spec_of, violations
from twisted_rapi.plan.renaming import new_name, renamed
from twisted_rapi.plan.stage import Finish, Progress, Stage
from twisted_rapi.plan.view import View

Result = list[tuple[str, str]]


def _values(op: opcodes.GroupValues, view: View, group: GroupRecord) -> GroupRecord:
    """
    The group with the parameters an opcode gives.

    :raises JobError: one is wrong.
    """
    cluster = view.cluster
    nd = group_params.check_nd(op.ndparams or {})
    disk = group_params.check_disk(op.diskparams or {})
    policy = group_params.check_ipolicy(op.ipolicy or {}, cluster.enabled_disk_templates)
    hv_state = group_params.check_hv_state(op.hv_state or {}, cluster.enabled_hypervisors)
    disk_state = group_params.check_disk_state(op.disk_state or {})
    return replace(
        group,
        alloc_policy=op.alloc_policy or group.alloc_policy,
        ndparams=params.update(group.ndparams, nd),
        diskparams=group_params.update_disk(group.diskparams, disk),
        ipolicy=params.update(group.ipolicy, policy),
        hv_state={**group.hv_state, **hv_state},
        disk_state={**group.disk_state, **disk_state},
    )


def plan_group_add(op: opcodes.GroupAdd, progress: Progress, view: View) -> Stage:
    """Record a group without nodes."""
    name = new_name("group", op.group_name, view)
    bare = GroupRecord(uuid=view.new_uuid(), name=name, ctime=view.now, mtime=view.now)
    group = _values(op, view, bare)
    return Finish(puts=(group,), names={name_key("group", name): group.uuid})


def plan_group_modify(op: opcodes.GroupSetParams, progress: Progress, view: View) -> Stage:
    """Change parameters; instances that a new policy would not allow are named in a warning."""
    given = (op.alloc_policy, op.ndparams, op.diskparams, op.hv_state, op.disk_state, op.ipolicy)
    if all(value is None for value in given):
        raise prereq("Please pass at least one modification")
    group = view.group(op.group_name)
    after = _values(op, view, group)
    result: Result = []
    if op.ndparams:
        result.append(("ndparams", str(after.ndparams)))
    if op.diskparams:
        result.append(("diskparams", str(after.diskparams)))
    log = []
    worse = _newly_violating(view, group, after)
    if worse:
        listed = ", ".join(worse)
        log.append(f" - WARNING: The new instance policy is violated by these instances: {listed}")
    return Finish(result=result, puts=(changed(after, view),), log=tuple(log))


def _newly_violating(view: View, before: GroupRecord, after: GroupRecord) -> list[str]:
    if before.ipolicy == after.ipolicy:
        return []

    def violates(group: GroupRecord, instance: InstanceRecord) -> bool:
        policy = params.ipolicy(view.cluster, group)
        return bool(violations(policy, spec_of(view, instance), instance.disk_template))

    members = [i for i in instances_of(view, before) if i.pending is None]
    return sorted(i.name for i in members if violates(after, i) and not violates(before, i))


def plan_group_rename(op: opcodes.GroupRename, progress: Progress, view: View) -> Stage:
    """Give a group another name."""
    return renamed(view.group(op.group_name), op.new_name, view)


def plan_group_remove(op: opcodes.GroupRemove, progress: Progress, view: View) -> Stage:
    """Forget a group without nodes, unless it is the only one."""
    group = view.group(op.group_name)
    members = sorted(node.uuid for node in view.nodes.values() if node.group == group.uuid)
    if members:
        listed = ", ".join(members)
        raise prereq(f"Group '{group.name}' not empty, has the following nodes: {listed}", "wrong_state")
    if len(view.groups) == 1:
        raise prereq(f"Group '{group.name}' is the only one and has to stay", "wrong_state")
    return Finish(deletes=(group,), free=(name_key("group", group.name),))


def plan_group_assign(op: opcodes.GroupAssignNodes, progress: Progress, view: View) -> Stage:
    """Put nodes into a group; instances that would be split over groups by that need `force`."""
    group = view.group(op.group_name)
    moved = [view.node(name) for name in dict.fromkeys(op.nodes)]
    split, still = splits(view, {node.uuid for node in moved}, group)
    log = []
    if split and not op.force:
        raise OpExecError(
            f"This change would split instances over groups, which needs force: {', '.join(split)}"
        )
    if split:
        log.append(f" - WARNING: This change splits instances over groups: {', '.join(split)}")
    if split and still:
        log.append(f" - WARNING: Instances that were split over groups stay so: {', '.join(still)}")
    fresh = {node.uuid: node for node in moved if node.group != group.uuid}
    # The groups change too, as those who follow their serial numbers are to see (as observed).
    touched = {group.uuid, *(node.group for node in fresh.values())} if fresh else set()
    puts = (
        *(changed(node, view, group=group.uuid) for node in fresh.values()),
        *(changed(view.groups[uuid], view) for uuid in sorted(touched)),
    )
    return Finish(puts=puts, log=tuple(log))


def splits(view: View, nodes: Iterable[str], group: GroupRecord) -> tuple[list[str], list[str]]:
    """
    Names of mirrored instances that moving `nodes` into `group` splits, and of those that are and stay so.

    An instance is split when its nodes belong to several groups.
    """
    now = {uuid: node.group for uuid, node in view.nodes.items()}
    then = {**now, **dict.fromkeys(nodes, group.uuid)}
    fresh: list[str] = []
    still: list[str] = []
    for instance in view.instances.values():
        members = (instance.primary_node, *instance.secondary_nodes)
        if len({then[n] for n in members}) > 1:
            (still if len({now[n] for n in members}) > 1 else fresh).append(instance.name)
    return sorted(fresh), sorted(still)
