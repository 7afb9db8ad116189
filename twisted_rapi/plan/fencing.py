"""Whether a silent node is switched off, by whom, and when that is tried again."""

from collections.abc import Collection, Mapping, Sequence

import attrs

from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.fate import DeathRules

FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0
"""Seconds until those that can fence are asked again, after the first time and at most."""


@attrs.frozen(kw_only=True)
class Standing:
    """
    How the master sees the cluster.

    :ivar master: uuid of its node; `nodes`: all of them by uuid.
    :ivar answering: uuids of those that report; `present`: of those whose own daemon keeps its presence in
        the store.
    :ivar drained: whether the job queue is; `paused`: whether nothing is to be started by itself.
    :ivar begun: when nodes began to be fenced; `now`: seconds since the epoch.
    """

    master: str
    nodes: Mapping[str, NodeRecord]
    answering: Collection[str]
    present: Collection[str] = ()
    drained: bool = False
    paused: bool = False
    begun: Sequence[float] = ()
    now: float = 0.0


def unsure(node: NodeRecord, silent: float, standing: Standing, rules: DeathRules) -> str:
    """
    Why a silent node is not switched off now, whatever was begun; "" when it may be.

    A master that hears little may itself be the one that is cut off; one that has just begun to listen has
    heard little.
    """
    watched = [n.uuid for n in standing.nodes.values() if not n.offline]
    answering = [uuid for uuid in watched if uuid in standing.answering]
    if not rules.fence:
        return "no node is fenced: that is not configured"
    if node.uuid == standing.master:
        return "it is the master's node"
    if standing.master not in standing.answering:
        return "the master's own node does not answer"
    if 2 * len(answering) <= len(watched):
        return f"{len(answering)} of {len(watched)} nodes answer: the master may be cut off itself"
    if node.uuid in standing.present:
        return "its daemon is seen in the store: only its agent is silent"
    if standing.drained:
        return "the job queue is drained"
    if standing.paused:
        return "the watchdog is paused"
    return "" if silent >= rules.silence else f"it is not yet silent for {rules.silence:g} s"


def held(node: NodeRecord, silent: float, standing: Standing, rules: DeathRules) -> str:
    """Why it is not begun to switch a suspected node off; "" when it is."""
    why = unsure(node, silent, standing, rules)
    if why:
        return why
    if silent < rules.fence_after:
        return f"it is not yet silent for {rules.fence_after:g} s"
    # As far from now as that in either way: a clock that was set back forgets none.
    lately = [at for at in standing.begun if abs(standing.now - at) < rules.fence_interval]
    if len(lately) >= rules.fence_most:
        return f"{len(lately)} began to be fenced within {rules.fence_interval:g} s"
    return ""


def begun_now(standing: Standing, rules: DeathRules) -> tuple[float, ...]:
    """When nodes began to be fenced, with one that does now; without what no longer counts."""
    kept = [at for at in standing.begun if abs(standing.now - at) < rules.fence_interval]
    return (*kept, standing.now)


def fencers(node: NodeRecord, standing: Standing) -> list[str]:
    """Who can switch it off, in the order they are asked: the master's node, then the others by name."""
    able = [n for n in standing.nodes.values() if n.uuid in standing.answering and not n.offline]
    able.sort(key=lambda n: (n.uuid != standing.master, n.name))
    return [n.uuid for n in able if n.uuid != node.uuid]


def next_fencer(record: NodeFateRecord, order: Sequence[str], now: float) -> str | None:
    """
    Who is asked now, ``None``: nobody yet.

    One after the other is; after the last there is a pause, twice as long each time.
    """
    if not order:
        return None
    rounds, turn = divmod(record.tries, len(order))
    if rounds and not turn and record.attempts:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(rounds - 1, 10))
        if 0 <= now - record.attempts[-1].at < pause:
            return None
    return order[turn]
