"""OSDs of nodes, made and removed; and the locks of an instance's disks."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import ceph
from twisted_rapi.model.opcodes.ceph import CephOsdAdd, CephOsdRemove, InstanceUnlockDisks
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.steps import AwaitDrained, LookAtCeph
from twisted_rapi.plan.ceph_nodes import PATIENCE, changing, check_dead, of_host, reaching
from twisted_rapi.plan.condition import answering, subject
from twisted_rapi.plan.stage import Change, Do, Finish, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

MOST_LOST = 3  # nodes that fail one after the other while they wait


def _look(view: View) -> Perform:
    look = LookAtCeph(instance="", subject="osds")
    return Perform(work=Do(reaching(view)[0].uuid, look), stage="looked", check=True, patience=30.0)


def _seen(progress: Progress) -> tuple[Mapping[str, Any], ...]:
    [outcome] = progress.outcomes
    return () if outcome is None else outcome.units


def _able(view: View, node: NodeRecord) -> NodeRecord:
    if not answering(view, node).ceph:
        raise prereq(f"Node '{node.name}' reaches no Ceph cluster", "environment_error")
    return node


def plan_add_osd(op: CephOsdAdd, progress: Progress, view: View) -> Stage:
    """Have the node make one; its number is the result."""
    if progress.stage == "":
        _able(view, view.node(op.node_name))
        return _look(view)
    if progress.stage == "looked":
        node = _able(view, view.node(op.node_name))
        for osd in _seen(progress):
            if osd["device"] == op.device and of_host(view, osd["node"]) == node:
                text = f"Block device '{op.device}' on node '{node.name}' is used by OSD '{osd['id']}'"
                raise prereq(text, "already_exists")
        return Change(stage="begun", kept={"node": node.uuid})
    if progress.stage == "begun":
        change = ceph.AddOsd(device=op.device, weight=op.weight)
        return Perform(work=changing(progress.kept["node"], change), stage="done", patience=PATIENCE)
    [outcome] = progress.outcomes
    return Finish(result=int(outcome.text) if outcome is not None and outcome.text else None)


def plan_remove_osd(op: CephOsdRemove, progress: Progress, view: View) -> Stage:
    """
    Take it out, wait until others have its data, then end it.

    While it is waited for the job can be cancelled; the OSD stays out then.
    """
    if progress.stage == "":
        return _look(view)
    if progress.stage == "looked":
        return _begin(op, progress, view)
    node = progress.kept["node"]
    match progress.stage:
        case "begun":
            out = ceph.MoveOsd(osd=op.osd, into=False)
            return Perform(work=changing(node, out), stage="out", patience=PATIENCE)
        case "out" | "waited" | "lost":
            return _wait(op, progress, view)
        case "drained":
            removal = ceph.RemoveOsd(osd=op.osd)
            return Perform(work=changing(node, removal), stage="done", patience=PATIENCE)
    return Finish()


def _begin(op: CephOsdRemove, progress: Progress, view: View) -> Stage:
    found = next((osd for osd in _seen(progress) if osd["id"] == op.osd), None)
    if found is None:
        raise prereq(f"There is no OSD {op.osd}", "unknown_entity")
    node = of_host(view, found["node"])
    if node is None:
        raise prereq(f"OSD {op.osd} is on {found['node'] or 'no host'}, which is no node of the cluster")
    _able(view, node)
    return Change(stage="begun", kept={"node": node.uuid}, log=(f"OSD {op.osd} is being drained",))


def _wait(op: CephOsdRemove, progress: Progress, view: View) -> Stage:
    """Any node can say whether it is drained; one that dies meanwhile is followed by another."""
    outcome = progress.outcomes[0] if progress.stage == "waited" else None
    if outcome is not None and outcome.text:
        return Change(stage="drained", kept=progress.kept, log=(f"OSD {op.osd} has no data any more",))
    lost = progress.kept.get("lost", 0) + (progress.stage == "lost")
    if lost > MOST_LOST:
        raise progress.error or OpExecError(f"Nobody says whether OSD {op.osd} is drained")
    nodes = reaching(view)
    step = AwaitDrained(instance="", osd=op.osd)
    return Perform(
        work=Do(nodes[lost % len(nodes)].uuid, step),
        stage="waited",
        failed="lost",
        patience=PATIENCE,
        kept={"lost": lost},
        endless=True,
    )


def plan_unlock(op: InstanceUnlockDisks, progress: Progress, view: View) -> Stage:
    """Break the locks of all disks on Ceph; whoever had them does not run any more."""
    instance = subject(op.instance_name, progress, view)
    if progress.stage == "":
        check_dead(view, instance)
        volumes = [tuple(map(str, disk.logical_id)) for disk in instance.disks if disk.dev_type == "rbd"]
        if not volumes:
            return Finish()
        node = reaching(view)[0].uuid
        breaks = (ceph.BreakLocks(pool=pool, volume=volume) for pool, volume in volumes)
        work = InSequence(tuple(changing(node, each) for each in breaks))
        return Perform(work=work, stage="done", patience=PATIENCE)
    return Finish()
