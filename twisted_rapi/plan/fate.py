"""What becomes of nodes that fall silent: the states they go through, and which guests start elsewhere."""

from typing import Literal

import attrs

from twisted_rapi.model.fate import Fate
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.relocation import MOVABLE

TAG = "rapi:restart-elsewhere"
"""What an instance is tagged with that is to start on another node when its own is dead."""


@attrs.frozen(kw_only=True)
class DeathRules:
    """
    What is done about nodes that fall silent.

    :ivar silence: seconds after which one is suspected to be dead.
    :ivar restart: which instances of a dead node are started on others.
    """

    silence: float = 30.0
    restart: Literal["none", "tagged", "all"] = "tagged"


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

    No silence leads to ``fenced``: that takes proof, which `twisted_rapi.cluster.fates.Fates.confirm` has.
    """
    match fate:
        case None:
            late = not signs.offline and not signs.answers and signs.silent >= rules.silence
            return "suspect" if late else None
        case "suspect":
            return None if signs.answers or signs.offline else fate
        case "fenced":
            return "recovering" if signs.answers else fate
    done = signs.answers and not signs.offline and not signs.left
    return None if done else fate


def stays(instance: InstanceRecord, rules: DeathRules) -> str:
    """Why an instance of a dead node is not started on another; "" when it is."""
    if instance.forthcoming or instance.pending is not None or instance.admin_state != "up":
        return "it is not to run"
    if rules.restart == "none" or (rules.restart == "tagged" and TAG not in instance.tags):
        return "its policy is to stay"
    if instance.disk_template not in MOVABLE:
        return f"its disks ({instance.disk_template}) are on its node only"
    return ""
