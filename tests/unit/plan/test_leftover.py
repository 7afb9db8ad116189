"""Tests of which leftovers are still due, and of the locks that say so."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, B, disks_of, well, world_of, world_with
from tests.unit.plan.templates import made as created
from tests.unit.plan.test_moving import failover, primary, uuids, where
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import DeleteVolume, StopDomain
from twisted_rapi.plan import volumes
from twisted_rapi.plan.leftover import leftovers, locks_for, work_of
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.stage import Do, steps_of
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import World


def removal(world: World, node: str, index: int = 0) -> Any:
    """A leftover that removes a disk of the instance, as it is now, from a node."""
    instance = world.instance(A)
    spec = volumes.spec(world.view(), instance, index, instance.disks[index], node)
    [left] = leftovers([Do(node, DeleteVolume(instance=A, disk=spec))], [], "why")
    return left


def kinds(world: World, left: Any) -> list[type]:
    """The kinds of the steps that are still due."""
    return [type(do.step) for do in steps_of(work_of(left, world.of(InstanceRecord), world.detached))]


class WorkTests(SynchronousTestCase):
    """`twisted_rapi.plan.leftover.work_of`."""

    def test_in_use(self) -> None:
        """What the record says is on the node is left alone; elsewhere it is removed."""
        for template in ("file", "plain", "drbd"):
            world = world_with(template, disks=disks_of(template))
            self.assertEqual(kinds(world, removal(world, NODES[0])), [], template)
            left = replace(removal(world, NODES[0]), node=NODES[2])
            self.assertEqual(kinds(world, left), [DeleteVolume], template)

    def test_shared(self) -> None:
        """What all nodes reach is left alone wherever the instance is that has it."""
        for template in ("sharedfile", "rbd"):
            world = world_with(template, disks=disks_of(template))
            self.assertEqual(kinds(world, replace(removal(world, NODES[0]), node=NODES[2])), [], template)

    def test_volume_of_another_kind(self) -> None:
        """A side's data volume that is a disk of its own by now is left alone."""
        world = world_with("drbd", start=False)
        left = removal(world, NODES[0])
        well(world.run(op("INSTANCE_SET_PARAMS", instance_name=A, disk_template="plain")))
        self.assertEqual(kinds(world, left), [])

    def test_adopted(self) -> None:
        """A volume that another instance has adopted is left alone."""
        world = world_with("plain", start=False)
        left = removal(world, NODES[0])
        [disk] = world.instance(A).disks
        key = f"instance/{world.instance(A).uuid}"
        other = replace(disk, uuid="another")
        world.put(replace(world.instance(A), name=B, uuid="b", disks=(other,)))
        del world.records[key]
        self.assertEqual(kinds(world, left), [])

    def test_failover_of_mirrored(self) -> None:
        """
        A guest on a node that was silent is stopped when the node is back, though its side of the disks stays
        one of the instance's.
        """
        world = world_of()
        well(world.run(created("drbd")))
        node = uuids(world)["node1"]
        world.nodes.nodes[node].down = True
        world.put(replace(world.of(NodeRecord)[node], offline=True))
        well(world.run(failover()))
        [left] = world.leftovers.values()
        self.assertEqual(kinds(world, left), [StopDomain])
        world.put(replace(world.of(NodeRecord)[node], offline=False))
        world.settle()
        self.assertEqual((where(world), primary(world), complaints(world)), (["node2"], "node2", []))


class LocksTests(SynchronousTestCase):
    """`twisted_rapi.plan.leftover.locks_for`."""

    def test_names(self) -> None:
        """The name then, and the name now of the instance that has the disk or the guest."""
        world = world_with("file", start=False)
        left = removal(world, NODES[2])
        had = Lock("instance", A)
        self.assertEqual(locks_for(left, world.of(InstanceRecord)), {had})
        well(world.run(op("INSTANCE_RENAME", instance_name=A, new_name="new.example.com")))
        found = locks_for(left, world.of(InstanceRecord))
        self.assertEqual(found, {had, Lock("instance", "new.example.com")})
        self.assertEqual(locks_for(left, {}), {had})
        stop = StopDomain(
            instance=A, hypervisor="fake", instance_uuid=world.instance("new.example.com").uuid, timeout=0
        )
        [guest] = leftovers([Do(NODES[2], stop)], [], "why")
        self.assertEqual(locks_for(guest, world.of(InstanceRecord)), found)
