"""Which nodes look at a Ceph and change it, and whose its volumes are."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model.ceph import AnyChange
from twisted_rapi.model.ceph_steps import turn
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NodeRecord
from twisted_rapi.model.steps import ChangeCeph
from twisted_rapi.plan.condition import at_rest, primary
from twisted_rapi.plan.stage import Change, Do, Perform, Progress, Stage
from twisted_rapi.plan.view import View
from twisted_rapi.plan.watchdog import elsewhere

PATIENCE = 60.0
"""Seconds to wait for a node that dies while it changes something, before another one does it."""


def reaching(view: View) -> list[NodeRecord]:
    """
    The nodes that reach a Ceph at present, the master's first, then by name.

    :raises OpPrereqError: ``environment_error``: none does.
    """
    able = [
        view.nodes[uuid]
        for uuid, report in view.reports.items()
        if report.ceph and uuid in view.nodes and not view.nodes[uuid].offline
    ]
    if not able:
        raise prereq("No node reaches a Ceph cluster at present", "environment_error")
    return sorted(able, key=lambda node: (node.uuid != view.cluster.master_node, node.name))


def of_host(view: View, host: str) -> NodeRecord | None:
    """The node that Ceph knows by the first part of its name; ``None``: none, or several."""
    found = [node for node in view.nodes.values() if node.name.partition(".")[0] == host.partition(".")[0]]
    return found[0] if len(found) == 1 else None


def changing(node: str, change: AnyChange) -> Do:
    """Have a node change something."""
    return Do(node, ChangeCeph(instance=turn(change), change=change))


def anywhere(progress: Progress, view: View, change: AnyChange) -> Stage | None:
    """
    Have the noted node, or another if it does not answer, change something; done twice it is well.

    It is asked at the stage ``begun``, it was done at ``done``, and not done at ``failed``.  ``None``: it
    failed for good.
    """
    nodes = [node.uuid for node in reaching(view)]
    noted = progress.kept.get("node")
    if progress.stage == "begun":
        node = noted if noted in nodes else nodes[0]
        return Perform(work=changing(node, change), stage="done", failed="failed", patience=PATIENCE)
    others = [node for node in nodes if node != noted]
    if noted in view.reports or not others or progress.error is None:
        return None
    log = f" - WARNING: {progress.error.text}; trying another node"
    return Change(stage="begun", kept={**progress.kept, "node": others[0]}, log=(log,))


# Volumes that are disks.


def _of(disks: Iterable[DiskRecord], pool: str, wanted: Callable[[str], bool]) -> int | None:
    for index, disk in enumerate(disks):
        if (
            disk.dev_type == "rbd"
            and tuple(disk.logical_id[:1]) == (pool,)
            and wanted(str(disk.logical_id[1]))
        ):
            return index
    return None


def owner(view: View, pool: str, volume: str) -> tuple[InstanceRecord, int] | None:
    """The instance that has a volume as a disk, also if it is still being made, and the disk's index."""
    for instance in view.instances.values():
        index = _of(instance.disks, pool, volume.__eq__)
        if index is not None:
            return instance, index
    return None


def users(view: View, pool: str, volume: str = "") -> list[str]:
    """Who has disks that are in a pool, or are one volume of it, as people call them."""

    def wanted(name: str) -> bool:
        return volume in ("", name)

    found = sorted(i.name for i in view.instances.values() if _of(i.disks, pool, wanted) is not None)
    loose = sorted(d.uuid for d in view.detached.values() if _of((d.disk,), pool, wanted) is not None)
    return [*(f"instance {name}" for name in found), *(f"detached disk {uuid}" for uuid in loose)]


def with_size(instance: InstanceRecord, index: int, size: int) -> InstanceRecord:
    """The instance, one of whose disks has so many MiB now."""
    disks = list(instance.disks)
    disks[index] = replace(disks[index], size=size, serial_no=disks[index].serial_no + 1)
    return replace(instance, disks=tuple(disks))


def check_dead(view: View, instance: InstanceRecord) -> None:
    """
    Whether nothing of an instance can hold locks on its disks any more.

    Nothing runs on its node, or that is known to be dead (`twisted_rapi.plan.dead_locks`, Note [Proof]);
    nor does any other node say that it runs there.

    :raises OpPrereqError: ``wrong_state``; ``environment_error`` when that cannot be known.
    """
    node = primary(view, instance)
    fate = view.fates.get(node.uuid)
    astray = elsewhere(instance, view.reports)
    if astray:
        text = f"Instance '{instance.name}' is running on node {view.nodes[astray].name}, cannot break locks"
        raise prereq(text, "wrong_state")
    if node.uuid in view.reports or fate is None or fate.fate != "fenced":
        at_rest(view, instance, "break locks")
    elif instance.admin_state == "up":
        raise prereq(f"Instance '{instance.name}' is marked to be up, cannot break locks", "wrong_state")
