"""
Nodes that machines leave, and come back to, for PVC's API (behaviour.md of PVC §7).

Note [Rounds].  What is wanted of a node is a record.  The job that changes it submits, in the same commit, a
job for each machine, one after the other, and one that ends it all: that looks again, submits another round
for machines that came meanwhile, and says at last that the node is flushed or ready.  So whenever a master
dies, what is left to do is in the store.  Each of these jobs says which change it belongs to; when another
change was asked for meanwhile it does nothing.
"""

from collections.abc import Callable, Iterable

import attrs
from msgspec.structs import replace as with_values

from twisted_rapi.errors import OpExecError, OpPrereqError
from twisted_rapi.model.domain_state import DomainState, DomainStateRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.domain import (
    MachineLeave,
    MachineReturn,
    NodeEndDomainState,
    NodeSetDomainState,
)
from twisted_rapi.model.opcodes.instance import InstanceShutdown, InstanceStartup
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.condition import online, subject
from twisted_rapi.plan.further import Jobs
from twisted_rapi.plan.machine_moves import JUDGING, Move, goal, inward, moving, outward, with_machine
from twisted_rapi.plan.power import plan_shutdown, plan_startup
from twisted_rapi.plan.pvc.selectors import targets
from twisted_rapi.plan.stage import Change, Finish, Progress, Stage
from twisted_rapi.plan.view import View

MOST = 50
"""How many machines a round is about at most: all its jobs go into one commit."""

STOP, START = "stop:", "start:"
_OVER = (" - INFO: Another change was asked for meanwhile: nothing is done",)


# Who.


def _there(instance: InstanceRecord) -> bool:
    return instance.pending is None and not instance.forthcoming


def leaves(view: View, instance: InstanceRecord, node: NodeRecord) -> bool:
    """Whether a machine has to leave a node: it runs there, or should."""
    if not _there(instance) or instance.primary_node != node.uuid:
        return False
    domain = view.domain(instance)
    return instance.admin_state == "up" or (domain is not None and domain.running)


def starts(view: View, instance: InstanceRecord, node: NodeRecord) -> bool:
    """Whether a machine that is down is to be started as its node is ready again."""
    if not _there(instance) or instance.primary_node != node.uuid:
        return False
    return instance.admin_state == "down" and view.machine(instance.uuid).node_autostart


def returns(view: View, instance: InstanceRecord, node: NodeRecord) -> bool:
    """Whether a machine was on a node before it was migrated elsewhere."""
    elsewhere = instance.primary_node != node.uuid
    return _there(instance) and elsewhere and view.machine(instance.uuid).last_node == node.uuid


def _named(instances: Iterable[InstanceRecord]) -> list[InstanceRecord]:
    return sorted(instances, key=lambda instance: instance.name)


def leaving(view: View, node: NodeRecord) -> list[InstanceRecord]:
    """The machines that have to leave, by name."""
    return _named(i for i in view.instances_on(node.uuid) if leaves(view, i, node))


def returning(view: View, node: NodeRecord) -> list[InstanceRecord]:
    """The machines that are to be started there, then those that come back, each by name."""
    known = [view.instances[uuid] for uuid in view.machines if uuid in view.instances]
    back = _named(i for i in known if returns(view, i, node))
    return [*_named(i for i in known if starts(view, i, node)), *back]


# The node.


def _round(node: NodeRecord, some: list[InstanceRecord], flush: bool, begun: int, tried: list[str]) -> Jobs:
    """A job for each machine, then the one that looks again; each waits for the one before."""
    one: Callable[..., Opcode] = MachineLeave if flush else MachineReturn
    some = some[:MOST]
    ops = [one(instance_name=each.name, node_name=node.name, begun=begun) for each in some]
    names = sorted({*tried, *(each.name for each in some)})
    ops.append(NodeEndDomainState(node_name=node.name, begun=begun, tried=names))
    after = [(-1, ["success", "error", "canceled"])]
    return tuple((with_values(op, depends=after if n else None),) for n, op in enumerate(ops))


