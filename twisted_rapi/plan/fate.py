"""What becomes of nodes that fall silent: the states they go through, and which guests start elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Literal

import attrs

from twisted_rapi.model.fate import Fate, NodeFateRecord
from twisted_rapi.model.records import InstanceRecord, LeftoverRecord, NodeRecord
from twisted_rapi.model.steps import StopDomain
from twisted_rapi.plan.leftover import stops
from twisted_rapi.plan.power import stop_step
from twisted_rapi.plan.relocation import MOVABLE

TAG = "rapi:restart-elsewhere"
"""What an instance is tagged with that is to start on another node when its own is dead."""


SOURCE = "rapi:fates"
"""What the reason trails of jobs about dead nodes name."""


@attrs.frozen(kw_only=True)
class DeathRules:
    """
    What is done about nodes that fall silent.

    :ivar silence: seconds after which one is suspected to be dead.
    :ivar restart: which instances of a dead node are started on others.
    :ivar fence: whether a suspected node is switched off, after `fence_after` seconds of silence; at most
        `fence_most` of them within `fence_interval` seconds.
    :ivar recover: whether one that was marked offline and answers again is set online by itself.
    """

    silence: float = 30.0
    restart: Literal["none", "tagged", "all"] = "tagged"
    fence: bool = False
    fence_after: float = 60.0
    fence_most: int = 1
    fence_interval: float = 3600.0
    recover: Literal["hand", "auto"] = "hand"


@attrs.frozen(kw_only=True)
class Signs:
    """
    How a node is now.

    :ivar silent: for how many seconds it has not reported, 0.0 while it does.
    :ivar offline: whether it is marked so; then it is not watched.
    :ivar answers: whether it reports or, offline, was reached.
    :ivar left: whether there is work left to be done on it once it reports.
    """

    silent: float
    offline: bool
    answers: bool
    left: bool


def next_fate(fate: Fate | None, signs: Signs, rules: DeathRules) -> Fate | None:
    """
    The fate a node comes to; ``None``: it is well, or what it is can be seen of its role.

    No silence leads to ``fenced``: that takes proof, which `twisted_rapi.cluster.fates.Fates.confirm` and
    `twisted_rapi.cluster.fencing` have.  Nor does it lead to ``fencing``: see `twisted_rapi.plan.fencing`.
    """
    match fate:
        case None:
            late = not signs.offline and not signs.answers and signs.silent >= rules.silence
            return "suspect" if late else None
        case "suspect":
            return None if signs.answers or signs.offline else fate
        case "fencing":
            left = fate if rules.fence else "suspect"
            return None if signs.answers or signs.offline else left
        case "fenced":
            return "recovering" if signs.answers else fate
    if not signs.offline and not signs.answers and signs.silent >= rules.silence:
        return "suspect"
    done = signs.answers and not signs.offline and not signs.left
    return None if done else fate


def role_of(node: NodeRecord) -> str:
    """What is lost when it is marked offline: see `NodeFateRecord`."""
    if node.master_candidate:
        return "candidate"
    return "drained" if node.drained else "regular"


def stays(instance: InstanceRecord, rules: DeathRules) -> str:
    """Why an instance of a dead node is not started on another; "" when it is."""
    if instance.forthcoming or instance.pending is not None or instance.admin_state != "up":
        return "it is not to run"
    if rules.restart == "none" or (rules.restart == "tagged" and TAG not in instance.tags):
        return "its policy is to stay"
    if instance.disk_template not in MOVABLE:
        return f"its disks ({instance.disk_template}) are on its node only"
    return ""


def old_copies(
    record: NodeFateRecord, left: Iterable[LeftoverRecord], instances: Mapping[str, InstanceRecord]
) -> dict[str, StopDomain]:
    """
    What a node that was dead may still run of instances that are elsewhere now, or are no more: the steps
    that stop it, by the uuid of the instance, as far as that was not done.

    Whatever boot of them runs there: it has no right to.
    """
    found: dict[str, StopDomain] = {}
    for each in left:
        if each.node == record.uuid:
            found |= stops(each)
    for uuid in (*found, *record.tried):
        instance = instances.get(uuid)
        if instance is not None and instance.primary_node == record.uuid:
            found.pop(uuid, None)
        elif instance is not None:
            found[uuid] = stop_step(instance, 0, force=True)
    return {uuid: step for uuid, step in found.items() if uuid not in record.stopped}


def not_yet_online(
    record: NodeFateRecord | None, left: Iterable[LeftoverRecord], instances: Mapping[str, InstanceRecord]
) -> str:
    """Why a node that was marked offline must not be online again yet; "" when it may be."""
    if record is None or record.fate not in ("fenced", "recovering"):
        return ""
    if record.fate == "fenced":
        return "it is known to be dead, and has not been seen to answer since"
    names = sorted(step.instance for step in old_copies(record, left, instances).values())
    return f"it may still run what is elsewhere now: {', '.join(names)}" if names else ""
