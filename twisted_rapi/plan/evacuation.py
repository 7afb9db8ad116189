"""Opcodes that have instances leave nodes and groups, by submitting further jobs (behaviour.md §4)."""

from collections.abc import Iterable, Sequence

import attrs
from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.group import GroupEvacuate
from twisted_rapi.model.opcodes.moving import (
    InstanceChangeGroup,
    InstanceFailover,
    InstanceMigrate,
    InstanceReplaceDisks,
)
from twisted_rapi.model.opcodes.node import NodeEvacuate, NodeMigrate
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.allocation.builtin import answer
from twisted_rapi.plan.allocation.consult import allocator, consult
from twisted_rapi.plan.further import Jobs, one_after_the_other
from twisted_rapi.plan.rooms import Rooms
from twisted_rapi.plan.stage import Finish, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_ALL_AT_ONCE = (
    "Due to an issue with the iallocator interface it is not possible to evacuate all instances at once; "
    "specify explicitly whether to evacuate primary or secondary instances"
)


def _made(instances: Iterable[InstanceRecord]) -> tuple[InstanceRecord, ...]:
    """Those of which there is something that could go, by name."""
    return tuple(
        sorted((i for i in instances if i.pending is None and not i.forthcoming), key=lambda i: i.name)
    )


def _staying(stage: Stage, instances: Iterable[InstanceRecord]) -> Stage:
    """The stage; where it is the end it tells what is left out, as there is nothing of it yet."""
    names = sorted({i.name for i in instances if i.forthcoming})
    told = tuple(f" - INFO: Instance '{name}' is forthcoming: it stays where it is" for name in names)
    return attrs.evolve(stage, log=(*told, *stage.log)) if isinstance(stage, Finish) else stage


def _ended(jobs: Jobs, log: Sequence[str] = ()) -> Finish:
    """The end of an opcode whose result is the jobs it submits."""
    return Finish(result={"jobs": []}, jobs=jobs, log=tuple(log))


# Nodes.


def plan_node_migrate(op: NodeMigrate, progress: Progress, view: View) -> Stage:
    """Submit a migration for each primary instance."""
    node = view.node(op.node_name)
    if op.mode is not None and op.live is not None:
        raise prereq("Only one of 'live' and 'mode' should be passed")
    if op.target_node is not None:
        view.node(op.target_node)
    jobs = tuple(
        (
            InstanceMigrate(
                instance_name=instance.name,
                mode=op.mode,
                live=op.live,
                iallocator=op.iallocator,
                target_node=op.target_node,
                allow_runtime_changes=op.allow_runtime_changes,
                ignore_ipolicy=op.ignore_ipolicy,
            ),
        )
        for instance in _made(view.instances_on(node.uuid))
    )
    return _staying(_ended(jobs), view.instances_on(node.uuid))


def plan_node_evacuate(op: NodeEvacuate, progress: Progress, view: View) -> Stage:
    """Submit what has instances leave the node: to the node that is named, or as an allocator says."""
    node = view.node(op.node_name)
    primary = tuple(view.instances_on(node.uuid)) if op.mode != "secondary-only" else ()
    secondary = tuple(view.secondaries_on(node.uuid)) if op.mode != "primary-only" else ()
    stage = _evacuate(op, progress, view, node, _made(primary), _made(secondary))
    return _staying(stage, (*primary, *secondary))


def _evacuate(
    op: NodeEvacuate,
    progress: Progress,
    view: View,
    node: NodeRecord,
    primary: tuple[InstanceRecord, ...],
    secondary: tuple[InstanceRecord, ...],
) -> Stage:
    remote = _remote(op, view, node)
    if op.mode == "all" and allocator(op.iallocator, view):
        raise prereq(_ALL_AT_ONCE)
    if not primary and not secondary:
        return _ended((), (f" - INFO: No instances to evacuate from node '{node.name}'",))
    if remote is not None:
        return _to_node(op, view, secondary, remote)
    if op.mode == "all":
        return _moved(_both(view, primary, secondary), op.early_release)
    question = ask.Evacuate(instances=primary or secondary, mode=op.mode)
    extra = {"ignore-soft-errors": None} if op.ignore_soft_errors else None
    found = consult(question, op.iallocator, progress, view, extra)
    if isinstance(found, Perform):
        return found
    assert isinstance(found, ask.Moves)
    return _moved(found, op.early_release)


def _remote(op: NodeEvacuate, view: View, node: NodeRecord) -> NodeRecord | None:
    if op.remote_node is None:
        return None
    if op.iallocator is not None:
        raise prereq("Do not specify both, iallocator and remote node")
    remote = view.node(op.remote_node)
    if remote.uuid == node.uuid:
        raise prereq("Can not use evacuated node as a new secondary node")
    if op.mode != "secondary-only":
        raise prereq("Without the use of an iallocator only secondary instances can be evacuated")
    return remote