def plan_set_domain_state(op: NodeSetDomainState, progress: Progress, view: View) -> Stage:
    """Note what is wanted, and submit what brings it about; what was wanted before is over."""
    node = view.node(op.node_name)
    flush = op.state == "flush"
    if not flush:
        online(node)
    some = leaving(view, node) if flush else returning(view, node)
    if not flush and not some and node.uuid not in view.domain_states:
        return Finish()
    state: DomainState = "flush" if flush else "unflush"
    record = DomainStateRecord(uuid=node.uuid, state=state, job=progress.job)
    return Finish(puts=(record,), jobs=_round(node, some, flush, progress.job, []))


def _current(view: View, node: NodeRecord, begun: int) -> DomainStateRecord | None:
    """What is wanted of the node, if that is still what this job's change has begun."""
    record = view.domain_states.get(node.uuid)
    return record if record is not None and record.job == begun else None


def plan_end_domain_state(op: NodeEndDomainState, progress: Progress, view: View) -> Stage:
    """See that nothing is left to do, or have it done."""
    node = view.node(op.node_name)
    record = _current(view, node, op.begun)
    if record is None or record.state == "flushed":
        return Finish(log=_OVER)
    flush = record.state == "flush"
    left = leaving(view, node) if flush else returning(view, node)
    more = [each for each in left if each.name not in op.tried]
    if more:
        return Finish(jobs=_round(node, more, flush, op.begun, op.tried))
    names = ", ".join(each.name for each in left)
    if not flush:
        error = OpExecError(f"Not all are back on node {node.name}: {names}") if left else None
        return Finish(deletes=(record,), error=error)
    if left:
        raise OpExecError(f"Not all have left node {node.name}: {names}; ask for flush again")
    return Finish(puts=(with_values(record, state="flushed"),))


# A machine.


def plan_leave(op: MachineLeave, progress: Progress, view: View) -> Stage:
    """Move it to the first node that can take it, or shut it down until the node is ready again."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage.startswith(STOP):
        return _stop(op, progress, view, instance)
    target = goal(progress, view)
    if progress.stage not in JUDGING:
        assert target is not None, "noted when it began"
        return moving(Move(target=target, patience=op.shutdown_timeout), progress, view, instance)
    node = view.node(op.node_name)
    record = _current(view, node, op.begun)
    if record is None or record.state != "flush":
        return Finish(log=_OVER)
    if not leaves(view, instance, node):
        return Finish()
    refused = []
    for each in targets(view, instance) if target is None else [target]:
        try:
            return moving(Move(target=each, patience=op.shutdown_timeout), progress, view, instance)
        except (OpPrereqError, OpExecError) as e:
            refused.append(f" - INFO: {instance.name} cannot go to node {each.name}: {e.text}")
    refused.append(
        f" - INFO: {instance.name} can go nowhere: it is down until node {node.name} is ready again"
    )
    return _stop(op, attrs.evolve(progress, stage=""), view, instance, tuple(refused))


def _stop(
    op: MachineLeave, progress: Progress, view: View, instance: InstanceRecord, told: tuple[str, ...] = ()
) -> Stage:
    """Shut it down; that it is to be started again is noted as it is marked down."""
    shutdown = InstanceShutdown(instance_name=instance.name, timeout=op.shutdown_timeout)
    stage = outward(plan_shutdown(shutdown, inward(progress, STOP), view), STOP)
    if isinstance(stage, Change):
        stage = attrs.evolve(stage, log=(*told, *stage.log))
        stage = with_machine(stage, view, with_values(view.machine(instance.uuid), node_autostart=True))
    return stage


def plan_return(op: MachineReturn, progress: Progress, view: View) -> Stage:
    """Move it back to the node, or start it there."""
    instance = subject(op.instance_name, progress, view)
    node = view.node(op.node_name)
    if progress.stage.startswith(START):
        return _start(progress, view, instance)
    if progress.stage in JUDGING:
        record = _current(view, node, op.begun)
        if record is None or record.state != "unflush":
            return Finish(log=_OVER)
        if starts(view, instance, node):
            return _start(progress, view, instance)
        if not returns(view, instance, node):
            return Finish()
    return moving(Move(target=node, patience=op.shutdown_timeout), progress, view, instance)


def _start(progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    """Start it, once: as it is marked up it is noted that this was done."""
    startup = InstanceStartup(instance_name=instance.name)
    stage = outward(plan_startup(startup, inward(progress, START), view), START)
    if isinstance(stage, Change):
        stage = with_machine(stage, view, with_values(view.machine(instance.uuid), node_autostart=False))
    return stage
