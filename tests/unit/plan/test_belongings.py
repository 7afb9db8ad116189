"""Tests of `twisted_rapi.plan.belongings`."""

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.machine import MachineRecord, changed, is_default
from twisted_rapi.model.opcodes.instance import InstanceCreate, InstanceRemove, InstanceRename
from twisted_rapi.plan.belongings import records_of
from twisted_rapi.testing.world import World


def diskless(**more: object) -> InstanceCreate:
    """What makes an instance without disks."""
    given = {
        "instance_name": "web1",
        "mode": "create",
        "disk_template": "diskless",
        "disks": [],
        "nics": [],
        "pnode": "node1",
        "os_type": "noop",
        "ip_check": False,
        "name_check": False,
        "start": False,
        "no_install": True,
    }
    return InstanceCreate(**{**given, **more})  # type: ignore[arg-type]


class BelongingsTests(SynchronousTestCase):
    """What is kept of a machine is there as long as its instance."""

    def setUp(self) -> None:
        self.world = World()
        self.world.run(diskless())
        self.uuid = self.world.instance("web1").uuid

    def test_default(self) -> None:
        """An instance that nothing is kept of has all defaults."""
        view = self.world.view()
        self.assertEqual(records_of(view, view.instances[self.uuid]), (view.instances[self.uuid],))
        self.assertEqual(view.machine(self.uuid), MachineRecord(uuid=self.uuid))
        self.assertTrue(is_default(view.machine(self.uuid)))

    def test_kept(self) -> None:
        """A rename keeps it, a removal takes it along."""
        record = changed(None, self.uuid, node_limit=("node1",))
        self.assertFalse(is_default(record))
        self.world.put(record)
        renamed = self.world.run(
            InstanceRename(instance_name="web1", new_name="web2", ip_check=False, name_check=False)
        )
        self.assertIsNone(renamed.error)
        self.assertEqual(self.world.view().machine(self.uuid), record)
        self.assertIsNone(self.world.run(InstanceRemove(instance_name="web2")).error)
        self.assertEqual((self.world.view().machines, self.world.view().instances), ({}, {}))

    def test_forthcoming(self) -> None:
        """One that only keeps its place takes it along as well."""
        self.world.run(diskless(instance_name="web9", forthcoming=True))
        uuid = self.world.instance("web9").uuid
        self.world.put(MachineRecord(uuid=uuid, profile="basic"))
        self.assertIsNone(self.world.run(InstanceRemove(instance_name="web9")).error)
        self.assertEqual(self.world.view().machines, {})
