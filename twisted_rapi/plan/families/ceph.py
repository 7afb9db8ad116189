"""Plans and locks of the opcodes about Ceph."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model import ceph as changes
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import ceph as opcodes
from twisted_rapi.plan.ceph_change import plan_change
from twisted_rapi.plan.ceph_nodes import owner
from twisted_rapi.plan.ceph_osds import plan_add_osd, plan_remove_osd, plan_unlock
from twisted_rapi.plan.locking import LockFunction, PlanFunction, of_instance, volume_lock
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    opcodes.CephChange: plan_change,
    opcodes.CephOsdAdd: plan_add_osd,
    opcodes.CephOsdRemove: plan_remove_osd,
    opcodes.InstanceUnlockDisks: plan_unlock,
}


def _change(op: opcodes.CephChange, view: View) -> Iterator[Lock]:
    """That of the volume, and those of the instance that has it as a disk."""
    change = op.asked()
    pool, volume = getattr(change, "pool", None), getattr(change, "volume", None)
    if pool is None or volume is None or isinstance(change, changes.AddSnapshot | changes.RemoveSnapshot):
        return
    yield volume_lock("rbd", f"{pool}/{volume}")
    found = owner(view, pool, volume)
    if found is not None:
        grows = isinstance(change, changes.ResizeVolume)
        yield from of_instance(view, found[0].name, grows, grows)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    opcodes.CephChange: _change,
    opcodes.InstanceUnlockDisks: lambda op, view: of_instance(view, op.instance_name),
}
