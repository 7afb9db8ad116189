"""
Moving machines as PVC's API has it: live where possible, else shut down and started elsewhere.

Each way is the plan of an opcode of RAPI, whose stages stand behind a word of their own here (``live:``,
``cold:``, ``stop:``, ``start:``).  Where a machine was is noted in the commit that says where it is.

Note [After a live migration].  A machine is shut down in place of a migration that failed only where both
nodes have said that it still runs on the first and nothing of it is left on the other.
"""

import attrs
from msgspec.structs import replace as with_values

from twisted_rapi.errors import OpExecError, OpPrereqError, prereq
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.opcodes.domain import MachineMigrate
from twisted_rapi.model.opcodes.moving import InstanceFailover, InstanceMigrate
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan import relocation
from twisted_rapi.plan.condition import subject
from twisted_rapi.plan.disks import MIRRORED
from twisted_rapi.plan.failover import plan_failover
from twisted_rapi.plan.machines import stored
from twisted_rapi.plan.migrate import plan_migrate
from twisted_rapi.plan.stage import Change, Finish, Perform, Progress, Stage
from twisted_rapi.plan.view import View

LIVE, COLD = "live:", "cold:"
JUDGING = ("", f"{LIVE}{relocation.INSPECTED}", f"{COLD}{relocation.INSPECTED}")
"""The stages before which nothing has been changed."""


@attrs.frozen(kw_only=True)
class Move:
    """
    Where a machine is to go, and how.

    :ivar permanent: whether it is not to be remembered where it was.
    :ivar live_only: whether a machine that runs is never shut down for it.
    :ivar patience: seconds a guest that is shut down has for it.
    """

    target: NodeRecord
    permanent: bool = False
    live_only: bool = False
    patience: int = 90


def outward(stage: Stage, word: str) -> Stage:
    """The stage of a plan that is part of another."""
    match stage:
        case Change():
            return attrs.evolve(stage, stage=word + stage.stage)
        case Perform():
            failed = None if stage.failed is None else word + stage.failed
            return attrs.evolve(stage, stage=word + stage.stage, failed=failed)
    return stage


def inward(progress: Progress, word: str) -> Progress:
    """What such a part knows of its progress."""
    return attrs.evolve(progress, stage=progress.stage.removeprefix(word))


def with_machine(stage: Stage, view: View, record: MachineRecord) -> Stage:
    """The commit of this stage keeps the machine's record, too."""
    if not isinstance(stage, (Change, Finish)):
        return stage
    puts, deletes = stored(view, record)
    return attrs.evolve(stage, puts=(*stage.puts, *puts), deletes=(*stage.deletes, *deletes))


def origin(view: View, instance: InstanceRecord, target: str, permanent: bool) -> str:
    """Where a machine that goes to a node (a uuid) was first; "" when it is to stay there, or is back."""
    first = view.machine(instance.uuid).last_node
    if first not in view.nodes:
        first = instance.primary_node
    return "" if permanent or first == target else first


