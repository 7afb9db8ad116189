"""``OP_CEPH_CHANGE``: look whether it can be, then have a node do it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted_rapi.errors import prereq
from twisted_rapi.model import ceph
from twisted_rapi.model.opcodes.ceph import CephChange
from twisted_rapi.model.opcodes.moving import InstanceGrowDisk
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import LookAtCeph, Outcome
from twisted_rapi.plan.ceph_nodes import anywhere, check_dead, owner, reaching, users, with_size
from twisted_rapi.plan.condition import at_rest, changed
from twisted_rapi.plan.grow import plan_grow_disk
from twisted_rapi.plan.stage import Change, Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

MIB = 1 << 20
Looked = Sequence[Outcome]
Judge = Callable[[Any, Looked], None]


def plan_change(op: CephChange, progress: Progress, view: View) -> Stage:
    """
    Change something of Ceph, on any node that reaches it.

    A volume that is a disk of an instance is not taken away from it, and grows as its disk does.
    """
    change = op.asked()
    growing = _growing(change, progress, view)
    if growing is not None:
        return plan_grow_disk(growing, progress, view)
    match progress.stage:
        case "":
            _check_use(change, view)
            return _look(change, view)
        case "looked":
            _check_use(change, view)
            looked = [outcome for outcome in progress.outcomes if outcome is not None]
            _LOOKS[type(change)][1](change, looked)
            return Change(stage="begun", kept={"node": reaching(view)[0].uuid})
        case "begun" | "failed":
            if isinstance(change, _TAKING):  # somebody may have made a disk of it at the last moment
                _check_use(change, view)
            stage = anywhere(progress, view, change)
            if stage is not None:
                return stage
    return _measured(change, progress, view) if isinstance(change, ceph.RollBack) else _end(progress)


def _growing(change: ceph.AnyChange, progress: Progress, view: View) -> InstanceGrowDisk | None:
    """What is done instead, where the volume is a disk."""
    begun_otherwise = progress.stage and "uuid" not in progress.kept
    if not isinstance(change, ceph.ResizeVolume) or begun_otherwise:
        return None
    found = owner(view, change.pool, change.volume)
    if found is None:
        return None
    instance, index = found
    if instance.pending is not None:
        raise prereq(f"Instance {instance.name}, which has the volume, is still being made", "wrong_state")
    return InstanceGrowDisk(
        instance_name=instance.name,
        disk=index,
        amount=-(-change.size // MIB),
        absolute=True,
        wait_for_sync=False,
        ignore_ipolicy=True,
    )


# Whose it is.

_TAKING = (ceph.RemovePool, ceph.RemoveVolume, ceph.RenameVolume)


def _check_use(change: ceph.AnyChange, view: View) -> None:
    match change:
        case ceph.RemovePool(pool=pool):
            _free(view, f"Pool {pool} is", pool)
        case ceph.RemoveVolume(pool=pool, volume=volume) | ceph.RenameVolume(pool=pool, volume=volume):
            _free(view, f"Volume {pool}/{volume} is", pool, volume)
        case ceph.ResizeVolume(pool=pool, volume=volume):  # not an instance's: that grows otherwise
            _free(view, f"Volume {pool}/{volume} is", pool, volume)
        case ceph.RollBack(pool=pool, volume=volume):
            if (found := owner(view, pool, volume)) is not None:
                at_rest(view, found[0], "roll back its disk")
        case ceph.BreakLocks(pool=pool, volume=volume):
            if (found := owner(view, pool, volume)) is not None:
                check_dead(view, found[0])


def _free(view: View, what: str, pool: str, volume: str = "") -> None:
    found = users(view, pool, volume)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise prereq(f"{what} used by {', '.join(found[:3])}{more}", "wrong_state")


# What is there.


def _look(change: ceph.AnyChange, view: View) -> Stage:
    asked = _LOOKS[type(change)][0](change)
    node = reaching(view)[0].uuid
    if not asked:
        return Change(stage="begun", kept={"node": node})
    work = InParallel(tuple(Do(node, look) for look in asked))
    return Perform(work=work, stage="looked", check=True, patience=30.0)


def _at(subject: ceph.Subject, pool: str = "", volume: str = "") -> LookAtCeph:
    return LookAtCeph(instance="", subject=subject, pool=pool, volume=volume)


def _named(outcome: Outcome, name: object, key: str = "name") -> Mapping[str, Any] | None:
    return next((one for one in outcome.units if one[key] == name), None)


def _there(outcome: Outcome, name: object, what: str, key: str = "name") -> Mapping[str, Any]:
    found = None if outcome.reason else _named(outcome, name, key)
    if found is None:
        raise prereq(f"There is no {what}", "unknown_entity")
    return found


def _new(outcome: Outcome, name: str, what: str) -> None:
    if not outcome.reason and _named(outcome, name) is not None:
        raise prereq(f"There is a {what} already", "already_exists")


def _nothing(change: Any, looked: Looked) -> None:
    """Done already is well."""


def _osd(change: ceph.MoveOsd, looked: Looked) -> None:
    _there(looked[0], change.osd, f"OSD {change.osd}", "id")


def _new_pool(change: ceph.AddPool, looked: Looked) -> None:
    _new(looked[0], change.pool, f"pool {change.pool}")


def _pool(change: ceph.RemovePool | ceph.SetPgs, looked: Looked) -> None:
    _there(looked[0], change.pool, f"pool {change.pool}")


def _new_volume(change: ceph.AddVolume, looked: Looked) -> None:
    pools, volumes = looked
    _there(pools, change.pool, f"pool {change.pool}")
    _new(volumes, change.volume, f"volume {change.pool}/{change.volume}")


def _volume(change: Any, looked: Looked) -> None:
    found = _there(looked[0], change.volume, f"volume {change.pool}/{change.volume}")
    if isinstance(change, ceph.ResizeVolume) and change.size < found["size"]:
        raise prereq(
            f"Volume {change.pool}/{change.volume} has {found['size']} bytes and cannot become smaller",
            "wrong_state",
        )


def _other_name(change: ceph.RenameVolume | ceph.CopyVolume, looked: Looked) -> None:
    _volume(change, looked)
    _new(looked[1], change.name, f"volume {change.pool}/{change.name}")


def _snapshot(change: Any, looked: Looked) -> None:
    volume = f"{change.pool}/{change.volume}"
    if looked[0].reason:
        raise prereq(f"There is no volume {volume}", "unknown_entity")
    if isinstance(change, ceph.AddSnapshot):
        _new(looked[0], change.snapshot, f"snapshot {volume}@{change.snapshot}")
        return
    _there(looked[0], change.snapshot, f"snapshot {volume}@{change.snapshot}")
    if isinstance(change, ceph.RenameSnapshot):
        _new(looked[0], change.name, f"snapshot {volume}@{change.name}")


def _pools(_: Any) -> tuple[LookAtCeph, ...]:
    return (_at("pools"),)


def _its_volume(change: Any) -> tuple[LookAtCeph, ...]:
    return (_at("volumes", change.pool, change.volume),)


def _its_snapshots(change: Any) -> tuple[LookAtCeph, ...]:
    return (_at("snapshots", change.pool, change.volume),)


def _both_names(change: Any) -> tuple[LookAtCeph, ...]:
    return (*_its_volume(change), _at("volumes", change.pool, change.name))


_SNAPSHOTS: tuple[Callable[[Any], tuple[LookAtCeph, ...]], Judge] = (_its_snapshots, _snapshot)

_LOOKS: Mapping[type[ceph.Change], tuple[Callable[[Any], tuple[LookAtCeph, ...]], Judge]] = {
    ceph.SetOption: (lambda _: (), _nothing),
    ceph.MoveOsd: (lambda _: (_at("osds"),), _osd),
    ceph.AddPool: (_pools, _new_pool),
    ceph.RemovePool: (_pools, _pool),
    ceph.SetPgs: (_pools, _pool),
    ceph.AddVolume: (lambda change: (*_pools(change), *_its_volume(change)), _new_volume),
    ceph.ResizeVolume: (_its_volume, _volume),
    ceph.RenameVolume: (_both_names, _other_name),
    ceph.CopyVolume: (_both_names, _other_name),
    ceph.RemoveVolume: (_its_volume, _volume),
    ceph.BreakLocks: (_its_volume, _volume),
    ceph.AddSnapshot: _SNAPSHOTS,
    ceph.RenameSnapshot: _SNAPSHOTS,
    ceph.RemoveSnapshot: _SNAPSHOTS,
    ceph.RollBack: _SNAPSHOTS,
}
"""By kind of change, what is looked at before, and what judges it."""


# A disk that goes back.


def _measured(change: ceph.RollBack, progress: Progress, view: View) -> Stage:
    """A snapshot may be of a time when the disk was smaller: its record gets the size the volume has."""
    found = owner(view, change.pool, change.volume)
    if found is None:
        return _end(progress)
    if not progress.stage.startswith("measured"):
        work = Do(reaching(view)[0].uuid, _at("volumes", change.pool, change.volume))
        after = "measured" if progress.stage == "done" else "measured in vain"
        return Perform(work=work, stage=after, failed=after, patience=30.0)
    instance, index = found
    units = [unit for outcome in progress.outcomes if outcome is not None for unit in outcome.units]
    size = -(-int(units[0]["size"]) // MIB) if units else instance.disks[index].size
    if size == instance.disks[index].size:
        return _end(progress)
    return _end(progress, changed(with_size(instance, index, size), view))


def _end(progress: Progress, *puts: InstanceRecord) -> Finish:
    return Finish(
        puts=puts, error=progress.error if progress.stage in ("failed", "measured in vain") else None
    )
