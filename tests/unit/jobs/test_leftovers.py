"""Leftovers and jobs about the same instance: neither undoes what the other does."""

from typing import Any

from tests.unit.jobs.test_interruptions import SlowCase
from tests.unit.jobs.test_jobs import about, create
from tests.unit.plan.programs import op
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.testing.cluster import NODES


class InterleavedCase(SlowCase):
    """Has an instance that was moved from node1 to node2, and a leftover of that on node1."""

    def setUp(self) -> None:
        """Move it; its old disk cannot be removed yet."""
        super().setUp()
        self.run_job(create())
        self.run_job(about("SHUTDOWN"))
        self.faults()
        self.run_job(self.move("node2"))
        self.assertEqual(len(self.fake.snapshot.leftovers), 1)
        self.fake.nodes.nodes[NODES[0]].faults.clear()

    def faults(self, node: int = 0) -> None:
        """A node cannot remove anything for some time."""
        faults = self.fake.nodes.nodes[NODES[node]].faults
        faults[steps.DeleteVolume] = [StepFailed("busy", "storage")] * 4

    def move(self, node: str) -> Any:
        """An opcode that copies it to a node."""
        return about("MOVE", target_node=node)

    @property
    def instance(self) -> InstanceRecord:
        """Its record."""
        [found] = self.fake.snapshot.instances.values()
        return found

    def let_go(self, count: int) -> int:
        """Let so many steps be carried out, one after the other; answers how many there were."""
        for done in range(count):
            held = self.fake.nodes.held
            if not held:
                return done
            held.pop(0).callback(None)
        return count

    def sound(self) -> None:
        """Every disk is where its record says and nowhere else; nothing is left over."""
        paths = {disk.logical_id[1] for disk in self.instance.disks}
        for uuid, node in self.fake.nodes.nodes.items():
            wanted = paths if uuid == self.instance.primary_node else set()
            self.assertEqual(set(node.volumes), wanted, node.uuid)
        self.assertEqual(self.fake.snapshot.leftovers, {})


class InterleavingTests(InterleavedCase):
    """A leftover whose time comes while a job is on its way."""

    def test_any_moment(self) -> None:
        """
        Wherever a job is that makes a disk again where a leftover would remove it, the disk is there in the
        end.
        """
        for count in range(12):
            with self.subTest(count=count):
                self.setUp()
                self.fake.nodes.hold()
                number = self.submit(self.move("node1"))
                self.let_go(count)
                self.fake.clock.advance(31)
                self.fake.nodes.release()
                self.assertEqual(self.status(number), "success")
                self.assertEqual(self.instance.primary_node, NODES[0])
                self.fake.clock.advance(4000)
                self.sound()
                self.fake.stop()

    def test_job_waits(self) -> None:
        """While a leftover is carried out a job about the instance waits, and is told of as waiting."""
        self.fake.nodes.hold()
        self.fake.clock.advance(31)
        number = self.submit(self.move("node1"))
        self.assertEqual(self.status(number), "waiting")
        owners = [dict(q.holders) for _, q in self.fake.cluster.locks.queues().items()]
        self.assertTrue(any(owner < 0 for holders in owners for owner in holders))
        self.fake.nodes.release()
        self.assertEqual(self.status(number), "success")
        self.sound()

    def test_next_master(self) -> None:
        """A new master finishes what was being made before it looks at leftovers."""
        for count in range(12):
            with self.subTest(count=count):
                self.setUp()
                self.fake.nodes.hold()
                number = self.submit(self.move("node1"))
                self.let_go(count)
                self.fake.stop()
                self.fake.nodes.held = None
                self.next_master(self.silent())
                self.heard()
                self.assertEqual(self.status(number), "success")
                self.assertEqual(self.instance.primary_node, NODES[0])
                self.fake.clock.advance(4000)
                self.sound()
                self.fake.stop()

    def test_renamed(self) -> None:
        """An instance that has another name now is known by its disks."""
        before = self.instance.name
        self.run_job(about("RENAME", new_name="new.example.com"))
        self.fake.nodes.hold()
        self.fake.clock.advance(31)
        names = {name for (level, name), q in self.fake.cluster.locks.queues().items() if level == "instance"}
        self.assertEqual(names, {before, self.instance.name})
        self.fake.nodes.release()
        self.sound()

    def test_term_ends(self) -> None:
        """A leftover under way at the end of a term keeps its locks: no job begins beside it."""
        self.fake.nodes.hold()
        self.fake.clock.advance(31)
        number = self.submit(self.move("node1"))
        self.fake.duties.stopService()
        self.assertEqual(self.status(number), "waiting")
        self.fake.nodes.release()
        self.next_master()
        self.assertEqual(self.status(number), "success")
        self.fake.clock.advance(31)
        self.sound()

    def test_node_removed(self) -> None:
        """What is left over on a removed node is forgotten when its turn comes; that of others is not."""
        self.faults()
        self.faults(1)
        self.run_job(self.move("node3"))
        self.assertEqual({r.node for r in self.fake.snapshot.leftovers.values()}, set(NODES[:2]))
        self.run_job(op("NODE_REMOVE", node_name="node2"))
        self.fake.clock.advance(31)
        self.assertEqual({r.node for r in self.fake.snapshot.leftovers.values()}, {NODES[0]})
        self.fake.nodes.nodes[NODES[0]].faults.clear()
        self.fake.clock.advance(4000)
        self.assertEqual(self.fake.snapshot.leftovers, {})