def moving(move: Move, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    """
    The next stage of a move; its first word is "".

    :raises OpPrereqError: it cannot go there.
    """
    if progress.stage in JUDGING and not progress.stage.startswith(COLD):
        stage = _begin(move, progress, view, instance)
    elif progress.stage.startswith(COLD):
        stage = _cold(move, progress, view, instance)
    else:
        stage = _live(move, progress, view, instance)
    return _noted(stage, move, view, instance)


def _begin(move: Move, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    relocation.check_template(instance, "migrations")
    _check_side(instance, move.target)
    told: tuple[str, ...] = ()
    if move.live_only or view.machine(instance.uuid).migration_method != "shutdown":
        try:
            return _live(move, progress, view, instance)
        except OpPrereqError as e:
            if move.live_only:
                raise
            told = (f" - INFO: {instance.name} cannot be migrated live: {e.text}",)
    stage = _cold(move, attrs.evolve(progress, stage="", outcomes=()), view, instance)
    return attrs.evolve(stage, log=(*told, *stage.log)) if isinstance(stage, (Change, Perform)) else stage


def _target(move: Move, instance: InstanceRecord) -> str | None:
    """What opcodes of RAPI are told of it: mirrored instances go where their other side is."""
    return None if instance.disk_template in MIRRORED else move.target.name


def _live(move: Move, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    op = InstanceMigrate(
        instance_name=instance.name,
        mode="live",
        target_node=_target(move, instance),
        allow_failover=True,  # of one that does not run
        allow_runtime_changes=False,
        ignore_ipolicy=True,
    )
    inside = inward(progress, LIVE)
    if inside.stage == "looked" and _rests(progress):
        return Change(stage=COLD, log=(f" - INFO: {instance.name} has ended by itself: it is failed over",))
    if inside.stage == "undone" and progress.kept.get("known") and not move.live_only:
        why = progress.error.text if progress.error is not None else "it is not known why"
        told = f" - WARNING: {instance.name} could not be migrated live, it is shut down for it: {why}"
        return Change(stage=COLD, log=(told,))
    if inside.stage == "stuck":
        inside = attrs.evolve(inside, stage="undone")
    stage = plan_migrate(op, inside, view)
    if inside.stage == "settled" and isinstance(stage, Perform) and None not in progress.outcomes:
        stage = attrs.evolve(stage, failed="stuck", kept={**stage.kept, "known": True})
    return outward(stage, LIVE)


def _rests(progress: Progress) -> bool:
    """Whether both nodes have said that they have nothing of the guest."""
    said = [outcome is not None and not outcome.text for outcome in progress.outcomes]
    return len(said) == 2 and all(said)


def _cold(move: Move, progress: Progress, view: View, instance: InstanceRecord) -> Stage:
    op = InstanceFailover(
        instance_name=instance.name,
        target_node=_target(move, instance),
        shutdown_timeout=move.patience,
        ignore_ipolicy=True,
    )
    return outward(plan_failover(op, inward(progress, COLD), view), COLD)


def _noted(stage: Stage, move: Move, view: View, instance: InstanceRecord) -> Stage:
    """Where it goes is kept from the beginning on, and where it was once it is recorded that it went."""
    if isinstance(stage, (Change, Perform)):
        stage = attrs.evolve(stage, kept={**stage.kept, "goal": move.target.uuid})
    if not isinstance(stage, Change):
        return stage
    for record in stage.puts:
        if isinstance(record, InstanceRecord) and record.primary_node != instance.primary_node:
            first = origin(view, instance, record.primary_node, move.permanent)
            machine = with_values(view.machine(instance.uuid), last_node=first)
            return with_machine(stage, view, machine)
    return stage


def goal(progress: Progress, view: View) -> NodeRecord | None:
    """Where a move goes that has begun."""
    uuid = progress.kept.get("goal")
    if uuid is None:
        return None
    if uuid not in view.nodes:
        raise OpExecError("The node it was to go to has been removed")
    return view.nodes[uuid]


def plan_machine_migrate(op: MachineMigrate, progress: Progress, view: View) -> Stage:
    """Move it, and note where it was first; one that is there already may be told to stay."""
    instance = subject(op.instance_name, progress, view)
    target = goal(progress, view) or view.node(op.target_node)
    if progress.stage == "" and target.uuid == instance.primary_node:
        return _stay(op, view, instance, target)
    move = Move(target=target, permanent=op.permanent, live_only=op.force_live, patience=op.shutdown_timeout)
    return moving(move, progress, view, instance)


def _stay(op: MachineMigrate, view: View, instance: InstanceRecord, target: NodeRecord) -> Stage:
    machine = view.machine(instance.uuid)
    if not op.permanent or not machine.last_node:
        raise prereq(f"Instance {instance.name} is on node {target.name} already", "wrong_state")
    return with_machine(Finish(), view, with_values(machine, last_node=""))


def _check_side(instance: InstanceRecord, target: NodeRecord) -> None:
    if instance.disk_template in MIRRORED and target.uuid not in instance.secondary_nodes:
        template = instance.disk_template
        raise prereq(f"Instance {instance.name} has no {template} disks on node {target.name}", "wrong_state")