def _to_node(op: NodeEvacuate, view: View, instances: Sequence[InstanceRecord], remote: NodeRecord) -> Finish:
    for instance in instances:
        if instance.primary_node == remote.uuid:
            raise prereq(
                f"Node {remote.name} is the primary node of instance {instance.name}, "
                "cannot use it as secondary"
            )
    return _ended(
        tuple(
            (
                InstanceReplaceDisks(
                    instance_name=instance.name,
                    mode="replace_new_secondary",
                    remote_node=remote.name,
                    early_release=op.early_release,
                ),
            )
            for instance in instances
        ),
    )


def _both(
    view: View, primary: tuple[InstanceRecord, ...], secondary: tuple[InstanceRecord, ...]
) -> ask.Moves:
    """What has the node's primary instances leave, then the others, in what is left."""
    rooms = Rooms(view)
    moves = ask.Moves()
    questions = (
        ask.Evacuate(instances=primary, mode="primary-only"),
        ask.Evacuate(instances=secondary, mode="secondary-only"),
    )
    for question in questions:
        found = answer(view, question, rooms)
        assert isinstance(found, ask.Moves)
        moves = ask.Moves(
            moved=(*moves.moved, *found.moved),
            failed=(*moves.failed, *found.failed),
            jobs=(*moves.jobs, *found.jobs),
        )
    return moves


# What allocators say.


def _moved(moves: ask.Moves, early_release: bool, to_group: bool = False) -> Finish:
    """Submit the jobs of an allocator's plan, unless there is an instance it has no way for."""
    if moves.failed:
        told = ", ".join(f"{name} ({why})" for name, why in moves.failed)
        raise OpExecError(f"Unable to evacuate instances {told}")
    log = []
    if moves.moved:
        places = (
            f"{name} (to {group if to_group else ', '.join(nodes)})" for name, group, nodes in moves.moved
        )
        log.append(f" - INFO: Instances to be moved: {', '.join(places)}")
    jobs = tuple(tuple(_released(each, early_release) for each in job) for job in moves.jobs if job)
    return _ended(jobs, log)


def _released(op: Opcode, early_release: bool) -> Opcode:
    return replace(op, early_release=early_release) if isinstance(op, InstanceReplaceDisks) else op


# Groups.


def _targets(view: View, given: Sequence[str] | None) -> list[str] | None:
    """The uuids of the groups that are named; ``None`` if none is."""
    return [view.group(name).uuid for name in given] if given else None


def _names(view: View, groups: Iterable[str]) -> str:
    return ", ".join(sorted(view.groups[group].name for group in groups))


def plan_change_group(op: InstanceChangeGroup, progress: Progress, view: View) -> Stage:
    """Submit what brings an instance to another group."""
    instance = view.instance(op.instance_name)
    nodes = (instance.primary_node, *instance.secondary_nodes)
    here = {view.nodes[node].group for node in nodes}
    given = _targets(view, op.target_groups)
    if given is not None and here & set(given):
        raise prereq(
            f"Can't use group(s) '{_names(view, here & set(given))}' as targets, "
            f"they are used by the instance '{instance.name}'"
        )
    targets = sorted(set(view.groups) - here) if given is None else given
    return _regroup(op, progress, view, (instance,), targets)


def plan_group_evacuate(op: GroupEvacuate, progress: Progress, view: View) -> Stage:
    """Submit what brings all instances of a group to other groups."""
    group = view.group(op.group_name)
    given = _targets(view, op.target_groups)
    if given is not None and group.uuid in given:
        raise prereq(
            f"Group to be evacuated ({group.name}) can not be used as a target group "
            f"(targets: {_names(view, given)})"
        )
    targets = sorted(set(view.groups) - {group.uuid}) if given is None else given
    nodes = [node.uuid for node in view.nodes.values() if node.group == group.uuid]
    found = {i.uuid: i for n in nodes for i in (*view.instances_on(n), *view.secondaries_on(n))}
    stage = _regroup(op, progress, view, _made(found.values()), targets)
    if isinstance(stage, Finish) and op.force_failover:
        stage = _with_jobs(stage, tuple(tuple(_failover(each) for each in job) for job in stage.jobs))
    if isinstance(stage, Finish) and op.sequential:
        stage = _with_jobs(stage, one_after_the_other(stage.jobs))
    return _staying(stage, found.values())


def _with_jobs(stage: Finish, jobs: Jobs) -> Finish:
    return Finish(result=stage.result, jobs=jobs, log=stage.log)


def _failover(op: Opcode) -> Opcode:
    """A failover in place of a migration."""
    if not isinstance(op, InstanceMigrate):
        return op
    return InstanceFailover(
        instance_name=op.instance_name,
        target_node=op.target_node,
        iallocator=op.iallocator,
        ignore_ipolicy=op.ignore_ipolicy,
        depends=op.depends,
    )


def _regroup(
    op: GroupEvacuate | InstanceChangeGroup,
    progress: Progress,
    view: View,
    instances: tuple[InstanceRecord, ...],
    targets: Sequence[str],
) -> Stage:
    if not targets:
        raise prereq("There are no possible target groups")
    if not instances:
        return _ended(())
    question = ask.ChangeGroup(instances=instances, targets=tuple(targets))
    found = consult(question, op.iallocator, progress, view)
    if isinstance(found, Perform):
        return found
    assert isinstance(found, ask.Moves)
    return _moved(found, op.early_release, to_group=True)
