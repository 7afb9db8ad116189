"""Looking at instances' disks: which are not in use though they should be, which are gone."""

from collections.abc import Iterator
from typing import Any

import attrs

from twisted_rapi.model.opcodes.verify import ClusterVerifyDisks, GroupVerifyDisks
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import DiskSpec, InspectDisks, Outcome
from twisted_rapi.plan import volumes
from twisted_rapi.plan.stage import Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_BY_PATH = ("file", "sharedfile", "gluster", "blockdev")

State = dict[str, Any] | None


def plan_verify_disks(op: ClusterVerifyDisks, progress: Progress, view: View) -> Stage:
    """A job for each group, or for the one that is named."""
    every = sorted(group.name for group in view.groups.values())
    names = every if op.group_name is None else [view.group(op.group_name).name]
    return Finish(jobs=tuple((GroupVerifyDisks(group_name=n, is_strict=op.is_strict),) for n in names))


@attrs.define
class _Found:
    """What was found; see the result of ``OP_GROUP_VERIFY_DISKS``."""

    errors: dict[str, str] = attrs.field(factory=dict)
    resting: set[str] = attrs.field(factory=set)
    missing: dict[str, list[list[str]]] = attrs.field(factory=dict)

    def finish(self) -> Finish:
        """The end."""
        log = tuple(f" - WARNING: Node {node}: {text}" for node, text in sorted(self.errors.items()))
        return Finish(result=[self.errors, sorted(self.resting), self.missing], log=log)


def plan_group_verify_disks(op: GroupVerifyDisks, progress: Progress, view: View) -> Stage:
    """
    The nodes that cannot tell, the instances whose disks have to be activated, and the volumes that are gone.

    Only instances whose disks should be in use are looked at, on nodes that are not offline.
    """
    group = view.group(op.group_name)
    instances = sorted(
        (
            i
            for i in view.instances.values()
            if i.disks_active and i.pending is None and _in(view, i, group.uuid)
        ),
        key=lambda i: i.name,
    )
    looks = [(instance.uuid, do) for instance in instances for do in _looks(view, instance)]
    if progress.stage == "" and looks:
        kept = {"looked": [[uuid, do.node] for uuid, do in looks]}
        work = InParallel(tuple(do for _, do in looks))
        return Perform(work=work, stage="seen", failed="seen", check=True, patience=0.0, kept=kept)
    found = _Found(errors=_silent(view, group.uuid))
    for (uuid, node), outcome in zip(progress.kept.get("looked", ()), progress.outcomes, strict=True):
        if uuid in view.instances and node in view.nodes:
            _judge(op, view, view.instances[uuid], view.nodes[node], outcome, found)
    return found.finish()


def _in(view: View, instance: InstanceRecord, group: str) -> bool:
    return view.nodes[instance.primary_node].group == group


def _looks(view: View, instance: InstanceRecord) -> Iterator[Do]:
    for node in (instance.primary_node, *instance.secondary_nodes):
        there = _flat(volumes.specs(view, instance, node))
        if there and node in view.reports and not view.nodes[node].offline:
            yield Do(node, InspectDisks(instance=instance.name, disks=there))


def _flat(specs: tuple[DiskSpec, ...]) -> tuple[DiskSpec, ...]:
    """Disks, each with what is below it."""
    return tuple(each for spec in specs for each in (spec, *spec.children))


def _silent(view: View, group: str) -> dict[str, str]:
    """The nodes of a group that should answer and do not."""
    return {
        node.name: "it does not answer"
        for node in view.nodes.values()
        if node.group == group and node.vm_capable and not node.offline and node.uuid not in view.reports
    }


def _judge(
    op: GroupVerifyDisks,
    view: View,
    instance: InstanceRecord,
    node: NodeRecord,
    outcome: Outcome | None,
    found: _Found,
) -> None:
    if outcome is None:
        found.errors[node.name] = "its disks could not be looked at"
        return
    specs = volumes.specs(view, instance, node.uuid)
    states = dict(zip((s.uuid for s in _flat(specs)), outcome.disks, strict=False))
    strict = op.is_strict and all(n in view.reports for n in instance.secondary_nodes)
    for spec in specs:
        lost = [s for s in spec.children or (spec,) if s.uuid in states and states[s.uuid] is None]
        if lost:
            told = found.missing.setdefault(instance.name, [])
            told += [[node.name, _volume(s)] for s in lost]
        elif _rests(states.get(spec.uuid), strict):
            found.resting.add(instance.name)


def _rests(state: State, strict: bool) -> bool:
    """Whether a disk whose volumes are there is not in use as it should be."""
    if state is None or not state.get("active", True):
        return True
    return strict and bool(state.get("degraded")) and "percent" not in state


def _volume(spec: DiskSpec) -> str:
    """What a volume is called on its node."""
    parts = spec.logical_id[1:] if spec.template in _BY_PATH else spec.logical_id
    return "/".join(map(str, parts))
