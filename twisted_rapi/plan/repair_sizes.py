"""``OP_CLUSTER_REPAIR_DISK_SIZES``: records of disks get the sizes the disks have."""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from twisted_rapi.model.opcodes.verify import ClusterRepairDiskSizes
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import Outcome
from twisted_rapi.plan import volumes
from twisted_rapi.plan.condition import changed
from twisted_rapi.plan.grow import resized
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

AT_ONCE = 32  # instances changed in one commit

Wrong = tuple[str, int, int]  # an instance's uuid, the index of a disk, its size in MiB


def plan_repair_sizes(op: ClusterRepairDiskSizes, progress: Progress, view: View) -> Stage:
    """Measure the disks on the primary nodes, then change the records that say something else."""
    if progress.stage == "":
        return _look(op, view)
    if progress.stage == "looked":
        return _found(progress, view)
    wrong: list[Wrong] = [tuple(each) for each in progress.kept["wrong"]]
    uuids = list(dict.fromkeys(uuid for uuid, _, _ in wrong))
    done = progress.kept["done"]
    if done >= len(uuids):
        return Finish(result=progress.kept["told"])
    puts = tuple(
        _corrected(view, view.instances[uuid], [w for w in wrong if w[0] == uuid])
        for uuid in uuids[done : done + AT_ONCE]
    )
    return Change(stage="found", puts=puts, kept={**progress.kept, "done": done + AT_ONCE})


def _look(op: ClusterRepairDiskSizes, view: View) -> Stage:
    named = [view.instance(name) for name in op.instances]
    every = sorted((i for i in view.instances.values() if i.pending is None), key=lambda i: i.name)
    looked, log = [], []
    for instance in dict.fromkeys(i.uuid for i in named or every if i.disks and not i.forthcoming):
        record = view.instances[instance]
        node = view.nodes[record.primary_node]
        if node.offline or node.uuid not in view.reports:
            log.append(f" - WARNING: Node {node.name} does not answer, ignoring {record.name}")
        else:
            looked.append(record)
    if not looked:
        return Finish(result=[], log=tuple(log))
    works: tuple[Do, ...] = tuple(volumes.looks(view, i, i.primary_node) for i in looked)
    kept = {"looked": [i.uuid for i in looked]}
    return Perform(
        work=InParallel(works),
        stage="looked",
        failed="looked",
        check=True,
        patience=0.0,
        kept=kept,
        log=tuple(log),
    )


def _found(progress: Progress, view: View) -> Stage:
    wrong: list[Wrong] = []
    log: list[str] = []
    for uuid, outcome in zip(progress.kept["looked"], progress.outcomes, strict=True):
        instance = view.instances[uuid]
        for index, size in _sizes(instance, outcome, log):
            wrong.append((uuid, index, size))
    told = [[view.instances[uuid].name, index, "size", size] for uuid, index, size in wrong]
    if not wrong:
        return Finish(result=[], log=tuple(log))
    kept: dict[str, Any] = {"wrong": [list(each) for each in wrong], "told": told, "done": 0}
    return Change(stage="found", kept=kept, log=tuple(log))


def _sizes(instance: InstanceRecord, outcome: Outcome | None, log: list[str]) -> Iterator[tuple[int, int]]:
    """The disks whose records are wrong, and their sizes."""
    if outcome is None:
        log.append(f" - WARNING: The disks of {instance.name} could not be looked at, ignoring them")
        return
    for index, (disk, state) in enumerate(zip(instance.disks, outcome.disks, strict=False)):
        if state is None:
            log.append(
                f" - WARNING: Disk {index} of instance {instance.name} did not return size information, "
                "ignoring"
            )
            continue
        size = int(state["size"])
        if size != disk.size:
            log.append(
                f" - INFO: Disk {index} of instance {instance.name} has mismatched size, correcting: "
                f"recorded {disk.size}, actual {size}"
            )
            yield index, size
        elif disk.children and disk.children[0].size != size:
            below = disk.children[0].size
            log.append(f" - INFO: Child disk has size {below}, parent {size}, fixing")
            yield index, size


def _corrected(view: View, instance: InstanceRecord, wrong: list[Wrong]) -> InstanceRecord:
    after = instance
    for _, index, size in wrong:
        after = resized(after, index, size)
        disk = replace(after.disks[index], serial_no=after.disks[index].serial_no + 1)
        after = replace(after, disks=(*after.disks[:index], disk, *after.disks[index + 1 :]))
    return changed(instance, view, disks=after.disks)
